"""Copying of samples from one dataset to another in constant memory: all or some, changed, or with other vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...projection.spaces import EMBEDDING, added_targets
from ..encoders.base import TextEncoder, fingerprint
from .samples import TEXTS, Provenance, Samples
from .snapshot import BATCH
from .store import Store

Change = Callable[[Samples], Samples]


class SampleSource(Protocol):
    """A dataset to read: a `training.dataset.snapshot.Snapshot` or a `training.dataset.npz.Dataset`."""

    @property
    def provenance(self) -> Provenance | None:
        """The models that the samples were created with; None if there are no samples."""
        ...

    @property
    def has_image_sizes(self) -> bool:
        """Whether the sizes of the pictures are known."""
        ...

    @property
    def has_subject(self) -> bool:
        """Whether all samples have the subject's vectors."""
        ...

    def __len__(self) -> int: ...

    def samples(self, batch: int = BATCH) -> Iterator[Samples]:
        """Yield complete samples in order, up to `batch` at a time."""
        ...


def copy_samples(
    source: SampleSource, target: Store, *, keep: NDArray[np.bool_] | None = None, change: Change | None = None
) -> int:
    """Append the samples of `source` in order and unchanged, and return how many were new to `target`.

    Args:
        source: the dataset to copy from, such as one from `Store.snapshot`.
        target: the dataset to copy to; its models become those of the source.
        keep: (N,) mask of the source's samples to copy; None: all.
        change: a function applied to the samples before they are appended; the models of `target` are set then.

    Each batch is safe on the disk once it is appended, so an interrupted copy can simply be repeated. Raises
    StoreError if the target's samples were created with other models.
    """
    provenance = source.provenance
    if provenance is None:
        return 0
    probe = None if provenance.fingerprint is None else torch.from_numpy(provenance.fingerprint)
    target.set_provenance(provenance.encoder, probe, provenance.landmarker, provenance.emotion_model, provenance.space)
    new = start = 0
    for samples in source.samples():
        kept = samples if keep is None else take(samples, keep[start : start + len(samples)])
        start += len(samples)
        new += target.append(kept if change is None or not len(kept) else change(kept))
    return new


def reencode(source: SampleSource, target: Store, encoder: TextEncoder, *, change: Change | None = None) -> int:
    """Copy like `copy_samples`, but encode each prompt once with `encoder`; `change` may change prompts."""
    provenance = source.provenance
    if provenance is None:
        return 0
    target.set_provenance(
        encoder.identity, fingerprint(encoder), provenance.landmarker, provenance.emotion_model, encoder.space
    )
    new = 0
    for samples in source.samples():
        changed = samples if change is None else change(samples)
        new += target.append(with_vectors(changed, target, encoder))
    return new


def take(samples: Samples, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Samples:
    """Return the samples with these numbers, in this order, or those for which a mask is true."""
    numbers = np.arange(len(samples))[rows].tolist()
    return replace(
        samples,
        perceptions=samples.perceptions[rows],
        embeddings=samples.embeddings[rows],
        image_sizes=samples.image_sizes[rows],
        scores=samples.scores[rows],
        added_targets={name: values[rows] for name, values in samples.added_targets.items()},
        **{name: [getattr(samples, name)[row] for row in numbers] for name in TEXTS},
    )


def with_prompts(samples: Samples, prompts: Sequence[Sequence[str]]) -> tuple[Samples, NDArray[np.bool_]]:
    """Return each sample once per new prompt, and a mask of those whose prompt differs from before.

    Vectors stay those of the old prompts. Origins also stay, because the faces are the same.
    """
    rows = np.repeat(np.arange(len(samples)), [len(texts) for texts in prompts])
    taken = take(samples, rows)
    texts = [text for texts in prompts for text in texts]
    other = np.array([old != new for old, new in zip(taken.prompts, texts, strict=True)], dtype=np.bool_)
    return replace(taken, prompts=texts), other


def with_vectors(
    samples: Samples, store: Store, encoder: TextEncoder, where: NDArray[np.bool_] | None = None
) -> Samples:
    """Return the samples with the vectors of their prompts from `encoder`, for those with `where` true, or all."""
    rows = np.arange(len(samples)) if where is None else where.nonzero()[0]
    if not len(rows):
        return samples
    embeddings, added = vectors_of([samples.prompts[row] for row in rows.tolist()], store, encoder)
    targets = samples.embeddings.copy()
    targets[rows] = embeddings.numpy()
    filled = {}
    for name, values in added.items():
        filled[name] = np.zeros((len(samples), values.shape[1]), dtype=np.float32)
        if len(rows) < len(samples):
            filled[name][:] = samples.added_targets[name]
        filled[name][rows] = values.numpy()
    return replace(samples, embeddings=targets, added_targets=filled)


def vectors_of(prompts: Sequence[str], store: Store, encoder: TextEncoder) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the vectors (N, 768) of N prompts and their further ones, from `store` or encoded now."""
    widths = added_targets(encoder.space, encoder.has_subject)
    if not prompts:
        return torch.empty(0, EMBEDDING), {name: torch.empty(0, width) for name, width in widths.items()}
    distinct = list(dict.fromkeys(prompts))
    stored = {prompt: vectors for prompt in distinct if (vectors := store.vectors_of(prompt)) is not None}
    known = {prompt: vectors for prompt, vectors in stored.items() if vectors[1].keys() >= widths.keys()}
    new = [prompt for prompt in distinct if prompt not in known]
    if new:
        embeddings, added = encoder.encode(new), encoder.added_targets(new)
        for row, prompt in enumerate(new):
            known[prompt] = embeddings[row], {name: added[name][row] for name in widths}
    return (
        torch.stack([known[prompt][0] for prompt in prompts]),
        {name: torch.stack([known[prompt][1][name] for prompt in prompts]) for name in widths},
    )
