"""The parts of the face formed by the 478 landmarks, and the lines and triangles between them.

Left and right are the person's own, here and everywhere in the pack, as in MediaPipe's names of landmarks: the left eye
is at larger x in an upright picture. The first lists are MediaPipe's (face landmark with attention), in the order in
which its networks refine lips and eyes. In the outlines and lines, indices follow one another around the feature.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from . import weight_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408),
    *(62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407),
)

EYE_CONTOUR = 16  # each list of an eye starts with the contour of its lids

RIGHT_EYE = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
    *(130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190),
    *(226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189),
    *(35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193),
)

LEFT_EYE = (
    *(263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    *(359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414),
    *(446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413),
    *(265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349),
    *(350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417),
)

LIP_CORNERS = (61, 291)  # from the picture's left to its right: the axis along which the region is cropped
RIGHT_EYE_CORNERS = (33, 133)  # as those of the lips
LEFT_EYE_CORNERS = (362, 263)

RIGHT_IRIS = (468, 469, 470, 471, 472)  # the pupil, then four points of the rim
LEFT_IRIS = (473, 474, 475, 476, 477)


TESSELATION = weight_files.FOLDER / "tesselation.safetensors"

FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
RIGHT_EYE_OUTLINE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE_OUTLINE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4)
NOSTRILS = (98, 97, 2, 326, 327)
NOSE = (168, 351, 399, 420, 279, 358, 294, 327, 326, 2, 97, 98, 64, 129, 49, 198, 174, 122)  # around bridge and wings

CLOSED_LINES = (FACE_OVAL, RIGHT_EYE_OUTLINE, LEFT_EYE_OUTLINE, RIGHT_BROW, LEFT_BROW, OUTER_LIPS, INNER_LIPS)
OPEN_LINES = (NOSE_BRIDGE, NOSTRILS)
# Enough for a small face.
FEW_LINES = (
    (*FACE_OVAL, FACE_OVAL[0]),
    (*RIGHT_EYE_OUTLINE, RIGHT_EYE_OUTLINE[0]),
    (*LEFT_EYE_OUTLINE, LEFT_EYE_OUTLINE[0]),
    RIGHT_BROW[:5],
    LEFT_BROW[:5],
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),  # upper edge of the lips
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),  # lower edge
)
FEATURES = (*RIGHT_EYE_OUTLINE, *LEFT_EYE_OUTLINE, *RIGHT_BROW, *LEFT_BROW, *OUTER_LIPS)
IRISES = tuple((iris[0], iris[1:]) for iris in (RIGHT_IRIS, LEFT_IRIS))  # center, rim


@lru_cache(maxsize=1)
def triangles() -> NDArray[np.int64]:
    """Return the (852, 3) triangles of the dense mesh over landmarks 0 to 467; eyes and mouth are holes.

    Raises WeightFileError if their file is missing or damaged.
    """
    tensors, _ = weight_files.read(TESSELATION)
    corners: NDArray[np.int64] = tensors["triangles"].long().numpy()
    return corners


@lru_cache(maxsize=1)
def mesh_lines() -> tuple[tuple[int, ...], ...]:
    """Return all edges of `triangles`, each once, joined into few long lines, which draw faster."""
    neighbors: dict[int, set[int]] = {}
    for first, second, third in triangles().tolist():
        for start, end in ((first, second), (second, third), (third, first)):
            neighbors.setdefault(start, set()).add(end)
            neighbors.setdefault(end, set()).add(start)
    # A line that begins where an odd number of edges meet can only end at another such landmark (Euler).
    starts = sorted(neighbors, key=lambda landmark: (len(neighbors[landmark]) % 2 == 0, landmark))
    lines = []
    for start in starts:
        while neighbors[start]:
            line = [start]
            while neighbors[line[-1]]:
                following = min(neighbors[line[-1]])
                neighbors[line[-1]].remove(following)
                neighbors[following].remove(line[-1])
                line.append(following)
            lines.append(tuple(line))
    return tuple(lines)
