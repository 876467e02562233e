"""Training by several processes: under torchrun or `accelerate launch`, each takes a share of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, distributed

from .settings import Settings


@dataclass(frozen=True)
class Processes:
    """The processes of one training run, as one of them sees them."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that judges, writes and speaks."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch: every `count`-th."""
        return rows[self.rank :: self.count]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors of one type over all processes, in place."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def any(self, said: bool) -> bool:
        """Whether one of the processes says yes: all of them hear the same answer."""
        if self.count == 1:
            return said
        answer = torch.tensor(float(said), device=_device())
        distributed.all_reduce(answer)
        return bool(answer)

    def shared(self, value: Any) -> Any:
        """The first one's value, in all processes."""
        if self.count == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0)
        return held[0]

    def agree(self, tensors: Sequence[Tensor]) -> None:
        """Give all processes the first one's tensors, in place."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)


ALONE = Processes()


def _device() -> str:
    return "cuda" if distributed.get_backend() == "nccl" else "cpu"


@contextmanager
def joined(settings: Settings) -> Iterator[tuple[Processes, Settings]]:
    """Join the other processes, if torchrun or Accelerate started several; yields them, and this one's settings.

    If CUDA is asked for, each process of a machine takes a device of its own. All read the same dataset file.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield ALONE, settings
        return
    on_cuda = torch.device(settings.device).type == "cuda"
    distributed.init_process_group("nccl" if on_cuda else "gloo")
    try:
        rank = distributed.get_rank()
        if on_cuda:
            number = distributed.get_node_local_rank(rank) % torch.cuda.device_count()
            torch.cuda.set_device(number)
            settings = replace(settings, device=f"cuda:{number}")
        yield Processes(rank, distributed.get_world_size()), settings
    finally:
        distributed.destroy_process_group()
