"""Faces as ComfyUI's own nodes for face landmarks read them: the FACE_LANDMARKS that its MediaPipe nodes exchange.

See perception/landmarks/comfyui.py, which reads them back. All entries of ComfyUI 0.23 and newer are there:

    frames           for each picture, a list of faces: landmarks_xy, landmarks_3d, bbox_xyxy, score, presence,
                     blendshapes and transformation_matrix
    image_size       (height, width) of all pictures
    connection_sets  the lines and outlines that masks and meshes are drawn from, as pairs of landmarks
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor

from ...common.errors import InputError
from ..actions.names import ACTIONS
from ..topology import (
    FACE_OVAL,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE_OUTLINE,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE_OUTLINE,
    RIGHT_IRIS,
    triangles,
)
from ..vector import Perceptions, bounding_boxes
from .transformation import transformation_matrices

CROP = 192  # pixels: the side of the network's picture of a face, in which landmarks_3d are measured
MARGIN = 1.5  # the side of that picture ÷ the size of the face
OUTER_CORNERS = (33, 263)  # of the right and the left eye: the crop is upright where they are level
SMALLEST = 1e-6  # pixels, instead of 0, of a face whose points coincide
SURE = 1e-4  # presence is the score's log-odds, which would be infinite at 0 and 1
NOSE_LINES = (
    (168, 6, 197, 195, 5, 4, 1, 19, 94, 2),
    (98, 97, 2, 326, 327, 294, 278, 344, 440, 275, 4, 45, 220, 115, 48, 64, 98),
)
CONTOURS = ("face_oval", "left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "lips")

Connections = frozenset[tuple[int, int]]


def face_landmarks(perceptions: Perceptions, actions: Tensor, image_size: tuple[int, int]) -> dict[str, Any]:
    """Return FACE_LANDMARKS of faces with actions (N, 52), all from pictures of `image_size` (height, width).

    Raises InputError if a face is from a picture of another size.
    """
    sizes = perceptions.image_sizes
    others = sizes[(sizes != torch.tensor(image_size)).any(dim=1)]
    if len(others):
        height, width = others[0].tolist()
        raise InputError(
            f"ComfyUI's face landmarks are for pictures of one size, here {image_size[1]}×{image_size[0]}, but a face "
            f"is from a picture of {width}×{height}: connect the pictures of the faces to image, and convert faces "
            "from pictures of other sizes separately"
        )
    frames: list[list[dict[str, Any]]] = [[] for _ in range(perceptions.frame_count)]
    for frame, face in zip(perceptions.frames.tolist(), _faces(perceptions, actions), strict=True):
        frames[frame].append(face)
    return {"frames": frames, "image_size": image_size, "connection_sets": connection_sets()}


def _faces(perceptions: Perceptions, actions: Tensor) -> list[dict[str, Any]]:
    landmarks, sizes = perceptions.landmarks.double(), perceptions.image_sizes
    pixels = landmarks[..., :2] * sizes.flip(1)[:, None]  # (N, 478, 2)
    depths = landmarks[..., 2] * sizes[:, 1:]
    scores = perceptions.scores.double()
    arrays = {
        "bbox_xyxy": bounding_boxes(landmarks, sizes),
        "landmarks_xy": pixels,
        "landmarks_3d": _in_crop(pixels, depths),
        "transformation_matrix": transformation_matrices(landmarks, sizes),
    }
    rows = [{name: array[row].float().numpy() for name, array in arrays.items()} for row in range(len(landmarks))]
    numbers = zip(actions.tolist(), scores.tolist(), scores.logit(SURE).tolist(), strict=True)
    return [
        {"blendshapes": dict(zip(ACTIONS, values, strict=True)), "score": score, "presence": presence, **row}
        for row, (values, score, presence) in zip(rows, numbers, strict=True)
    ]


def _in_crop(pixels: Tensor, depths: Tensor) -> Tensor:
    """Return landmarks (N, 478, 3) in the network's picture of each face: square, upright, with a margin."""
    eyes = pixels[:, OUTER_CORNERS[1]] - pixels[:, OUTER_CORNERS[0]]
    angle = torch.atan2(eyes[:, 1], eyes[:, 0])
    across = torch.stack([angle.cos(), angle.sin()], dim=1)  # (N, 2): the crop's x axis in the picture
    down = torch.stack([-angle.sin(), angle.cos()], dim=1)
    turned = pixels @ torch.stack([across, down], dim=2)  # (N, 478, 2)
    low, high = turned.amin(dim=1, keepdim=True), turned.amax(dim=1, keepdim=True)
    side = MARGIN * (high - low).amax(dim=2, keepdim=True).clamp_min(SMALLEST)
    points = torch.cat([turned - (low + high) / 2, depths[..., None]], dim=2) * (CROP / side)
    return points + points.new_tensor([CROP / 2, CROP / 2, 0])


@lru_cache(maxsize=1)
def connection_sets() -> dict[str, Connections]:
    """Return MediaPipe's sets of lines between landmarks, by the names that ComfyUI gives them."""
    sets = {
        "face_oval": _rings(FACE_OVAL),
        "lips": _rings(OUTER_LIPS, INNER_LIPS),
        "left_eye": _rings(LEFT_EYE_OUTLINE),
        "right_eye": _rings(RIGHT_EYE_OUTLINE),
        "left_eyebrow": _lines(LEFT_BROW[:5], LEFT_BROW[5:]),  # the upper and the lower edge
        "right_eyebrow": _lines(RIGHT_BROW[:5], RIGHT_BROW[5:]),
        "left_iris": _rings(LEFT_IRIS[1:]),
        "right_iris": _rings(RIGHT_IRIS[1:]),
        "nose": _lines(*NOSE_LINES),
        "tesselation": _rings(*triangles().tolist()),
    }
    sets["irises"] = sets["left_iris"] | sets["right_iris"]
    sets["contours"] = frozenset(chain.from_iterable(sets[name] for name in CONTOURS))
    sets["all"] = sets["contours"] | sets["irises"] | sets["nose"]
    return sets


def _lines(*lines: Sequence[int]) -> Connections:
    return frozenset(chain.from_iterable(map(pairwise, lines)))


def _rings(*rings: Sequence[int]) -> Connections:
    return _lines(*([*ring, ring[0]] for ring in rings))
