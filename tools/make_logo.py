#!/usr/bin/env python3
"""Draw the registry's icon and banner: the expression model's mean face, happy, as a mesh.

usage: python tools/make_logo.py    (writes web/icon.png and web/banner.png)
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.topology import CLOSED_LINES, mesh_lines
from perception_clip.perception.vector import EMOTIONS

WEB = Path(__file__).resolve().parents[1] / "web"
ZOOM = 3  # drawn this many times larger, then reduced
DARK, MESH, LINE, WORDS, DIM = (16, 20, 28), (70, 120, 160), (255, 213, 79), (245, 246, 248), (160, 172, 184)


def main() -> None:
    icon(400).save(WEB / "icon.png", optimize=True)
    banner(1260, 540).save(WEB / "banner.png", optimize=True)


def face() -> torch.Tensor:
    """Return the landmarks (478, 2) of a smiling mean face, in a unit square, y down."""
    model = ExpressionModel.load()
    plain = model.template[None] / model.template.abs().max() / 4 + 0.5
    points = (plain + 1.4 * model.displacement(plain, torch.ones(1, 2), EMOTIONS.index("happy")))[0, :, :2]
    low, high = points.amin(dim=0), points.amax(dim=0)
    return (points - (low + high) / 2) / (high - low).max() + 0.5


def draw(picture: Image.Image, left: float, top: float, size: float) -> None:
    """Draw a mesh with bright features in a square of `size` pixels."""
    pen = ImageDraw.Draw(picture)
    points = [(left + x * size, top + y * size) for x, y in face().tolist()]
    for line in mesh_lines():
        pen.line([points[landmark] for landmark in line], MESH, round(size / 300))
    for line in CLOSED_LINES:
        pen.line([points[landmark] for landmark in (*line, line[0])], LINE, round(size / 110), joint="curve")


def icon(side: int) -> Image.Image:
    large = Image.new("RGB", (side * ZOOM, side * ZOOM), DARK)
    edge = 0.09 * side * ZOOM
    draw(large, edge, edge, side * ZOOM - 2 * edge)
    return large.reduce(ZOOM)


def banner(width: int, height: int) -> Image.Image:
    large = Image.new("RGB", (width * ZOOM, height * ZOOM), DARK)
    size = 0.8 * height * ZOOM
    draw(large, 0.09 * width * ZOOM, 0.1 * height * ZOOM, size)
    pen, left = ImageDraw.Draw(large), 0.48 * width * ZOOM
    for words, y, text, color in (
        ("Perception CLIP", 0.36, 0.15, WORDS),
        ("a real face steers", 0.56, 0.085, DIM),
        ("Stable Diffusion", 0.68, 0.085, DIM),
    ):
        font = ImageFont.load_default(round(text * height * ZOOM))
        pen.text((left, y * height * ZOOM), words, color, font, anchor="lm")
    return large.reduce(ZOOM)


if __name__ == "__main__":
    main()
