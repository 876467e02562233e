"""The interfaces of landmarkers and emotion models, and shared checks and the order of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .vector import bounding_boxes

# Names shown to users.
BUNDLED, MEDIAPIPE = LANDMARKERS = "bundled", "mediapipe"
FROM_PICTURE, FROM_LANDMARKS = BUNDLED_EMOTION_MODELS = "bundled (picture)", "bundled (landmarks)"
DEFAULT_EMOTION_MODEL = FROM_PICTURE
AND = " + "  # separates the identities of combined models
BATCH_SIZE = 16  # default number of pictures per call
MIN_CONFIDENCE = 0.5  # default
MOST_FACES = 100  # per picture, default


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, on the CPU, the largest first."""

    landmarks: Tensor  # (F, 478, 3) float32, normalized image coordinates (see perception/vector.py)
    boxes: Tensor  # (F, 4) float32: left, top, right, bottom in pixels; axis-aligned, may extend beyond the picture
    scores: Tensor  # (F,) float32: the detector's confidence, 0…1

    def __len__(self) -> int:
        return len(self.landmarks)


class Landmarker(Protocol):
    """Finds faces and their 478 landmarks."""

    @property
    def identity(self) -> str:
        """Return family, version and hash of the weights, stored with every perception, dataset and checkpoint."""
        ...

    @property
    def batch_size(self) -> int:
        """Return the number of pictures per call: enough for full speed, few enough to cancel quickly."""
        ...

    def detect(self, pictures: Sequence[Tensor], *, min_confidence: float = MIN_CONFIDENCE) -> list[Faces]:
        """Return the faces of each picture, in the same order; pictures are (H, W, 3) uint8 RGB of any size.

        Faces with a confidence below `min_confidence` (0…1) are left out if the landmarker provides a confidence.
        """
        ...


class EmotionModel(Protocol):
    """Classifies the emotions of faces that a landmarker has found."""

    @property
    def identity(self) -> str:
        """See `Landmarker.identity`."""
        ...

    def classify(self, pictures: Sequence[Tensor], faces: Sequence[Faces]) -> Tensor:
        """Return probabilities (total faces, 7) float32, in face order, for pictures as above and the faces of each."""
        ...


def check_pictures(pictures: Sequence[Tensor]) -> None:
    """Raise ValueError with the first picture that is not (H, W, 3) uint8 or has no pixels."""
    for index, picture in enumerate(pictures):
        if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.numel():
            raise ValueError(
                f"picture {index} must be (H, W, 3) uint8 and not empty, not {tuple(picture.shape)} {picture.dtype}"
            )


def check_confidence(value: float) -> None:
    """Raise ValueError unless the value is a valid `min_confidence`."""
    if not 0 < value <= 1:
        raise ValueError(f"min_confidence must be above 0 and at most 1, not {value}")


def largest_first(landmarks: Tensor, scores: Tensor, image_size: tuple[int, int]) -> Faces:
    """Return the faces of one picture with the bounding boxes of their landmarks, sorted by area.

    Landmarks (F, 478, 3) are normalized (see perception/vector.py), `scores` (F,), `image_size` (height, width).
    """
    boxes = bounding_boxes(landmarks, torch.tensor([image_size]))
    order = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).argsort(descending=True, stable=True)
    return Faces(landmarks=landmarks[order], boxes=boxes[order], scores=scores[order])
