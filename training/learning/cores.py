"""Distribute the rows of one batch over several CPU cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from ...common import threads

FEWEST = 128  # rows for each core: fewer would not be faster

Result = TypeVar("Result")


def share_rows(work: Callable[[Tensor], Result], rows: Tensor, device: str) -> list[Result]:
    """Return the results of `work` on each part of the rows (n,), in order: one part per core, or one for CUDA.

    torch's own threads wait for each other in every operation, hundreds of times per step. If other programs are
    running, this makes training many times slower than on one core. These threads wait only once.
    """
    most = threads.cores() if device == "cpu" else 1
    return threads.share(work, rows.tensor_split(max(1, min(most, len(rows) // FEWEST))))
