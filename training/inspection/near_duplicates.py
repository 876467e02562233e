"""Find near-duplicate perceptions: re-saved copies of a photo, or adjacent frames of a video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The distance, in the units of training/inspection/outliers.py, below which two faces are the same picture. Measured on
# 23 photos: five in six of their copies, saved as JPEG of quality 50 to 95 or resized, are below it, and six in ten of
# those cropped by a twentieth; no two photos of different people or moments are. Of 13,635 photos of different people,
# 1 in 280 has a neighbor that close, some of which are copies too. Of the frames of a talking face, four in five have
# one 1/24 s earlier, one in six half a second earlier, and one in fifty a second earlier.
SAME_PICTURE = 0.014

BLOCK = 1024  # faces compared with each other in one step


def near_duplicates(components: NDArray[np.floating], distance: float = SAME_PICTURE) -> NDArray[np.int64]:
    """Return, for each face, the first kept face that is closer than `distance`, (N,).

    `components` (N, K) describe the faces. They are processed in order: one without such a neighbor among the kept
    faces is kept, and the result has its own number. So some faces of a slow movement are kept, and no two of these are
    closer than `distance`. All kept faces are compared with all later ones by matrix products, which on 64 components
    are several times faster than scipy's cKDTree.
    """
    faces = components.astype(np.float64)  # in float32, the differences below would be too inexact
    result = np.full(len(components), -1)  # -1: not yet known
    for start in range(0, len(components), BLOCK):
        end = start + BLOCK
        block = start + np.flatnonzero(result[start:end] < 0)
        near = _are_near(faces[block], faces[block], distance)
        for row, neighbors in zip(block.tolist(), near, strict=True):
            if result[row] < 0:
                followers = block[neighbors]
                result[followers[result[followers] < 0]] = row
                result[row] = row
        kept = block[result[block] == block]
        if not len(kept):
            continue
        later = end + np.flatnonzero(result[end:] < 0)
        for rows in np.split(later, range(BLOCK, len(later), BLOCK)):
            near = _are_near(faces[rows], faces[kept], distance)  # (n, k)
            found = near.any(axis=1)
            result[rows[found]] = kept[near[found].argmax(axis=1)]
    return result


def _are_near(a: NDArray[np.float64], b: NDArray[np.float64], distance: float) -> NDArray[np.bool_]:
    """Return whether a[i] (n, K) and b[j] (k, K) are closer than a distance, (n, k)."""
    squares = a @ (-2 * b.T)  # |a − b|² = |a|² + |b|² − 2ab
    squares += np.square(b).sum(axis=1)
    near: NDArray[np.bool_] = squares < distance**2 - np.square(a).sum(axis=1, keepdims=True)
    return near
