"""The rows that training and validation use, ready to be picked: features and standardised targets."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...projection.network import ProjectionNetwork
from .data import CHUNK, TrainingData

HELD_FEATURES = 1 << 30  # bytes of features in memory; more lie in a temporary file, mapped …
HELD_TARGETS = 256 << 20  # … and of distinct targets; more are read from the dataset's file, batch by batch
CUDA_SHARE = 0.5  # of the free memory of a CUDA device


@dataclass(frozen=True)
class Table:
    """n rows. What fits lies on the device; the rest is brought there batch by batch."""

    features: Tensor  # (n, F) float32
    member: Tensor  # (n,) int64: which distinct target
    targets: Tensor | None  # (P, 768) float32, standardised, on the device; None: too many, read from `data`
    rows: Tensor  # (n,) int64: the dataset's numbers of the rows
    data: TrainingData
    mean: Tensor  # (768,), as the network's target_mean …
    scale: Tensor  # (768,) … and target_scale
    device: torch.device

    def __len__(self) -> int:
        return len(self.member)

    def features_of(self, index: Tensor) -> Tensor:
        """(b, F) on the device, of rows 0 … n − 1."""
        picked = self.features.index_select(0, index.to(self.features.device))  # several times faster than [index]
        # Other devices than CUDA may read a temporary after it is gone.
        return picked.to(self.device, non_blocking=self.device.type == "cuda")

    def targets_of(self, index: Tensor) -> Tensor:
        """(b, 768) standardised, on the device."""
        return self.distinct(self.member[index])

    def distinct(self, numbers: Tensor) -> Tensor:
        """The distinct targets (n, 768) of these numbers, standardised, on the device."""
        if self.targets is not None:
            return self.targets.index_select(0, numbers)
        picked = self.data.candidates(numbers.cpu()).to(self.device)
        return (picked - self.mean) / self.scale


def make_table(network: ProjectionNetwork, data: TrainingData, rows: Tensor) -> Table:
    """Compute the features of `rows` (n,) on the CPU, chunk by chunk; they are kept for the network's device.

    Raises ValueError, naming the rows, for features that are not finite.
    """
    device = network.target_mean.device
    measure = copy.deepcopy(network.features).cpu()
    features = _room(len(rows), network.features.count, device)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        with torch.no_grad():
            vectors = data.pick(data.vectors, part)
            found = measure(vectors, data.image_sizes[part])
        bad = part[(~found.isfinite().all(dim=1)).nonzero()[:, 0]].tolist()
        if bad:
            raise InputError(f"the perceptions of rows {_named(bad)} (counted from 0) hold NaN or infinite values")
        features[start : start + CHUNK] = found
    return Table(
        features=features,
        member=data.member[rows].to(device),
        targets=_targets(network, data, device),
        rows=rows,
        data=data,
        mean=network.target_mean,
        scale=network.target_scale,
        device=device,
    )


def _named(rows: list[int], most: int = 5) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return ", ".join(map(str, rows[:most])) + more


def _room(count: int, width: int, device: torch.device) -> Tensor:
    """An empty tensor (count, width): on the device, in memory, or in a temporary file, as it fits."""
    size = count * width * 4
    if device.type == "cuda" and size < torch.cuda.mem_get_info(device)[0] * CUDA_SHARE:
        return torch.empty(count, width, device=device)
    if size <= HELD_FEATURES:
        return torch.empty(count, width)
    with tempfile.TemporaryFile(prefix="perception-clip-") as file:  # it lives while it is mapped, on Windows too
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(count, width)))


def _targets(network: ProjectionNetwork, data: TrainingData, device: torch.device) -> Tensor | None:
    """All distinct targets, standardised, or None if they are too many."""
    count = len(data.first)
    if count * data.targets.shape[1] * 4 > HELD_TARGETS:
        return None
    return (data.candidates(torch.arange(count)).to(device) - network.target_mean) / network.target_scale
