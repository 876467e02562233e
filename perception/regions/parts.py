"""The polygons of a face's parts, in pixels of a picture of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from ..topology import (
    FACE_OVAL,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE_OUTLINE,
    NOSE,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE_OUTLINE,
)
from ..vector import Perception
from .coverage import Points

EYES = (RIGHT_EYE_OUTLINE, LEFT_EYE_OUTLINE)
# The outlines whose union is the part, and those that are cut out of it.
OUTLINES: dict[str, tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]] = {
    "face oval": ((FACE_OVAL,), ()),
    "eyes": (EYES, ()),
    "brows": ((RIGHT_BROW, LEFT_BROW), ()),
    "mouth": ((OUTER_LIPS,), ()),
    "lips": ((OUTER_LIPS,), (INNER_LIPS,)),
    "nose": ((NOSE,), ()),
    "skin": ((FACE_OVAL,), (*EYES, OUTER_LIPS)),
}
HEAD = "head"  # the oval with the skull behind it
FOREHEAD, CHIN, RIGHT_SIDE, LEFT_SIDE = 10, 152, 234, 454  # landmarks at the ends of the oval
# The skull with its hair, an ellipsoid above the line between the sides of the face. Of a head of average proportions,
# the face from chin to hairline is 18 cm high, the head 23 cm high, 15.5 cm wide and 19.5 cm deep; hair adds 2 cm.
SKULL_RADII = (0.44, 0.60, 0.55)  # to the side, up and to the back, as shares of the face's height
SKULL_RISE = 0.14
HEAD_MARGIN = 0.05  # around face and skull
SKULL_POINTS = 64


@dataclass(frozen=True)
class Shape:
    """A part of a face: the union of polygons, without other polygons."""

    added: list[Points]
    removed: list[Points]
    margin: float  # pixels to grow it by
    face_height: float  # pixels


def shape_of(face: Perception, size: tuple[int, int], part: str) -> Shape:
    """Return the head of a face, or one of the parts in OUTLINES, in a picture of `size` (width, height)."""
    points = _points(face, size)
    tall = _height(points)
    if part == HEAD:
        return Shape([head(points, tall)], [], HEAD_MARGIN * tall, tall)
    added, removed = ([points[list(outline), :2] for outline in outlines] for outlines in OUTLINES[part])
    return Shape(added, removed, 0.0, tall)


def face_height(face: Perception, size: tuple[int, int]) -> float:
    """Return the distance from chin to forehead in pixels of a picture of `size`, whatever the head's pose."""
    return _height(_points(face, size))


def _points(face: Perception, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the landmarks (478, 3) in pixels of a picture of `size`, (0, 0) at the top left corner of its first pixel.

    Landmarks count from the center of the first pixel of the picture that the face was detected in.
    """
    width, height = size
    tall, wide = face.image_size
    half = np.array([width / wide, height / tall, 0]) / 2
    points: NDArray[np.float64] = face.landmarks.numpy().astype(np.float64) * (width, height, width) + half
    return points


def _height(points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(points[FOREHEAD] - points[CHIN]))


def head(points: NDArray[np.float64], tall: float) -> Points:
    """Return the convex hull of face oval and skull of landmarks (478, 3) of a face of that height."""
    both = np.concatenate([points[list(FACE_OVAL), :2], skull(points, tall)])
    try:
        hull: Points = both[ConvexHull(both).vertices]
    except QhullError:  # the points of a face without extent lie on a line
        return both
    return hull


def skull(points: NDArray[np.float64], tall: float) -> Points:
    """Return the outline of the skull, an ellipse, of landmarks (478, 3) of a face of that height."""
    up = points[FOREHEAD] - points[CHIN]
    side = points[LEFT_SIDE] - points[RIGHT_SIDE]
    axes, _ = np.linalg.qr(np.stack([up, side, np.cross(up, side)], axis=1))  # columns: up, to the side, to the back
    middle = (points[LEFT_SIDE] + points[RIGHT_SIDE]) / 2 + SKULL_RISE * up
    to_side, to_top, to_back = SKULL_RADII
    seen = axes[:2] * np.array([to_top, to_side, to_back]) * tall  # (2, 3): maps the unit sphere into the picture
    # The outline of the sphere's image: the ellipse whose matrix is seen @ seen.T.
    lengths, directions = np.linalg.eigh(seen @ seen.T)
    angles = np.linspace(0, 2 * np.pi, SKULL_POINTS, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    ellipse: Points = middle[:2] + ((directions * np.sqrt(lengths.clip(0))) @ circle).T
    return ellipse
