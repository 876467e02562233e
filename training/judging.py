"""How good a projection is, on rows it has not seen, with bootstrap intervals.

Real CLIP vectors share a large common part, so everything is centred on the mean training target first:
raw cosines would be high for any prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

RESAMPLES = 1000
NO_DIRECTION = 1e-6  # a centred prediction shorter than this points nowhere


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval over groups."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:6.3f} [{self.low:6.3f}, {self.high:6.3f}]"


def distinct(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows of targets (N, D): candidates (P, D) as they appear, each row's index (N,)."""
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    member: list[int] = []
    for row, target in enumerate(targets.cpu().numpy()):
        number = numbers.setdefault(target.tobytes(), len(numbers))
        if number == len(first):
            first.append(row)
        member.append(number)
    return targets[torch.tensor(first)], torch.tensor(member)


def centred_cosine(predicted: Tensor, targets: Tensor, centre: Tensor) -> Tensor:
    """Row-wise cosine (N,) of predictions and targets (N, D) around `centre` (D,); 0 at the centre itself."""
    return torch.cosine_similarity(predicted - centre, targets - centre, dim=1, eps=NO_DIRECTION)


def recall_at_1(predicted: Tensor, candidates: Tensor, member: Tensor, centre: Tensor) -> Tensor:
    """Row by row, 1 if the candidate nearest to the prediction, by centred cosine, is the row's own, else 0.

    A prediction without direction (the mean itself) counts 1 / number of candidates: it can only guess.
    """
    offset = predicted - centre
    directions = torch.nn.functional.normalize(candidates - centre, dim=1)  # (P, D)
    hit = ((offset @ directions.T).argmax(dim=1) == member).float()
    return torch.where(offset.norm(dim=1) < NO_DIRECTION, 1.0 / len(candidates), hit)


def bootstrap(values: Tensor, groups: Sequence[str], seed: int = 0) -> Interval:
    """The mean of per-row values (N,) with its 95 % percentile interval, resampling whole groups.

    (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.)
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    rows = values.double().cpu().numpy()
    sums = np.bincount(member, weights=rows)
    counts = np.bincount(member).astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)  # (R, groups)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(value=float(rows.mean()), low=float(low), high=float(high))
