"""Samples of one dataset into another, in constant memory: some of them, all, changed, or with other vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...projection.spaces import EMBEDDING, EXTRAS
from ..encoders.base import TextEncoder, fingerprint
from .samples import Binding, Samples
from .store import Store

BATCH = 1024

Change = Callable[[Samples], Samples]


class Rows(Protocol):
    """A dataset to be read: a `training.snapshot.Snapshot` or a `training.npz.Dataset`."""

    @property
    def binding(self) -> Binding | None:
        """What the samples were made with; None while there are none."""
        ...

    @property
    def has_image_sizes(self) -> bool:
        """Whether the sizes of the pictures are known."""
        ...

    def __len__(self) -> int: ...

    def samples(self, batch: int = BATCH) -> Iterator[Samples]:
        """Whole samples, up to `batch` at a time, in order."""
        ...


def copy_samples(
    source: Rows, target: Store, *, keep: NDArray[np.bool_] | None = None, change: Change | None = None
) -> int:
    """Append the samples of `source`, in their order and as they are, and return how many were new to `target`.

    Args:
        source: where they come from; `Store.snapshot` makes one.
        target: is bound to what the source was made with.
        keep: (N,) which of the source's samples to take; None: all.
        change: what is made of those taken; `target` is bound by then.

    Each batch is safe on the disk once it is appended, so a copy that was stopped is simply made again. Raises
    StoreError if the target's samples were made with something else.
    """
    binding = source.binding
    if binding is None:
        return 0
    probe = None if binding.fingerprint is None else torch.from_numpy(binding.fingerprint)
    target.bind(binding.encoder, probe, binding.landmarker, binding.emotion_model, binding.space)
    new = done = 0
    for samples in source.samples():
        kept = samples if keep is None else take(samples, keep[done : done + len(samples)])
        done += len(samples)
        new += append(target, kept if change is None or not len(kept) else change(kept))
    return new


def reencode(source: Rows, target: Store, encoder: TextEncoder, *, change: Change | None = None) -> int:
    """As `copy_samples`, with the prompts' vectors made by `encoder`, each prompt once. `change` may change prompts."""
    binding = source.binding
    if binding is None:
        return 0
    target.bind(encoder.identity, fingerprint(encoder), binding.landmarker, binding.emotion_model, encoder.space)
    new = 0
    for samples in source.samples():
        changed = samples if change is None else change(samples)
        new += append(target, with_vectors(changed, target, encoder))
    return new


def append(target: Store, samples: Samples) -> int:
    """Append samples as they are to a store that is bound; how many were new."""
    if not len(samples):
        return 0
    known = bool((samples.image_sizes > 0).all())
    return target.append(
        torch.tensor(samples.perceptions),
        torch.tensor(samples.image_sizes) if known else None,
        samples.prompts,
        torch.tensor(samples.embeddings),
        samples.groups,
        samples.sources,
        samples.origins,
        labels=samples.labels,
        splits=samples.splits,
        scores=torch.tensor(samples.scores),
        extras={name: torch.tensor(values) for name, values in samples.extras.items()},
    )


def take(samples: Samples, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Samples:
    """The samples of those numbers, in that order, or those where a mask is true."""
    numbers = np.arange(len(samples))[rows].tolist()
    return replace(
        samples,
        perceptions=samples.perceptions[rows],
        embeddings=samples.embeddings[rows],
        image_sizes=samples.image_sizes[rows],
        scores=samples.scores[rows],
        extras={name: values[rows] for name, values in samples.extras.items()},
        **{
            name: [getattr(samples, name)[row] for row in numbers]
            for name in ("prompts", "groups", "sources", "labels", "splits", "origins")
        },
    )


def with_prompts(samples: Samples, prompts: Sequence[Sequence[str]]) -> tuple[Samples, NDArray[np.bool_]]:
    """Each sample once for each of its new prompts, and which of them have another prompt than before.

    Vectors stay those of the old prompts. Origins stay too: the faces are the same.
    """
    rows = np.repeat(np.arange(len(samples)), [len(texts) for texts in prompts])
    taken = take(samples, rows)
    texts = [text for texts in prompts for text in texts]
    other = np.array([old != new for old, new in zip(taken.prompts, texts, strict=True)], dtype=np.bool_)
    return replace(taken, prompts=texts), other


def with_vectors(
    samples: Samples, store: Store, encoder: TextEncoder, where: NDArray[np.bool_] | None = None
) -> Samples:
    """The samples, those `where` it is true (or all) with their prompts' vectors under `encoder`."""
    rows = np.arange(len(samples)) if where is None else where.nonzero()[0]
    if not len(rows):
        return samples
    embeddings, extras = vectors_of([samples.prompts[row] for row in rows.tolist()], store, encoder)
    targets = samples.embeddings.copy()
    targets[rows] = embeddings.numpy()
    filled = {}
    for name, values in extras.items():
        filled[name] = np.zeros((len(samples), values.shape[1]), dtype=np.float32)
        if len(rows) < len(samples):
            filled[name][:] = samples.extras[name]
        filled[name][rows] = values.numpy()
    return replace(samples, embeddings=targets, extras=filled)


def vectors_of(prompts: Sequence[str], store: Store, encoder: TextEncoder) -> tuple[Tensor, dict[str, Tensor]]:
    """(N, 768) vectors of N prompts and the space's further ones: those that `store` has, others encoded now."""
    if not prompts:
        return torch.empty(0, EMBEDDING), {name: torch.empty(0, width) for name, width in EXTRAS[encoder.space].items()}
    distinct = list(dict.fromkeys(prompts))
    known = {prompt: found for prompt in distinct if (found := store.vectors_of(prompt)) is not None}
    new = [prompt for prompt in distinct if prompt not in known]
    if new:
        embeddings, extras = encoder.encode(new), encoder.extras(new)
        for row, prompt in enumerate(new):
            known[prompt] = embeddings[row], {name: values[row] for name, values in extras.items()}
    return (
        torch.stack([known[prompt][0] for prompt in prompts]),
        {name: torch.stack([known[prompt][1][name] for prompt in prompts]) for name in EXTRAS[encoder.space]},
    )
