"""Draw faces from their landmarks, without a picture, side by side with captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...common.words import counted
from ..geometry import true_proportions
from ..vector import EMOTIONS, split, validate
from . import panels
from .canvas import wrapped
from .sketch import Sketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 240  # pixels: the square that a face is drawn in
FILLED = 0.8  # of the square, by the face's larger extent
FONT_SIZE = 19  # height of the letters, pixels: still read when three columns are shown at half their size
LINE = 26  # pixels from a caption's line to the next
LINES = 3  # of a caption, at most
LONGEST = 300  # characters of a caption that are read; fewer fit
GAP = 12  # pixels around the faces and between them
BACKGROUND = (18, 22, 30)
NOTHING = "no face"


def contact_sheet(vectors: Tensor, image_sizes: Tensor, captions: Sequence[str], columns: int = 3) -> Tensor:
    """Return a sheet of faces in rows, each with its landmarks, strongest emotion and caption.

    Args:
        vectors: (N, 1441) perceptions. If there are none, the sheet has a note.
        image_sizes: (N, 2) height and width of their pictures in pixels; zeros if unknown, and then the picture
            counts as square.
        captions: N texts; they are truncated after `LINES` lines.
        columns: maximum number of faces in a row.

    Returns (H, W, 3) uint8. Raises ValueError for invalid perceptions or another number of captions.
    """
    faces = validate(vectors)
    if len(captions) != len(faces):
        raise ValueError(
            f"there are {counted(len(captions), 'caption')} for {counted(len(faces), 'face')}; use one caption per face"
        )
    if not len(faces):
        return _nothing()
    landmarks, emotions = split(faces)
    points = true_proportions(landmarks, torch.as_tensor(image_sizes).clamp_min(1))[..., :2].double().numpy()
    texts = [wrapped(caption[:LONGEST], FONT_SIZE, SIDE, LINES) if caption.strip() else [] for caption in captions]
    width = min(len(faces), columns)
    rows = -(-len(faces) // width)
    emotion = panels.Panel((1.0, *[0.0] * (len(EMOTIONS) - 1)), FONT_SIZE, short=True).size[1]
    height = SIDE + emotion + GAP + LINE * max(map(len, texts))
    sheet = Image.new("RGB", (GAP + width * (SIDE + GAP), GAP + rows * (height + GAP)), BACKGROUND)
    for index, shares in enumerate(emotions.tolist()):
        row, column = divmod(index, width)
        top, left = GAP + row * (height + GAP), GAP + column * (SIDE + GAP)
        sketch = _sketch(points[index], tuple(shares))
        face = np.full((SIDE, SIDE, 3), BACKGROUND, dtype=np.uint8)
        sketch.draw(face, mesh=False)
        sheet.paste(Image.fromarray(face), (left, top))
        panel = panels.Panel(sketch.emotions, FONT_SIZE, short=True).render()
        sheet.paste(panel, (left + (SIDE - panel.width) // 2, top + SIDE), panel)
        for line, text in enumerate(texts[index]):
            mask = panels.letters(text, FONT_SIZE)
            y = top + SIDE + emotion + GAP // 2 + line * LINE
            sheet.paste(panels.BRIGHT, (left + (SIDE - mask.width) // 2, y), mask)
    return torch.from_numpy(np.array(sheet))


def _sketch(points: NDArray[np.float64], emotions: tuple[float, ...]) -> Sketch:
    """Return a face with points (478, 2), in any unit, centered in a square of `SIDE` pixels."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = FILLED * SIDE / max(float((high - low).max()), 1e-9)
    placed = (points - (low + high) / 2) * scale + SIDE / 2
    box = np.concatenate([placed.min(axis=0), placed.max(axis=0)])
    return Sketch(placed, box, emotions, track=0, seen=True, size=(SIDE, SIDE))


def _nothing() -> Tensor:
    sheet, mask = Image.new("RGB", (2 * GAP + SIDE, 2 * GAP + 2 * LINE), BACKGROUND), panels.letters(NOTHING, FONT_SIZE)
    sheet.paste(panels.BRIGHT, ((sheet.width - mask.width) // 2, (sheet.height - mask.height) // 2), mask)
    return torch.from_numpy(np.array(sheet))
