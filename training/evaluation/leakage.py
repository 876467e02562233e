"""How alike the faces of training and of judging are: too alike, and judging says nothing."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.vector import LANDMARKS, split
from ..inspection.duplicates import SAME_PICTURE
from ..learning.data import TrainingData, sample

LOOKED_AT = 20_000  # training faces at most, drawn by chance
ASKED = 1_000  # judged faces at most, drawn by chance
CHUNK = 2048  # faces measured in one step


def near_copies(data: TrainingData, train: Tensor, judged: Tensor) -> float:
    """The share (0…1) of judged rows (T,) whose face is nearly that of a training row (n,): the same picture again.

    Both are numbers of rows. Where more than `LOOKED_AT` or `ASKED` are given, some of them stand for all, so that
    the share is the least that there can be.
    """
    model = ExpressionModel.load()
    faces = torch.cat(list(_faces(model, data, sample(judged, ASKED))))  # (A, 1434)
    nearest = torch.full((len(faces),), torch.inf)
    for others in _faces(model, data, sample(train, LOOKED_AT)):
        nearest = torch.minimum(nearest, torch.cdist(faces, others).amin(dim=1))
    return float((nearest < SAME_PICTURE).float().mean())


def all_alike(data: TrainingData, train: Tensor) -> bool:
    """Whether the faces of the training rows (n,) do not differ more than two pictures of one face."""
    faces = torch.cat(list(_faces(ExpressionModel.load(), data, sample(train, ASKED))))
    return len(faces) > 1 and bool(((faces - faces[0]).norm(dim=1) < SAME_PICTURE).all())


def _faces(model: ExpressionModel, data: TrainingData, rows: Tensor) -> Iterator[Tensor]:
    """Pose-free faces (n, 1434), whose distance is the root mean square over landmarks, in distances of the eyes.

    Between faces this is, but for the landmarker's noise, the distance of training/inspection/outliers.py, which
    `SAME_PICTURE` was measured with; unlike that, it also tells landmarks apart that are no faces.
    """
    for part in rows.split(CHUNK):
        landmarks, _ = split(data.vectors[part])
        points = model.align(landmarks, data.image_sizes[part]).points - model.mean
        yield points.flatten(1) / LANDMARKS**0.5
