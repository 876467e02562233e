"""Find near-duplicate perceptions: re-saved copies of a photo, or adjacent frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..dataset.samples import Floats

# The distance, in the units of training/inspection/outliers.py, below which two faces are the same picture. Measured on
# 23 photos: five in six of their copies, saved as JPEG of quality 50 to 95 or resized, are below it, and six in ten of
# those cropped by a twentieth; no two photos of different people or moments are. Of 13,635 photos of different people,
# 1 in 280 has a neighbor that close, some of which are copies too. Of the frames of a talking face, four in five have
# one 1/24 s earlier, one in six half a second earlier, and one in fifty a second earlier.
SAME_PICTURE = 0.014

BLOCK = 2048  # faces processed in one step
PAIRS = 1 << 16  # pairs compared in all components in one step
FIRST_LOOK = 12  # components that suffice to separate most pairs of faces; all are compared only if they do not

_Cell = tuple[int, int]


def near_duplicates(components: Floats, distance: float = SAME_PICTURE) -> NDArray[np.int64]:
    """Return, for each face, the first kept face that is closer than `distance`, (N,).

    `components` (N, K), K ≥ 2, describe the faces. They are processed in order: one without such a neighbor
    among the kept faces is kept, and the result has its own number. So some faces of a slow movement
    are kept, and no two of these are closer than `distance`.
    """
    result = np.arange(len(components))
    if not len(components):
        return result
    low, high = np.quantile(components[:: max(1, len(components) // BLOCK)], (0.1, 0.9), axis=0)
    ordered = np.ascontiguousarray(components[:, np.argsort(low - high)])  # those that vary most come first
    cells = np.floor(ordered[:, :2] / distance).astype(np.int64)  # (N, 2): near faces are in adjacent cells
    kept: dict[_Cell, NDArray[np.int64]] = {}
    for start in range(0, len(components), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(components)))
        for cell, members in _by_cell(cells, rows):
            for others in _around(kept, cell):
                near, to = _near_pairs(ordered, members, others, distance)
                np.minimum.at(result, near, to)
        new = rows[result[rows] == rows]
        one, other = _near_pairs(ordered, new, new, distance)
        one, other = one[one < other], other[one < other]  # in the order of `one`
        for row, followers in zip(*_runs(one, other), strict=True):
            if result[row] == row:
                result[followers] = np.where(result[followers] == followers, row, result[followers])
        for cell, members in _by_cell(cells, rows[result[rows] == rows]):
            kept[cell] = np.concatenate([kept[cell], members]) if cell in kept else members
    return result


def _near_pairs(
    components: Floats, rows: NDArray[np.int64], others: NDArray[np.int64], distance: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of a row and another that are closer than `distance`, (P,) and (P,), ordered by row."""
    mine, theirs = components[rows, :FIRST_LOOK], components[others, :FIRST_LOOK]
    squares = mine @ (-2 * theirs.T)  # |a|² + |b|² − 2ab, with |a|² moved to the other side below
    squares += np.square(theirs).sum(axis=1)
    a, b = (squares < distance**2 - np.square(mine).sum(axis=1, keepdims=True)).nonzero()
    one, other = rows[a], others[b]
    near = np.empty(len(one), dtype=np.bool_)
    for start in range(0, len(one), PAIRS):
        piece = slice(start, start + PAIRS)
        near[piece] = np.square(components[one[piece]] - components[other[piece]]).sum(axis=1) < distance**2
    return one[near], other[near]


def _by_cell(cells: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[_Cell, NDArray[np.int64]]]:
    """Yield each cell and its rows."""
    names, owner = np.unique(cells[rows], axis=0, return_inverse=True)
    for number, members in zip(*_runs(*_sorted(owner.reshape(-1), rows)), strict=True):
        right, down = names[number].tolist()
        yield (right, down), members


def _around(kept: dict[_Cell, NDArray[np.int64]], cell: _Cell) -> list[NDArray[np.int64]]:
    """Return the kept faces of a cell and of the adjacent cells."""
    near = ((cell[0] + right, cell[1] + down) for right, down in product((-1, 0, 1), repeat=2))
    return [kept[name] for name in near if name in kept]


def _sorted(keys: NDArray[np.int64], values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]


def _runs(keys: NDArray[np.int64], values: NDArray[np.int64]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """Return each distinct key of sorted keys, and its values."""
    distinct, starts = np.unique(keys, return_index=True)
    return distinct.tolist(), np.split(values, starts[1:]) if len(keys) else []
