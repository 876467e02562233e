"""What landmarkers share: the check of the pictures they get, and the order and boxes of the faces they give."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .engines import Faces
from .vector import bounding_boxes


def check_pictures(pictures: Sequence[Tensor]) -> None:
    """Raise a ValueError that names the first picture that is not (H, W, 3) uint8 or has no pixels."""
    for index, picture in enumerate(pictures):
        if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.numel():
            raise ValueError(
                f"picture {index} must be (H, W, 3) uint8 and not empty, not {tuple(picture.shape)} {picture.dtype}"
            )


def check_confidence(value: float) -> None:
    """Raise a ValueError unless the value may be a `min_confidence`."""
    if not 0 < value <= 1:
        raise ValueError(f"min_confidence must be above 0 and at most 1, not {value}")


def largest_first(landmarks: Tensor, scores: Tensor, image_size: tuple[int, int]) -> Faces:
    """The faces of one picture, with the bounding boxes of their landmarks, by the area of these.

    Landmarks (F, 478, 3) are normalised (see perception/vector.py), `scores` (F,), `image_size` (height, width).
    """
    boxes = bounding_boxes(landmarks, torch.tensor([image_size]))
    order = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).argsort(descending=True, stable=True)
    return Faces(landmarks=landmarks[order], boxes=boxes[order], scores=scores[order])
