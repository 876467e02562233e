"""The baselines that a projection has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...perception.vector import EMOTIONS, LANDMARK_VALUES
from ..learning.data import CHUNK, TrainingData, sample
from ..learning.ridge import best_ridge
from ..learning.split import Split

NEIGHBORS = 20_000  # maximum number of training rows searched for the nearest neighbor
RIDGE_ROWS = 100_000  # maximum number of training rows that ridge is fitted to
VALIDATED = 20_000  # maximum number of validation rows that choose its penalty
DISTANCES = 1 << 22  # computed in one step


@dataclass(frozen=True)
class Averages:
    """Averages of the training targets."""

    mean: Tensor  # (D,) float32
    of_emotion: Tensor  # (7, D) float32: weighted by P(emotion); the mean if no row has the emotion


def averages(data: TrainingData, train: Tensor) -> Averages:
    """Return the averages over the training rows (n,); each distinct target is read once."""
    weights = torch.zeros(len(data.first_row), 1 + len(EMOTIONS), dtype=torch.float64)
    for part in train.split(CHUNK):
        shares = torch.nn.functional.pad(emotions(data, part).double(), (1, 0), value=1.0)  # (n, 8): 1 for the mean
        weights.index_add_(0, data.target_index[part], shares)
    sums = torch.zeros(weights.shape[1], data.targets.shape[1], dtype=torch.float64)
    for indices in weights[:, 0].nonzero()[:, 0].split(CHUNK):  # targets that no row uses may have any value
        sums += weights[indices].T @ data.unique_targets(indices).double()
    totals = weights.sum(dim=0)[:, None]  # (8, 1)
    mean, of_emotion = sums[0] / len(train), sums[1:] / totals[1:]
    return Averages(mean.float(), torch.where(totals[1:] > 0, of_emotion, mean).float())


def baseline_predictions(
    data: TrainingData, rows: Split, evaluated: Tensor, features: Callable[[Tensor], Tensor], average: Averages
) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of each baseline and its predictions (T, D), float32, for the evaluated rows (T,).

    ridge: linear in the features, with the penalty that fits the validation rows best.
    nearest neighbor: the target of the training row with the nearest features.
    emotion mix: the average target of each emotion, weighted by the probabilities of the face; nothing is trained.
    mean: the average target, independent of the face.

    `features` returns the features (n, F) of row numbers (n,), on the CPU. They are those of the projection, so that
    the comparison is fair. If there are very many training rows, ridge and nearest neighbor use a random sample.
    The predictions are computed one after another, since each can be large.
    """
    evaluated_features = features(evaluated)
    train, validation = sample(rows.train, RIDGE_ROWS), sample(rows.validation, VALIDATED)
    weight, bias = best_ridge(features(train), data.targets[train], features(validation), data.targets[validation])
    yield "ridge", evaluated_features @ weight.T + bias
    yield "nearest neighbor", _nearest_neighbor(data, rows.train, evaluated_features, features)
    yield "emotion mix", emotions(data, evaluated) @ average.of_emotion
    yield "mean", average.mean.expand(len(evaluated), -1)


def emotions(data: TrainingData, rows: Tensor) -> Tensor:
    """Return the emotion probabilities (n, 7) of row numbers (n,)."""
    return data.vectors[:, LANDMARK_VALUES:][rows]


def _nearest_neighbor(
    data: TrainingData, train: Tensor, evaluated: Tensor, features: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the targets (T, D) of the training rows with the features nearest to those of evaluated rows (T, F)."""
    train = sample(train, NEIGHBORS)
    known = features(train)
    step = max(1, DISTANCES // len(known))
    nearest = torch.cat([torch.cdist(part, known).argmin(dim=1) for part in evaluated.split(step)])
    return data.unique_targets(data.target_index[train[nearest]])
