"""Several cores of the processor on the rows of one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from ...common import threads

FEWEST = 128  # rows for each core: fewer are not worth it

Result = TypeVar("Result")


def share_rows(work: Callable[[Tensor], Result], rows: Tensor, device: str) -> list[Result]:
    """Return what `work` makes of each part of the rows (n,), in order: a part for each core, or all for a CUDA device.

    torch's own threads wait for each other in every operation, hundreds of times in a step: beside other programs
    that makes training many times slower than on one core. These meet once.
    """
    most = threads.cores() if device == "cpu" else 1
    return threads.share(work, rows.tensor_split(max(1, min(most, len(rows) // FEWEST))))
