"""Masks and boxes of the parts of faces, in a picture of any size.

`grow` and `feather` are shares of the face's height (chin to forehead), so that they suit every size: `grow` moves the
edge outward, or inward if negative; `feather` is the width of the soft edge, half of it on each side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy.ndimage import convolve1d

from ...common.errors import InputError
from ..vector import Perception
from .coverage import Mask, Points, area, draw, offset
from .parts import HEAD, Shape, shape_of

OUTSIDE = "outside"
PARTS = ("face oval", HEAD, "eyes", "brows", "mouth", "lips", "nose", "skin", OUTSIDE)
SOFT_STEPS = 8  # pixels of the reduced picture in which a soft edge is drawn, across the edge
Size = tuple[int, int]  # width and height of a picture
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are excluded


def mask(face: Perception, size: Size, part: str, grow: float = 0.0, feather: float = 0.0) -> Mask:
    """Return a part of a face, (H, W) float32, 0…1: the share of each pixel that lies in it.

    "outside" is everything but the head. The face may reach beyond the picture. Raises InputError for an unknown part,
    and for numbers that are not finite.
    """
    check_finite(grow=grow, feather=feather)
    if part == OUTSIDE:
        return 1 - mask(face, size, HEAD, grow, feather)
    shape = _grown(face, size, part, grow)
    soft = feather * shape.face_height
    return _soft(shape, size, soft) if soft > 1 and any(map(len, shape.added)) else _sharp(shape, size)


def union(faces: Sequence[Perception], size: Size, part: str, grow: float = 0.0, feather: float = 0.0) -> Mask:
    """Return a part of all faces of a picture as one mask (H, W); without a face all 0, and "outside" is all 1."""
    if part == OUTSIDE:
        return 1 - union(faces, size, HEAD, grow, feather)
    whole = np.zeros(size[::-1], np.float32)
    for face in faces:
        np.maximum(whole, mask(face, size, part, grow, feather), out=whole)
    return whole


def box(face: Perception, size: Size, part: str, grow: float = 0.0) -> Box:
    """Return the pixels that the part touches, cut off at the edge of the picture: (0, 0, 0, 0) if it is not in it.

    The box of "outside" is that of the head. Raises InputError as `mask` does.
    """
    check_finite(grow=grow)
    shape = _grown(face, size, HEAD if part == OUTSIDE else part, grow)
    corners = [
        np.concatenate([np.floor(polygon.min(axis=0)), np.ceil(polygon.max(axis=0))]).clip(0, (*size, *size))
        for polygon in shape.added
        if area(polygon) > 0
    ]
    seen = np.array([each for each in corners if (each[:2] < each[2:]).all()]).astype(int)  # (polygons, 4)
    if not len(seen):
        return 0, 0, 0, 0
    left, top = seen[:, :2].min(axis=0).tolist()
    right, bottom = seen[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def rectangle(box: tuple[float, float, float, float], size: Size, feather: float = 0.0) -> Mask:
    """Return a box, left, top, right, bottom as shares of the picture, as a mask (H, W), 0…1.

    `feather` is a share of the box's height. Sides at the edge of the picture are not soft.
    """
    sides = np.array(box)
    soft = feather * (sides[3] - sides[1]) * size[1]
    sides = np.where(sides <= 0, -1, np.where(sides >= 1, 2, sides))
    left, top, right, bottom = sides * (*size, *size)
    shape = Shape([np.array([(left, top), (right, top), (right, bottom), (left, bottom)])], [], 0.0, bottom - top)
    return _soft(shape, size, soft) if soft > 1 else _sharp(shape, size)


def owned(masks: Sequence[Mask], heights: Sequence[float]) -> list[Mask]:
    """Return masks of the faces of one picture without overlaps: where two meet, the larger and so nearer face wins.

    `heights` are those of the faces; of equally high ones, the first wins. The sum of the results is at most 1 in each
    pixel.
    """
    free: Mask | float = 1.0
    result = list(masks)
    for index in sorted(range(len(masks)), key=lambda index: -heights[index]):
        result[index] = masks[index] * free
        free = free - result[index]
    return result


def check_finite(**amounts: float) -> None:
    """Raise InputError, naming the first amount that is not finite."""
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            raise InputError(f"{name} is {amount}; use a finite number")


def _grown(face: Perception, size: Size, part: str, grow: float) -> Shape:
    if part not in PARTS:
        raise InputError(f"part cannot be {part!r}; choose one of {', '.join(PARTS)}")
    shape = shape_of(face, size, part)
    distance = shape.margin + grow * shape.face_height
    added = [offset(polygon, distance) for polygon in shape.added]
    removed = [offset(polygon, -distance) for polygon in shape.removed]
    return replace(shape, added=added, removed=removed)


def _sharp(shape: Shape, size: Size) -> Mask:
    width, height = size
    result = np.zeros((height, width), np.float32)
    for polygon in shape.added:
        window, coverage = draw(polygon, height, width)
        np.maximum(result[window], coverage, out=result[window])
    for polygon in shape.removed:
        window, coverage = draw(polygon, height, width)
        result[window] *= 1 - coverage
    return result


def _soft(shape: Shape, size: Size, soft: float) -> Mask:
    """Return the shape with an edge `soft` pixels wide, drawn in larger pixels, blurred and enlarged to its place."""
    result = np.zeros(size[::-1], np.float32)
    points: Points = np.concatenate(shape.added)
    low = np.floor(points.min(axis=0) - soft).clip(0, size).astype(int)
    high = np.ceil(points.max(axis=0) + soft).clip(0, size).astype(int)
    if (low >= high).any():
        return result
    pixel = max(1.0, soft / SOFT_STEPS)
    around = int(np.ceil(soft / pixel)) + 1  # larger pixels outside of the window, so that its edge is blurred too
    counts = np.ceil((high - low) / pixel).astype(int)

    def reduced(polygons: list[Points]) -> list[Points]:
        return [(polygon - low) / pixel + around for polygon in polygons]

    drawn = _sharp(
        replace(shape, added=reduced(shape.added), removed=reduced(shape.removed)),
        (int(counts[0]) + 2 * around, int(counts[1]) + 2 * around),
    )
    reach = soft / pixel / 2
    steps = np.arange(-int(reach), int(reach) + 1)
    weights = (reach - np.abs(steps)).clip(0) + 1e-9
    for axis in (0, 1):
        drawn = convolve1d(drawn, (weights / weights.sum()).astype(np.float32), axis=axis, mode="nearest")
    columns, rows = (high - low).tolist()
    window = (around, around, around + columns / pixel, around + rows / pixel)
    enlarged = Image.fromarray(drawn).resize((columns, rows), Image.Resampling.BILINEAR, box=window)
    result[low[1] : high[1], low[0] : high[0]] = np.asarray(enlarged).clip(0, 1)
    return result
