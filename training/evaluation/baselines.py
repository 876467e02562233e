"""The simple rules that a projection has to beat: what each says of rows that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...perception.vector import EMOTIONS, LANDMARK_VALUES
from ..learning.data import CHUNK, TrainingData, sample
from ..learning.split import Split
from .ridge import best_ridge

NEIGHBOURS = 20_000  # training rows at most that the nearest neighbour is sought among
RIDGE_ROWS = 100_000  # training rows at most that ridge is fitted to
VALIDATED = 20_000  # validation rows at most that choose its penalty
DISTANCES = 1 << 22  # calculated in one step


@dataclass(frozen=True)
class Averages:
    """What the training targets are on average."""

    mean: Tensor  # (D,) float32
    of_emotion: Tensor  # (7, D) float32: weighted by P(emotion); the mean for an emotion that no row has


def averages(data: TrainingData, train: Tensor) -> Averages:
    """The averages over the training rows (n,); reads each distinct target once."""
    weights = torch.zeros(len(data.first), 1 + len(EMOTIONS), dtype=torch.float64)
    for part in train.split(CHUNK):
        shares = torch.nn.functional.pad(emotions(data, part).double(), (1, 0), value=1.0)  # (n, 8): 1 for the mean
        weights.index_add_(0, data.member[part], shares)
    sums = torch.zeros(weights.shape[1], data.targets.shape[1], dtype=torch.float64)
    for numbers in weights[:, 0].nonzero()[:, 0].split(CHUNK):  # a target of no row may be anything
        sums += weights[numbers].T @ data.candidates(numbers).double()
    totals = weights.sum(dim=0)[:, None]  # (8, 1)
    mean, of_emotion = sums[0] / len(train), sums[1:] / totals[1:]
    return Averages(mean.float(), torch.where(totals[1:] > 0, of_emotion, mean).float())


def rivals(
    data: TrainingData, rows: Split, judged: Tensor, features: Callable[[Tensor], Tensor], average: Averages
) -> Iterator[tuple[str, Tensor]]:
    """Each rule's name, and what it predicts for the judged rows (T,): (T, D) float32.

    ridge: linear in the features, with the penalty that suits the validation rows best.
    nearest neighbour: the target of the training row with the nearest features.
    emotion mix: the average target of each emotion, mixed by the face's probabilities; nothing is trained.
    mean: the average target, whatever the face.

    `features` gives those of row numbers (n,) as (n, F) on the processor: the projection's own, so that a rule is no
    worse off. Where there are very many training rows, ridge and the nearest neighbour see some, drawn by chance.
    The predictions are made one after the other, since each can be large.
    """
    asked = features(judged)
    yield "ridge", _ridge(data, rows, asked, features)
    yield "nearest neighbour", _nearest_neighbour(data, rows.train, asked, features)
    yield "emotion mix", emotions(data, judged) @ average.of_emotion
    yield "mean", average.mean.expand(len(judged), -1)


def emotions(data: TrainingData, rows: Tensor) -> Tensor:
    """The emotion probabilities (n, 7) of row numbers (n,)."""
    return data.pick(data.vectors[:, LANDMARK_VALUES:], rows)


def _ridge(data: TrainingData, rows: Split, asked: Tensor, features: Callable[[Tensor], Tensor]) -> Tensor:
    train, validation = sample(rows.train, RIDGE_ROWS), sample(rows.validation, VALIDATED)
    known, held = features(train), features(validation)
    weight, bias = best_ridge(known, data.pick(data.targets, train), held, data.pick(data.targets, validation))
    return asked @ weight.T + bias


def _nearest_neighbour(
    data: TrainingData, train: Tensor, asked: Tensor, features: Callable[[Tensor], Tensor]
) -> Tensor:
    train = sample(train, NEIGHBOURS)
    known = features(train)
    step = max(1, DISTANCES // len(known))
    nearest = torch.cat([torch.cdist(part, known).argmin(dim=1) for part in asked.split(step)])
    return data.candidates(data.member[train[nearest]])
