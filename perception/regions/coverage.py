"""Draw polygons with exact coverage: each pixel is the share of its area that lies inside.

The sum of a mask is the polygon's own area (to 1/4096 of a pixel per pixel of the edge), pixels away from the edge are
exactly 0 or 1, and mirrored polygons give mirrored masks. The method is that of font renderers: each edge adds the area
below it to the pixels that it crosses, and a running sum down the columns fills the inside.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (P, 2): x and y in pixels, (0, 0) at the top left corner of the first pixel
Mask = NDArray[np.float32]  # (H, W), 0…1
Window = tuple[slice, slice]  # rows and columns

STEPS = 4096  # of a pixel; sums of such numbers are exact in float32
FARTHEST = 1e6  # pixels; farther points are moved to this
ARC = 8  # segments of the arc around a corner


def area(polygon: Points) -> float:
    """Return the area of a polygon, positive if its corners are clockwise in a picture, whose y points down."""
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def offset(polygon: Points, distance: float) -> Points:
    """Return a polygon whose sides have moved outward by `distance` pixels (inward if negative), with round corners.

    The result is clockwise. Where a shrunken part vanishes or a grown one overlaps itself, it crosses itself; `draw`
    fills it as it should be.
    """
    if area(polygon) < 0:
        polygon = polygon[::-1]
    if distance == 0:
        return polygon
    sides = np.roll(polygon, -1, axis=0) - polygon
    polygon, sides = (some[np.hypot(*sides.T) > 0] for some in (polygon, sides))  # without repeated corners
    if not len(polygon):
        return polygon
    after = np.arctan2(-sides[:, 0], sides[:, 1])  # direction of the outward normal of the side after each corner
    before = np.roll(after, 1)
    turn = (after - before + np.pi) % (2 * np.pi) - np.pi
    angles = before[:, None] + turn[:, None] * np.linspace(0, 1, ARC + 1)  # (P, ARC + 1)
    distances = np.full(angles.shape, float(distance))
    # Where two moved sides cross, go from one to the other by way of the corner: what is outside is then never counted
    # as inside, however far the sides move, since each side only adds or takes away the strip between old and new.
    distances[turn * distance < 0, 1:-1] = 0
    moved: Points = polygon[:, None] + distances[..., None] * np.stack([np.cos(angles), np.sin(angles)], axis=2)
    return moved.reshape(-1, 2)


def draw(polygon: Points, height: int, width: int) -> tuple[Window, Mask]:
    """Return the part of a picture that a clockwise polygon covers, and its coverage there, 0…1."""
    nothing = (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32)
    if len(polygon) < 3:
        return nothing
    polygon = polygon.clip(-FARTHEST, FARTHEST)
    limits = np.array([width, height])
    low = np.floor(polygon.min(axis=0)).clip(0, limits).astype(int)
    high = np.ceil(polygon.max(axis=0)).clip(0, limits).astype(int)
    if (low >= high).any():
        return nothing
    columns, rows = (high - low).tolist()
    window = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    return window, _coverage(polygon - low, rows, columns)


def _coverage(polygon: Points, rows: int, columns: int) -> Mask:
    sides = np.roll(polygon, -1, axis=0) - polygon
    moving = sides.any(axis=1)  # `offset` repeats corners
    polygon, sides = polygon[moving], sides[moving]
    edges, shares = _crossings(polygon, sides, rows, columns)
    points = polygon[edges] + shares[:, None] * sides[edges]
    points[:, 0] = (points[:, 0] * STEPS).round() / STEPS
    ends = np.roll(points, -1, axis=0)  # pieces of edges, each within one pixel; an edge's end is the next one's start
    middle = (points + ends) / 2
    inside = (middle[:, 0] > 0) & (middle[:, 0] < columns) & (middle[:, 1] < rows)
    widths, middle = (ends - points)[inside, 0], middle[inside].clip(0)
    column = middle[:, 0].astype(int).clip(0, columns - 1)
    row = middle[:, 1].astype(int)
    below = ((1 - (middle[:, 1] - row)) * widths * STEPS).round() / STEPS  # the area below a piece in its own pixel
    result = np.zeros((rows + 1, columns), np.float32)
    # With one index and without conversion, NumPy adds faster.
    pixel, flat = row * columns + column, result.reshape(-1)
    np.add.at(flat, pixel, below.astype(np.float32))
    np.add.at(flat, pixel + columns, (widths - below).astype(np.float32))
    for above, line in pairwise(result):  # a running sum; np.cumsum takes eight times as long
        np.add(above, line, out=line)
    return np.clip(result[:-1], 0, 1, out=result[:-1])


def _crossings(start: Points, sides: Points, rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where edges start or cross the borders of pixels: the edge, and the share of its length, in order."""
    numbers: list[NDArray[np.int64]] = [np.arange(len(start))]
    shares: list[NDArray[np.float64]] = [np.zeros(len(start))]
    for axis, count in ((0, columns), (1, rows)):
        ends = start[:, axis] + sides[:, axis]
        first = np.ceil(np.minimum(start[:, axis], ends)).clip(0, count + 1).astype(int)
        last = np.floor(np.maximum(start[:, axis], ends)).clip(-1, count).astype(int)
        counts = (last - first + 1).clip(0)
        edge = np.repeat(np.arange(len(start)), counts)
        border = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        moving = sides[edge, axis] != 0
        edge, border = edge[moving], border[moving]
        numbers.append(edge)
        shares.append(((border - start[edge, axis]) / sides[edge, axis]).clip(0, 1))
    edges, along = np.concatenate(numbers), np.concatenate(shares)
    order: NDArray[Any] = np.lexsort((along, edges))
    return edges[order], along[order]
