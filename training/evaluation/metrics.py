"""How good predictions are, row by row, and bootstrap intervals of it over whole groups.

Real CLIP vectors share a large common part, so that the raw cosine of any two is high. All metrics but `cosine` are
therefore measured around the mean training target, the centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from ..learning.data import NO_DIRECTION, centred_cosine

METRICS = ("centred_cosine", "recall_at_1", "recall_at_5", "reciprocal_rank", "r_squared", "cosine")
RESAMPLES = 1000
DRAWN = 1 << 22  # numbers drawn in one step of the bootstrap
SCORES = 1 << 22  # cosines of predictions and candidates in one step
TIED = 1e-6  # cosines closer than this are equal but for rounding


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % bootstrap interval over groups."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:6.3f} [{self.low:6.3f}, {self.high:6.3f}]"


@dataclass(frozen=True)
class Judged:
    """T predictions judged. A metric over some of the rows is the sum of their values over that of their weights."""

    values: Tensor  # (T, 6) float64, in the order of METRICS
    weights: Tensor  # (T, 6) float64: 1, but for R² the squared distance of target and centre
    chosen: Tensor  # (T,) int64: the candidate nearest to the prediction, by centred cosine


def judge(predicted: Tensor, truth: Tensor, candidates: Tensor, member: Tensor, centre: Tensor) -> Judged:
    """Judge predictions (T, D) of the targets (T, D), where row t's own among the candidates (P, D) is member[t].

    Candidates are ranked by their centred cosine with the prediction. Where some are tied with the row's own, its
    ranks among them are equally likely, and expected values are taken: a prediction without direction, such as the
    mean itself, ties all, so its recall at k is k/P, and its reciprocal rank (1 + 1/2 + … + 1/P)/P. R² is one minus
    the squared error over that of the centre; 0 where all targets are the centre.
    """
    better, tied, chosen = _ranks(predicted - centre, normalize(candidates - centre, dim=1), member)
    spread = (truth - centre).double().square().sum(dim=1)  # (T,)
    error = (truth - predicted).double().square().sum(dim=1)
    ranks = torch.arange(1, len(candidates) + 1, dtype=torch.float64)
    harmonic = torch.cat([ranks.new_zeros(1), (1 / ranks).cumsum(dim=0)])  # [b]: 1 + 1/2 + … + 1/b
    columns = {
        "centred_cosine": centred_cosine(predicted, truth, centre),
        "recall_at_1": ((1 - better) / tied).clamp(0, 1),
        "recall_at_5": ((5 - better) / tied).clamp(0, 1),
        "reciprocal_rank": (harmonic[better + tied] - harmonic[better]) / tied,
        "r_squared": spread - error,
        "cosine": torch.cosine_similarity(predicted, truth, dim=1),
    }
    weights = torch.ones(len(truth), len(METRICS), dtype=torch.float64)
    weights[:, METRICS.index("r_squared")] = spread
    return Judged(torch.stack([columns[metric].double() for metric in METRICS], dim=1), weights, chosen)


def _ranks(offsets: Tensor, directions: Tensor, member: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centred predictions (T, D), centred candidates of length 1 (P, D) and the rows' own (T,), in int64 →

    how many candidates lie nearer than the row's own (T,), how many as near, itself included (T,), the nearest (T,).
    """
    aimed = torch.where(offsets.norm(dim=1, keepdim=True) < NO_DIRECTION, 0.0, normalize(offsets, dim=1))
    parts = []
    step = max(1, SCORES // len(directions))
    for rows, own in zip(aimed.split(step), member.split(step), strict=True):
        cosine = rows @ directions.T  # (n, P)
        mine = cosine.gather(1, own[:, None])
        better, not_worse = (cosine > mine + TIED).sum(dim=1), (cosine >= mine - TIED).sum(dim=1)
        parts.append((better, not_worse - better, cosine.argmax(dim=1)))
    nearer, tied, nearest = (torch.cat(column) for column in zip(*parts, strict=True))
    return nearer, tied, nearest


def bootstrap(values: Tensor, weights: Tensor, groups: Sequence[str], seed: int = 0) -> list[Interval]:
    """Each column of values (T, M): its sum over that of weights (T, M), and the 95 % percentile interval.

    Whole groups are resampled, the same ones for all columns, so that an interval of differences is a paired one
    (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13). Of a single group nothing can be
    resampled but its rows: such an interval is too narrow. Columns whose weights are all 0 count as 0.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) == 1:
        member = np.arange(len(member))
    sums = _by_group(values, member), _by_group(weights, member)  # (G, M) each
    count = len(sums[0])
    rng, chances = np.random.default_rng(seed), np.full(count, 1 / count)
    parts = []
    for start in range(0, RESAMPLES, step := max(1, DRAWN // count)):
        drawn = rng.multinomial(count, chances, size=min(step, RESAMPLES - start)).astype(np.float64)  # (R, G)
        parts.append(_ratio(drawn @ sums[0], drawn @ sums[1]))
    low, high = np.quantile(np.concatenate(parts), [0.025, 0.975], axis=0)
    whole = _ratio(sums[0].sum(axis=0), sums[1].sum(axis=0))
    return [Interval(*numbers) for numbers in zip(whole.tolist(), low.tolist(), high.tolist(), strict=True)]


def _by_group(values: Tensor, member: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows (T, M) → their sums in each group (G, M)."""
    return np.stack([np.bincount(member, weights=column) for column in values.double().cpu().numpy().T], axis=1)


def _ratio(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, weights, out=np.zeros_like(values), where=weights > 0)
