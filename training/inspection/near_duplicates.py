"""Find near-duplicate perceptions: re-saved copies of a photo, or adjacent frames of a video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

# The distance, in the units of training/inspection/outliers.py, below which two faces are the same picture. Measured on
# 23 photos: five in six of their copies, saved as JPEG of quality 50 to 95 or resized, are below it, and six in ten of
# those cropped by a twentieth; no two photos of different people or moments are. Of 13,635 photos of different people,
# 1 in 280 has a neighbor that close, some of which are copies too. Of the frames of a talking face, four in five have
# one 1/24 s earlier, one in six half a second earlier, and one in fifty a second earlier.
SAME_PICTURE = 0.014

LEADING = 6  # components in which neighbors are searched; few pairs that are close in these are far apart in all
SAMPLE = 2048  # faces whose spread decides which components these are


def near_duplicates(components: NDArray[np.floating], distance: float = SAME_PICTURE) -> NDArray[np.int64]:
    """Return, for each face, the first kept face that is closer than `distance`, (N,).

    `components` (N, K) describe the faces. They are processed in order: one without such a neighbor among the kept
    faces is kept, and the result has its own number. So some faces of a slow movement are kept, and no two of these are
    closer than `distance`.
    """
    result = np.arange(len(components))
    if not len(components):
        return result
    low, high = np.quantile(components[:: max(1, len(components) // SAMPLE)], (0.1, 0.9), axis=0)
    leading = components[:, np.argsort(low - high)[:LEADING]]
    tree = cKDTree(leading)
    nearest, _ = tree.query(leading, k=2, distance_upper_bound=distance)  # the nearest one is the face itself
    undecided = np.isfinite(nearest[:, 1])
    for row in np.flatnonzero(undecided):
        if undecided[row]:
            near = np.array(tree.query_ball_point(leading[row], distance))
            near = near[undecided[near]]
            near = near[np.square(components[near] - components[row]).sum(axis=1) < distance**2]
            result[near] = row
            undecided[near] = False
    return result
