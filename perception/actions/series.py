"""A number measured on one face, over the pictures of a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...common.errors import InputError
from ..sequences.smoothing import EMOTION_BETA, one_euro


def hold(values: Tensor, frames: Sequence[int], frame_count: int) -> Tensor:
    """Return a value for each picture (frame_count,) from `values` (N,), N ≥ 1, of the pictures `frames`, ascending.

    A picture without a value gets that of the last picture with one, and pictures before the first get the first.
    """
    latest = torch.zeros(frame_count, dtype=torch.int64)
    latest[torch.tensor(frames)] = torch.arange(len(values))
    held: Tensor = values[latest.cummax(dim=0).values]
    return held


def smoothed(values: Tensor, amount: float, rate: float) -> Tensor:
    """Return values (N,) of N pictures in a row, `rate` per second, smoothed like emotions (sequences/smoothing.py).

    `amount` is 0 (no change) to 1. Raises ValueError for another amount.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"smoothing must be between 0 and 1, not {amount}")
    if amount == 0:
        return values
    times = [frame / rate for frame in range(len(values))]
    return one_euro(values, times, cutoff=10 ** (1 - 2 * amount), beta=EMOTION_BETA, unit=torch.ones(()))
