"""Smooth masks of lines, dots, rings and frames: how much of each pixel they cover.

A mask is (H, W) uint8, 255 where a pixel is fully covered. Coordinates are in pixels from the top left corner of the
mask; whole numbers lie between pixels. Shapes are clipped at the border. Each shape covers by the larger value, so
overlapping shapes of one mask do not add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.uint8]
    Points = NDArray[np.floating[Any]]  # (N, 2) x and y

# Pixels of a mask: the enlargement, for smoothness, of up to this many. Wide lines in large pictures need less.
ENLARGED = ((400_000, 4), (16_000_000, 2))


def lines(size: tuple[int, int], polylines: Sequence[Points], width: float, opacity: int = 255) -> Mask:
    """Return the mask, of (width, height) `size`, of lines through points, drawn enlarged and then reduced."""
    zoom = next((times for pixels, times in ENLARGED if size[0] * size[1] <= pixels), 1)
    layer = Image.new("L", (size[0] * zoom, size[1] * zoom))
    pen = ImageDraw.Draw(layer)
    thick = max(round(width * zoom), 1)
    far = 4 * max(size)  # lines that lead further out would only take time
    for points in polylines:
        # Pillow's whole numbers are the middles of pixels.
        pen.line((points.clip(-far, far) * zoom - 0.5).ravel().tolist(), opacity, thick)
    return np.array(layer.reduce(zoom) if zoom > 1 else layer)


def paint(pixels: NDArray[np.uint8], layers: Sequence[tuple[Mask, tuple[int, int, int]]]) -> None:
    """Lay masks over a picture (H, W, 3), each in its own color, one after another. Touches masked pixels only."""
    used = layers[0][0]
    for mask, _ in layers[1:]:
        used = used | mask
    where = np.flatnonzero(used)  # few of all pixels
    flat = np.ascontiguousarray(pixels).reshape(-1, 3)
    ink = flat.take(where, axis=0).astype(np.float32)  # (P, 3)
    for mask, color in layers:
        opacity = mask.reshape(-1).take(where)[:, None] * np.float32(1 / 255)
        ink += (np.array(color, dtype=np.float32) - ink) * opacity
    flat[where] = (ink + 0.5).astype(np.uint8)
    pixels[:] = flat.reshape(pixels.shape)


def add_dots(mask: Mask, points: Points, radius: float, opacity: int = 255) -> None:
    """Draw filled circles of the same radius onto the mask."""
    height, width = mask.shape
    points = points[((points > -radius) & (points < np.array([width, height]) + radius)).all(axis=1)]
    span = np.arange(-int(radius) - 1, int(radius) + 2)  # a square of pixels around each
    columns = np.floor(points[:, :1]).astype(np.int64) + span  # (N, K)
    rows = np.floor(points[:, 1:]).astype(np.int64) + span
    away = np.hypot((rows + 0.5 - points[:, 1:])[:, :, None], (columns + 0.5 - points[:, :1])[:, None, :])  # (N, K, K)
    covered = ((radius + 0.5 - away).clip(0, 1) * opacity + 0.5).astype(np.uint8)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    inside &= covered > 0
    flat = (rows[:, :, None] * width + columns[:, None, :])[inside]
    np.maximum.at(mask.reshape(-1), flat, covered[inside])


def add_ring(mask: Mask, center: Points, radius: float, width: float) -> None:
    """Draw a circle's outline, its middle at `radius` from the center, onto the mask."""
    x, y = center.tolist()
    reach = radius + width
    first_column, last_column = _within(x - reach, x + reach, mask.shape[1])
    first_row, last_row = _within(y - reach, y + reach, mask.shape[0])
    across, down = np.arange(first_column, last_column) + 0.5 - x, np.arange(first_row, last_row) + 0.5 - y
    covered = (width / 2 + 0.5 - abs(np.hypot(down[:, None], across) - radius)).clip(0, 1)
    part = mask[first_row:last_row, first_column:last_column]
    np.maximum(part, (covered * 255 + 0.5).astype(np.uint8), out=part)


def add_rectangle(mask: Mask, left: float, top: float, right: float, bottom: float) -> None:
    """Draw a filled rectangle onto the mask; pixels on its edges are covered in part."""
    height, width = mask.shape
    first_column, last_column = _within(left, right, width)
    first_row, last_row = _within(top, bottom, height)
    across, down = np.arange(first_column, last_column), np.arange(first_row, last_row)
    wide = (np.minimum(across + 1, right) - np.maximum(across, left)).clip(0, 1)
    high = (np.minimum(down + 1, bottom) - np.maximum(down, top)).clip(0, 1)
    part = mask[first_row:last_row, first_column:last_column]
    np.maximum(part, (high[:, None] * wide * 255 + 0.5).astype(np.uint8), out=part)


def _within(start: float, end: float, size: int) -> tuple[int, int]:
    """Return the range of pixels, of `size`, between `start` and `end`: the first one, and the one after the last."""
    return int(min(max(start, 0), size)), int(min(max(np.ceil(end), 0), size))


def add_frame(mask: Mask, box: Sequence[float], width: float) -> None:
    """Draw the four corners of a frame, around the edges of a box (left, top, right, bottom), onto the mask."""
    left, top, right, bottom = box
    half, arm = width / 2, 0.16 * min(right - left, bottom - top)
    for x, inward in ((left, 1), (right, -1)):
        ends = sorted((x - inward * half, x + inward * (arm + half)))
        for y, downward in ((top, 1), (bottom, -1)):
            sides = sorted((y - downward * half, y + downward * (arm + half)))
            add_rectangle(mask, ends[0], y - half, ends[1], y + half)
            add_rectangle(mask, x - half, sides[0], x + half, sides[1])


def add_dashes(mask: Mask, box: Sequence[float], width: float) -> None:
    """Draw a dashed frame around the edges of a box (left, top, right, bottom) onto the mask."""
    left, top, right, bottom = box
    half, dashes = width / 2, 7  # per side; the first and the last meet at the corners
    for start in range(dashes):
        low, high = start / (dashes - 0.5), (start + 0.5) / (dashes - 0.5)
        ends = left + low * (right - left), left + high * (right - left)
        sides = top + low * (bottom - top), top + high * (bottom - top)
        for y in (top, bottom):
            add_rectangle(mask, ends[0] - half, y - half, ends[1] + half, y + half)
        for x in (left, right):
            add_rectangle(mask, x - half, sides[0] - half, x + half, sides[1] + half)
