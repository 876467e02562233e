"""A dataset as training sees it: tensors over the mapped file, and which rows share one target."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...projection.checkpoint import SQUARE
from ...projection.spaces import SD15, SPACES
from ..dataset.mapped import forget
from ..dataset.npz import Dataset
from ..dataset.samples import EXTRAS

CHUNK = 4096  # rows copied from the disk in one step …
PICKED = 128  # … and rows from here and there: the system may map a megabyte around each


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class TrainingData:
    """N samples. The large tensors lie in the mapped file: index them for the rows you need, never as a whole."""

    vectors: Tensor  # (N, 1441) float32 perceptions
    image_sizes: Tensor  # (N, 2) int32: height, width
    targets: Tensor  # (N, 768) float32, or as wide as another space
    member: Tensor  # (N,) int64: which of the P distinct targets a row has
    first: Tensor  # (P,) int64: the first row with each distinct target, ascending
    prompts: list[str]  # (P,) the text of each, "prompt 3" where it is not known
    release: Callable[[], None] = field(default=_nothing, compare=False)  # lets go of memory that the file takes

    def __len__(self) -> int:
        return len(self.vectors)

    def candidates(self, numbers: Tensor) -> Tensor:
        """The distinct targets of these numbers (n,), as (n, 768)."""
        return self.pick(self.targets, self.first[numbers])

    def pick(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """`tensor[rows]` of one of the large tensors, a few rows at a time, each of which is then released."""
        picked = tensor.new_empty(len(rows), *tensor.shape[1:])
        for start in range(0, len(rows), PICKED):
            part = slice(start, start + PICKED)
            torch.index_select(tensor, 0, rows[part], out=picked[part])
            self.release()
        return picked


def training_data(
    vectors: Tensor,
    image_sizes: Tensor,
    targets: Tensor,
    prompts: Sequence[str] | None = None,
    release: Callable[[], None] = _nothing,
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
        release()
    texts = ["" if prompts is None else str(prompts[row]) for row in first]
    return TrainingData(
        vectors=vectors,
        image_sizes=image_sizes,
        targets=targets,
        member=torch.from_numpy(member),
        first=torch.tensor(first, dtype=torch.int64),
        prompts=[text or f"prompt {number}" for number, text in enumerate(texts, 1)],
        release=release,
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
        release=lambda: forget(dataset.perceptions),  # one map holds the whole file
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
