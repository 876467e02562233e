"""Several cores of the processor on the rows of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from .threads import threads

FEWEST = 128  # rows for each core: fewer are not worth it

Result = TypeVar("Result")


class Shared(Protocol):
    """Calls `work` with a part of the rows (n,) on each core, and returns what it made of each part, in order."""

    def __call__(self, work: Callable[[Tensor], Result], rows: Tensor) -> list[Result]: ...


@contextmanager
def cores(device: torch.device) -> Iterator[Shared]:
    """While it lasts, torch uses one thread, and rows can be shared out: see `Shared`. A CUDA device takes them whole.

    torch's own threads wait for each other in every operation, hundreds of times in a step: beside other programs
    that makes training many times slower than on one core. These meet once.
    """
    most = torch.get_num_threads() if device.type == "cpu" else 1
    with threads(1), ThreadPoolExecutor(most, initializer=torch.set_num_threads, initargs=(1,)) as pool:

        def shared(work: Callable[[Tensor], Result], rows: Tensor) -> list[Result]:
            mine, *others = rows.tensor_split(max(1, min(most, len(rows) // FEWEST)))
            asked = [pool.submit(work, part) for part in others]
            return [work(mine), *(answer.result() for answer in asked)]

        yield shared
