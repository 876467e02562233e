"""A dataset as training sees it: tensors over the mapped file, targets that rows share, features ready to be picked.

The cosine between CLIP vectors means something around their mean, which all of them share.
"""

from __future__ import annotations

import copy
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...projection.checkpoint import SQUARE
from ...projection.network import ProjectionNetwork
from ...projection.spaces import EXTRAS, SD15, SPACES
from ..dataset.npz import Dataset

CHUNK = 4096  # rows copied from the disk in one step
HELD_FEATURES = 1 << 30  # bytes of features in memory; more lie in a temporary file, mapped …
HELD_TARGETS = 256 << 20  # … and of distinct targets; more are read from the dataset's file, batch by batch
CUDA_SHARE = 0.5  # of the free memory of a CUDA device
NO_DIRECTION = 1e-6  # a centred prediction shorter than this points nowhere


@dataclass(frozen=True)
class TrainingData:
    """N samples. The large tensors lie in the mapped file: index them for the rows you need, never as a whole."""

    vectors: Tensor  # (N, 1441) float32 perceptions
    image_sizes: Tensor  # (N, 2) int32: height, width
    targets: Tensor  # (N, 768) float32, or as wide as another space
    member: Tensor  # (N,) int64: which of the P distinct targets a row has
    first: Tensor  # (P,) int64: the first row with each distinct target, ascending
    prompts: list[str]  # (P,) the text of each, "prompt 3" where it is not known

    def __len__(self) -> int:
        return len(self.vectors)

    def candidates(self, numbers: Tensor) -> Tensor:
        """The distinct targets of these numbers (n,), as (n, 768)."""
        return self.targets[self.first[numbers]]


def training_data(
    vectors: Tensor,
    image_sizes: Tensor,
    targets: Tensor,
    prompts: Sequence[str] | None = None,
) -> TrainingData:
    """Find out which rows share a target; `prompts` (N,) are the rows' texts, "" for unknown."""
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    member = np.empty(len(targets), dtype=np.int64)
    for start in range(0, len(targets), CHUNK):
        for row, target in enumerate(targets[start : start + CHUNK].cpu().numpy(), start):
            number = numbers.setdefault(hashlib.blake2b(target, digest_size=16).digest(), len(numbers))
            if number == len(first):
                first.append(row)
            member[row] = number
    texts = ["" if prompts is None else str(prompts[row]) for row in first]
    return TrainingData(
        vectors=vectors,
        image_sizes=image_sizes,
        targets=targets,
        member=torch.from_numpy(member),
        first=torch.tensor(first, dtype=torch.int64),
        prompts=[text or f"prompt {number}" for number, text in enumerate(texts, 1)],
    )


def of_dataset(dataset: Dataset, space: str = SD15.name) -> TrainingData:
    """The dataset's arrays, not copied; pictures of unknown size count as square.

    The targets of the sdxl space are put together in memory, 13 kB for each sample. Raises ValueError for a dataset
    that has none.
    """
    sizes = dataset.image_sizes
    if sizes is None:
        sizes = np.broadcast_to(np.array(SQUARE, dtype=np.int32), (len(dataset), 2))
    return training_data(
        torch.from_numpy(np.ascontiguousarray(dataset.perceptions)),
        torch.from_numpy(np.ascontiguousarray(sizes)),
        _targets(dataset, space),
        None if dataset.prompts is None else dataset.prompts.tolist(),
    )


def _targets(dataset: Dataset, space: str) -> Tensor:
    """(N, W) float32 of one of SPACES."""
    if space == SD15.name:
        return torch.from_numpy(np.ascontiguousarray(dataset.clip_embeddings))
    if dataset.space != space:
        raise InputError(
            f"this dataset has no targets for {SPACES[space].title}; encode its prompts for it, with "
            f"build --space {space}, or relabel --re-encode --space {space}"
        )
    return torch.cat([torch.from_numpy(np.ascontiguousarray(dataset.extras[name])) for name in EXTRAS[space]], dim=1)


def sample(rows: Tensor, most: int) -> Tensor:
    """All of these row numbers (n,), or `most` of them drawn at random, in order; always the same."""
    if len(rows) <= most:
        return rows
    drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most]
    return rows[drawn.sort().values]


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
            vectors = data.vectors[part]
            found = measure(vectors, data.image_sizes[part])
        bad = part[(~found.isfinite().all(dim=1)).nonzero()[:, 0]].tolist()
        if bad:
            raise InputError(f"the perceptions of rows {_named(bad)} (counted from 0) hold NaN or infinite values")
        features[start : start + CHUNK] = found
    return Table(
        features=features,
        member=data.member[rows].to(device),
        targets=_held_targets(network, data, device),
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


def _held_targets(network: ProjectionNetwork, data: TrainingData, device: torch.device) -> Tensor | None:
    """All distinct targets, standardised, or None if they are too many."""
    count = len(data.first)
    if count * data.targets.shape[1] * 4 > HELD_TARGETS:
        return None
    return (data.candidates(torch.arange(count)).to(device) - network.target_mean) / network.target_scale


def centred_cosine(predicted: Tensor, targets: Tensor, centre: Tensor) -> Tensor:
    """Row-wise cosine (N,) of predictions and targets (N, D) around `centre` (D,); 0 at the centre itself."""
    return torch.cosine_similarity(predicted - centre, targets - centre, dim=1, eps=NO_DIRECTION)
