"""OpenPose's 70 key points of a face, from 478 landmarks, and the POSE_KEYPOINT that nodes of ComfyUI exchange.

The first 68 are those of the iBUG annotation (300-W); the last two are the pupils. A point of the annotation without a
landmark of its own is the middle between two landmarks. On the jaw, where the annotation has points at equal
distances, the landmarks are chosen so that these are nearly equal on the mean face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..topology import LEFT_BROW, LEFT_IRIS, NOSTRILS, RIGHT_BROW, RIGHT_IRIS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]  # (N, 2) x and y in pixels

JAW = (
    *(127, (234, 93), (93, 132), (132, 58), (58, 172), 136, (150, 149), (176, 148)),  # the person's right, downward
    152,
    *((400, 377), (379, 378), 365, (288, 397), (361, 288), (323, 361), (454, 323), 356),  # the left, upward
)
NOSE = ((168, 6), 197, (195, 5), 4, *NOSTRILS)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
OUTER_LIPS = (61, (40, 39), 37, 0, 267, (270, 269), 291, 321, 314, 17, 84, 91)
INNER_LIPS = (78, 81, 13, 311, 308, 402, 14, 178)
PUPILS = (RIGHT_IRIS[0], LEFT_IRIS[0])
FACE = (*JAW, *RIGHT_BROW[:5], *reversed(LEFT_BROW[:5]), *NOSE, *EYES, *OUTER_LIPS, *INNER_LIPS, *PUPILS)
PAIRS = np.array([point if isinstance(point, tuple) else (point, point) for point in FACE])  # (70, 2)

BODY, HAND = 18, 21  # key points of a person's body and of each hand
UNKNOWN = [0.0, 0.0, 0.0]  # a key point that is not known: x, y and confidence


def key_points(landmarks: Points) -> Points:
    """Return the 70 key points (70, 2) of a face with landmarks (478, 2)."""
    points: Points = landmarks[PAIRS].mean(axis=1)
    return points


def pose_keypoint(faces: Sequence[Points], size: tuple[int, int]) -> dict[str, Any]:
    """Return one picture's POSE_KEYPOINT, of faces with landmarks (478, 2) in a picture of (width, height) `size`.

    This is OpenPose's JSON: flat lists of x and y in pixels and the confidence, 1 or 0. Only the points of faces that
    are inside the picture are known. Body and hands are listed without a known point, since ComfyUI's own node that
    draws key points requires them.
    """
    return {
        "people": [
            {
                "pose_keypoints_2d": UNKNOWN * BODY,
                "face_keypoints_2d": _flat(key_points(face), size),
                "hand_left_keypoints_2d": UNKNOWN * HAND,
                "hand_right_keypoints_2d": UNKNOWN * HAND,
            }
            for face in faces
        ],
        "canvas_width": size[0],
        "canvas_height": size[1],
    }


def _flat(points: Points, size: tuple[int, int]) -> list[float]:
    inside = ((points >= 0) & (points < size)).all(axis=1, keepdims=True)
    known = np.where(inside, np.column_stack([points, np.ones(len(points))]), UNKNOWN)
    flat: list[float] = known.ravel().tolist()
    return flat
