"""Load the bundled networks from their files and run them on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...common import threads
from .. import weight_files
from .side_by_side import FEWEST_TOGETHER, Network

Loaded = TypeVar("Loaded", bound=Network)

CPU_BATCH = 16  # pictures per pass: what suits a processor's caches …
GPU_BATCH = 64  # … and what keeps an accelerator busy


def load(make: Callable[[], Loaded], name: str, device: torch.device, weights: Path) -> Loaded:
    """Return a new network filled from the weights folder, ready on `device`. Raises weight_files.WeightFileError."""
    network, _ = weight_files.filled(make, weights / f"{name}.safetensors")
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on processors
    if device.type == "cpu":
        network.prepare()
    return network


def run(network: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the network's tensors (N, …) for inputs (N, 3, H, W), a batch at a time.

    On a CPU, inputs are distributed over the cores; a few inputs run one by one, for which the networks are prepared.
    """
    if not len(inputs):
        results: tuple[Tensor, ...] = network(inputs)
        return results
    if inputs.device.type == "cpu":
        batch = CPU_BATCH if len(inputs) >= FEWEST_TOGETHER else 1
        parts = threads.share(lambda some: _by_batch(network, some, batch), inputs.tensor_split(threads.parts(inputs)))
    else:
        parts = [_by_batch(network, inputs, GPU_BATCH)]
    batches = [batch for part in parts for batch in part]
    return batches[0] if len(batches) == 1 else tuple(torch.cat(each) for each in zip(*batches, strict=True))


def _by_batch(network: nn.Module, inputs: Tensor, batch: int) -> list[tuple[Tensor, ...]]:
    with full_precision(inputs.device):
        return [network(some) for some in inputs.contiguous(memory_format=torch.channels_last).split(batch)]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Prevent NVIDIA GPUs from rounding convolutions to TF32, so that landmarks are the same as on a CPU."""
    cudnn = torch.backends.cudnn
    if device.type != "cuda":
        yield
        return
    with cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    ):
        yield
