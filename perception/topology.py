"""Which of the 478 landmarks make up the features of a face, as lines to draw, and the triangles between them.

Left and right are the person's own (perception/regions.py). Indices within a line follow one another around the
feature.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from . import weight_files
from .regions import LEFT_IRIS, RIGHT_IRIS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TESSELATION = weight_files.FOLDER / "tesselation.safetensors"

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4)
NOSTRILS = (98, 97, 2, 326, 327)

CLOSED_LINES = (FACE_OVAL, RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW, OUTER_LIPS, INNER_LIPS)
OPEN_LINES = (NOSE_BRIDGE, NOSTRILS)
# Enough for a small face.
FEW_LINES = (
    (*FACE_OVAL, FACE_OVAL[0]),
    (*RIGHT_EYE, RIGHT_EYE[0]),
    (*LEFT_EYE, LEFT_EYE[0]),
    RIGHT_BROW[:5],
    LEFT_BROW[:5],
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),  # upper edge of the lips
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),  # lower edge
)
FEATURES = (*RIGHT_EYE, *LEFT_EYE, *RIGHT_BROW, *LEFT_BROW, *OUTER_LIPS)
IRISES = tuple((iris[0], iris[1:]) for iris in (RIGHT_IRIS, LEFT_IRIS))  # centre, rim


@lru_cache(maxsize=1)
def triangles() -> NDArray[np.int64]:
    """The (852, 3) triangles of the dense mesh over landmarks 0 to 467; eyes and mouth are holes.

    Raises WeightFileError if the file that holds them is missing or damaged.
    """
    tensors, _ = weight_files.read(TESSELATION)
    corners: NDArray[np.int64] = tensors["triangles"].long().numpy()
    return corners


@lru_cache(maxsize=1)
def mesh_lines() -> tuple[tuple[int, ...], ...]:
    """All edges of `triangles`, each once, strung together into as few lines as is easy: long ones draw faster."""
    neighbours: dict[int, set[int]] = {}
    for first, second, third in triangles().tolist():
        for start, end in ((first, second), (second, third), (third, first)):
            neighbours.setdefault(start, set()).add(end)
            neighbours.setdefault(end, set()).add(start)
    # A line that begins where an odd number of edges meet can only end at another such landmark (Euler).
    starts = sorted(neighbours, key=lambda landmark: (len(neighbours[landmark]) % 2 == 0, landmark))
    lines = []
    for start in starts:
        while neighbours[start]:
            line = [start]
            while neighbours[line[-1]]:
                following = min(neighbours[line[-1]])
                neighbours[line[-1]].remove(following)
                neighbours[following].remove(line[-1])
                line.append(following)
            lines.append(tuple(line))
    return tuple(lines)
