"""Measure how similar the training and evaluation faces are: if too similar, the evaluation is meaningless."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.vector import LANDMARKS, split
from ..inspection.near_duplicates import SAME_PICTURE
from ..learning.data import TrainingData, sample

LOOKED_AT = 20_000  # maximum number of training faces, chosen at random
ASKED = 1_000  # maximum number of evaluated faces, chosen at random
CHUNK = 2048  # faces measured in one step


def near_duplicate_share(data: TrainingData, train: Tensor, evaluated: Tensor) -> float:
    """Return the share (0…1) of evaluated rows (T,) that are near-duplicates of a training row (n,).

    Both are row numbers. If there are more than `LOOKED_AT` or `ASKED`, a sample is used, and the share is a lower
    bound.
    """
    model = ExpressionModel.load()
    faces = torch.cat(list(_faces(model, data, sample(evaluated, ASKED))))  # (A, 1434)
    nearest = torch.full((len(faces),), torch.inf)
    for others in _faces(model, data, sample(train, LOOKED_AT)):
        nearest = torch.minimum(nearest, torch.cdist(faces, others).amin(dim=1))
    return float((nearest < SAME_PICTURE).float().mean())


def all_near_duplicates(data: TrainingData, train: Tensor) -> bool:
    """Return whether the faces of the training rows (n,) differ no more than copies of one picture do."""
    faces = torch.cat(list(_faces(ExpressionModel.load(), data, sample(train, ASKED))))
    return len(faces) > 1 and bool(((faces - faces[0]).norm(dim=1) < SAME_PICTURE).all())


def _faces(model: ExpressionModel, data: TrainingData, rows: Tensor) -> Iterator[Tensor]:
    """Yield pose-free faces (n, 1434); their distance is the root mean square over landmarks, in eye distances.

    Except for noise of the landmarker, this is the distance of training/inspection/outliers.py that `SAME_PICTURE` was
    measured with; unlike that one, it also distinguishes landmarks that do not form a valid face.
    """
    for part in rows.split(CHUNK):
        landmarks, _ = split(data.vectors[part])
        points = model.align(landmarks, data.image_sizes[part]).points - model.mean
        yield points.flatten(1) / LANDMARKS**0.5
