"""Metrics of predictions, row by row, and their bootstrap intervals over whole groups.

Real CLIP vectors share a large common component, so the raw cosine of any two is high. All metrics except `cosine` are
therefore measured relative to the mean training target, the center.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from ..learning.data import NO_DIRECTION, centered_cosine

TITLES = {  # metric → its name in reports; the raw cosine comes last, as it makes everything look good
    "centered_cosine": "centered cosine",
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "reciprocal_rank": "reciprocal rank",
    "r_squared": "R²",
    "cosine": "raw cosine",
}
METRICS = tuple(TITLES)
HEADLINES = {metric: TITLES[metric] for metric in ("centered_cosine", "recall_at_1")}
RESAMPLES = 1000
DRAWN = 1 << 22  # random numbers drawn in one step of the bootstrap
SCORES = 1 << 22  # cosines of predictions and candidates computed in one step
TIED = 1e-6  # cosines closer than this are equal except for rounding


class Interval(NamedTuple):
    """A value with its 95 % bootstrap interval over groups; in JSON it is [value, low, high]."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:6.3f} [{self.low:6.3f}, {self.high:6.3f}]"


@dataclass(frozen=True)
class EvaluatedPredictions:
    """T evaluated predictions. A metric over some rows is the sum of their values ÷ the sum of their weights."""

    values: Tensor  # (T, 6) float64, in the order of METRICS
    weights: Tensor  # (T, 6) float64: 1, but for R² the squared distance between target and center
    chosen: Tensor  # (T,) int64: the candidate nearest to the prediction, by centered cosine


def evaluate_predictions(
    predicted: Tensor, truth: Tensor, candidates: Tensor, target_index: Tensor, center: Tensor
) -> EvaluatedPredictions:
    """Return the metrics of predictions (T, D) of targets (T, D).

    target_index[t] is the index of row t's own target among the candidates (P, D), which are ranked by their centered
    cosine with the prediction. If some are tied with the row's own, all ranks among them are equally likely and
    expected values are used: a prediction without direction, such as the mean itself, ties all, so its recall at k is
    k/P and its reciprocal rank is (1 + 1/2 + … + 1/P)/P. R² is one minus the ratio of
    the squared error to that of the center; it is 0 if all targets equal the center.
    """
    better, tied, chosen = _ranks(predicted - center, normalize(candidates - center, dim=1), target_index)
    spread = (truth - center).double().square().sum(dim=1)  # (T,)
    error = (truth - predicted).double().square().sum(dim=1)
    ranks = torch.arange(1, len(candidates) + 1, dtype=torch.float64)
    harmonic = torch.cat([ranks.new_zeros(1), (1 / ranks).cumsum(dim=0)])  # [b]: 1 + 1/2 + … + 1/b
    columns = {
        "centered_cosine": centered_cosine(predicted, truth, center),
        "recall_at_1": ((1 - better) / tied).clamp(0, 1),
        "recall_at_5": ((5 - better) / tied).clamp(0, 1),
        "reciprocal_rank": (harmonic[better + tied] - harmonic[better]) / tied,
        "r_squared": spread - error,
        "cosine": torch.cosine_similarity(predicted, truth, dim=1),
    }
    weights = torch.ones(len(truth), len(METRICS), dtype=torch.float64)
    weights[:, METRICS.index("r_squared")] = spread
    return EvaluatedPredictions(torch.stack([columns[metric].double() for metric in METRICS], dim=1), weights, chosen)


def _ranks(offsets: Tensor, directions: Tensor, target_index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many candidates are nearer than the row's own, how many are tied with it, and the nearest, each (T,).

    The ties include the row's own candidate. `offsets` are centered predictions (T, D), `directions` centered
    candidates of length 1 (P, D), `target_index` the indices of the rows' own candidates (T,); all results are int64.
    """
    aimed = torch.where(offsets.norm(dim=1, keepdim=True) < NO_DIRECTION, 0.0, normalize(offsets, dim=1))
    parts = []
    step = max(1, SCORES // len(directions))
    for rows, own in zip(aimed.split(step), target_index.split(step), strict=True):
        cosine = rows @ directions.T  # (n, P)
        mine = cosine.gather(1, own[:, None])
        better, not_worse = (cosine > mine + TIED).sum(dim=1), (cosine >= mine - TIED).sum(dim=1)
        parts.append((better, not_worse - better, cosine.argmax(dim=1)))
    nearer, tied, nearest = (torch.cat(column) for column in zip(*parts, strict=True))
    return nearer, tied, nearest


def bootstrap(values: Tensor, weights: Tensor, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """Return, for each column, the sum of values (T, M) ÷ the sum of weights (T, M) and its 95 % percentile interval.

    Whole groups are resampled, the same ones for all columns, so that the interval of a difference is paired (Efron &
    Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13). If there is only one group, its rows are
    resampled instead, and the interval is too narrow. Columns whose weights are all 0 count as 0.
    """
    names, group_index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) == 1:
        group_index = np.arange(len(group_index))
    sums = _by_group(values, group_index), _by_group(weights, group_index)  # (G, M) each
    count = len(sums[0])
    rng, chances = np.random.default_rng(seed), np.full(count, 1 / count)
    parts = []
    for start in range(0, RESAMPLES, step := max(1, DRAWN // count)):
        drawn = rng.multinomial(count, chances, size=min(step, RESAMPLES - start)).astype(np.float64)  # (R, G)
        parts.append(_ratio(drawn @ sums[0], drawn @ sums[1]))
    low, high = np.quantile(np.concatenate(parts), [0.025, 0.975], axis=0)
    whole = _ratio(sums[0].sum(axis=0), sums[1].sum(axis=0))
    return [Interval(*numbers) for numbers in zip(whole.tolist(), low.tolist(), high.tolist(), strict=True)]


def _by_group(values: Tensor, group_index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sums (G, M) of rows (T, M) in each group."""
    return np.stack([np.bincount(group_index, weights=column) for column in values.double().cpu().numpy().T], axis=1)


def _ratio(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, weights, out=np.zeros_like(values), where=weights > 0)
