#!/usr/bin/env python3
"""Draw the pictures that the README and ComfyUI's template browser show, from two public-domain photos.

usage: python tools/make_pictures.py    (writes workflows/*.jpg; needs scikit-image and matplotlib)
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from perception_clip.perception.drawing import draw_batch
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.demo import sample_photos

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
HEIGHT = 480
CLOSE_UPS = {"astronaut": (60, 0, 460, 400), "grace_hopper": (50, 60, 462, 560)}  # left, top, right, bottom
CAPTIONS = {"astronaut": "a person smiling", "grace_hopper": "a calm person"}
DARK, LIGHT = (24, 26, 31), (240, 240, 240)


def main() -> None:
    photos = sample_photos()
    close_ups = [_crop(photo.picture, CLOSE_UPS[photo.name]) for photo in photos]
    overlays = draw_batch(close_ups, PerceptionPipeline()(close_ups))
    plain = [_scaled(picture) for picture in close_ups]
    drawn = [_scaled(picture) for picture in overlays]
    _row([plain[0], drawn[0], plain[1], drawn[1]]).save(WORKFLOWS / "face_to_expression.jpg", quality=88)
    labelled = [_captioned(picture, CAPTIONS[photo.name]) for picture, photo in zip(drawn, photos, strict=True)]
    _row(labelled).save(WORKFLOWS / "collect_dataset.jpg", quality=88)


def _crop(picture: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    left, top, right, bottom = box
    return picture[top:bottom, left:right].contiguous()


def _scaled(picture: Tensor) -> Image.Image:
    image = Image.fromarray(torch.as_tensor(picture).numpy())
    return image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.LANCZOS)


def _captioned(image: Image.Image, text: str) -> Image.Image:
    canvas = Image.new("RGB", (image.width, HEIGHT + 48), DARK)
    canvas.paste(image)
    font = ImageFont.load_default(26)
    draw = ImageDraw.Draw(canvas)
    draw.text((canvas.width / 2, HEIGHT + 24), f"“{text}”", fill=LIGHT, font=font, anchor="mm")
    return canvas


def _row(images: list[Image.Image]) -> Image.Image:
    canvas = Image.new("RGB", (sum(image.width for image in images), images[0].height), DARK)
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width
    return canvas


if __name__ == "__main__":
    main()
