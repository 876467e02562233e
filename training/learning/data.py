"""The data for training: tensors over the mapped file, targets shared by rows, and precomputed features.

The cosine between CLIP vectors is meaningful only relative to their mean, which all of them share.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...projection.checkpoint import SQUARE
from ...projection.network import ProjectionNetwork
from ...projection.spaces import ADDED_TARGETS, SD15, SPACES
from ..dataset.npz import Dataset

CHUNK = 4096  # rows read from disk in one step
FEATURES_IN_MEMORY = 1 << 30  # bytes of features kept in memory; larger ones are in a mapped temporary file …
TARGETS_IN_MEMORY = 256 << 20  # … and of distinct targets; larger ones are read from the dataset file, batch by batch
CUDA_SHARE = 0.5  # of the free memory of a CUDA device
NO_DIRECTION = 1e-6  # a centered prediction shorter than this has no direction


@dataclass(frozen=True)
class TrainingData:
    """N samples. The large tensors are in the mapped file: index only the rows you need, never the whole tensor."""

    vectors: Tensor  # (N, 1441) float32 perceptions
    image_sizes: Tensor  # (N, 2) int32: height, width
    targets: Tensor  # (N, 768) float32, or the width of another space
    target_index: Tensor  # (N,) int64: index of the row's target among the P distinct ones
    first_row: Tensor  # (P,) int64: the first row with each distinct target, ascending
    prompts: list[str]  # (P,) the text of each, such as "prompt 3" if unknown
    subject: Tensor | None = None  # (N, T) float32: the subject's vectors of the same prompts; None: unknown

    def __len__(self) -> int:
        return len(self.vectors)

    def unique_targets(self, indices: Tensor) -> Tensor:
        """Return the distinct targets (n, 768) with these indices (n,)."""
        return self.targets[self.first_row[indices]]

    def in_chunks(self, function: Callable[[Tensor, Tensor], Tensor], rows: Tensor) -> Tensor:
        """Return `function` of the vectors (m, 1441) and image sizes (m, 2) of rows (n,), applied to m at a time."""
        return torch.cat([function(self.vectors[part], self.image_sizes[part]) for part in rows.split(CHUNK)])


def training_data(
    vectors: Tensor,
    image_sizes: Tensor,
    targets: Tensor,
    prompts: Sequence[str] | None = None,
    subject: Tensor | None = None,
) -> TrainingData:
    """Return the training data with the rows that share a target; `prompts` (N,) are texts, "" if unknown.

    Rows that share a target have the same prompt, so they also share the subject's vector (N, T) of the first.
    """
    indices: dict[bytes, int] = {}
    first_row: list[int] = []
    target_index = np.empty(len(targets), dtype=np.int64)
    for start in range(0, len(targets), CHUNK):
        for row, target in enumerate(targets[start : start + CHUNK].cpu().numpy(), start):
            number = indices.setdefault(hashlib.blake2b(target, digest_size=16).digest(), len(indices))
            if number == len(first_row):
                first_row.append(row)
            target_index[row] = number
    texts = ["" if prompts is None else str(prompts[row]) for row in first_row]
    return TrainingData(
        vectors=vectors,
        image_sizes=image_sizes,
        targets=targets,
        target_index=torch.from_numpy(target_index),
        first_row=torch.tensor(first_row, dtype=torch.int64),
        prompts=[text or f"prompt {number}" for number, text in enumerate(texts, 1)],
        subject=subject,
    )


def of_dataset(dataset: Dataset, space: str = SD15.name) -> TrainingData:
    """Return the arrays of the dataset without copying them; pictures of unknown size count as square.

    The targets of the sdxl space are concatenated in memory, 13 kB per sample. Raises ValueError for a dataset without
    targets of that space.
    """
    sizes = dataset.image_sizes
    if sizes is None:
        sizes = np.broadcast_to(np.array(SQUARE, dtype=np.int32), (len(dataset), 2))
    subject = dataset.added_targets.get(SPACES[space].subject)
    return training_data(
        torch.from_numpy(np.ascontiguousarray(dataset.perceptions)),
        torch.from_numpy(np.ascontiguousarray(sizes)),
        _targets(dataset, space),
        None if dataset.prompts is None else dataset.prompts.tolist(),
        None if subject is None else torch.from_numpy(np.ascontiguousarray(subject)),
    )


def _targets(dataset: Dataset, space: str) -> Tensor:
    """Return the targets (N, W), float32, of one of SPACES."""
    if space == SD15.name:
        return torch.from_numpy(np.ascontiguousarray(dataset.clip_embeddings))
    if dataset.space != space:
        raise InputError(
            f"this dataset has no targets for {SPACES[space].title}; encode its prompts for it with "
            f"build --space {space} or relabel --re-encode --space {space}"
        )
    return torch.cat(
        [torch.from_numpy(np.ascontiguousarray(dataset.added_targets[name])) for name in ADDED_TARGETS[space]], dim=1
    )


def sample(rows: Tensor, most: int) -> Tensor:
    """Return these row numbers (n,), or a random selection of `most` of them, in order; it is always the same."""
    if len(rows) <= most:
        return rows
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most]
    return rows[chosen.sort().values]


@dataclass(frozen=True)
class Table:
    """n rows. What fits is on the device; the rest is transferred batch by batch."""

    features: Tensor  # (n, F) float32
    target_index: Tensor  # (n,) int64: number of the distinct target
    targets: Tensor | None  # (P, 768) float32, standardized, on the device; None: too many, read from `data`
    rows: Tensor  # (n,) int64: row numbers in the dataset
    data: TrainingData
    mean: Tensor  # (768,), the network's target_mean …
    scale: Tensor  # (768,) … and target_scale
    device: torch.device

    def __len__(self) -> int:
        return len(self.target_index)

    def features_of(self, index: Tensor) -> Tensor:
        """Return the features (b, F) of rows 0 … n − 1, on the device."""
        picked = self.features.index_select(0, index.to(self.features.device))  # several times faster than [index]
        # Devices other than CUDA may read a temporary tensor after it is freed.
        return picked.to(self.device, non_blocking=self.device.type == "cuda")

    def targets_of(self, index: Tensor) -> Tensor:
        """Return the standardized targets (b, 768) of rows, on the device."""
        return self.distinct(self.target_index[index])

    def distinct(self, indices: Tensor) -> Tensor:
        """Return the distinct targets (n, 768) with these indices, standardized, on the device."""
        if self.targets is not None:
            return self.targets.index_select(0, indices)
        picked = self.data.unique_targets(indices.cpu()).to(self.device)
        return (picked - self.mean) / self.scale


def make_table(network: ProjectionNetwork, data: TrainingData, rows: Tensor) -> Table:
    """Return the table of `rows` (n,), with features computed on the CPU in chunks and kept for the network's device.

    Raises ValueError with the row numbers if features are not finite.
    """
    device = network.target_mean.device
    measure = copy.deepcopy(network.features).cpu()
    features = _room(len(rows), network.features.count, device)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        with torch.no_grad():
            measured = measure(data.vectors[part], data.image_sizes[part])
        bad = part[~measured.isfinite().all(dim=1)].tolist()
        if bad:
            raise InputError(f"the perceptions of rows {_named(bad)} (counted from 0) contain NaN or infinite values")
        features[start : start + CHUNK] = measured
    return Table(
        features=features,
        target_index=data.target_index[rows].to(device),
        targets=_targets_in_memory(network, data, device),
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
    """Return an empty tensor (count, width) on the device, in memory or in a temporary file, wherever it fits."""
    size = count * width * 4
    if device.type == "cuda" and size < torch.cuda.mem_get_info(device)[0] * CUDA_SHARE:
        return torch.empty(count, width, device=device)
    if size <= FEATURES_IN_MEMORY:
        return torch.empty(count, width)
    with tempfile.TemporaryFile(prefix="perception-clip-") as file:  # it exists as long as it is mapped
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(count, width)))


def _targets_in_memory(network: ProjectionNetwork, data: TrainingData, device: torch.device) -> Tensor | None:
    """Return all distinct targets, standardized, or None if there are too many."""
    count = len(data.first_row)
    if count * data.targets.shape[1] * 4 > TARGETS_IN_MEMORY:
        return None
    return (data.unique_targets(torch.arange(count)).to(device) - network.target_mean) / network.target_scale


def centered_cosine(predicted: Tensor, targets: Tensor, center: Tensor) -> Tensor:
    """Return the row-wise cosine (N,) of predictions and targets (N, D) around `center` (D,); 0 at the center."""
    return torch.cosine_similarity(predicted - center, targets - center, dim=1, eps=NO_DIRECTION)
