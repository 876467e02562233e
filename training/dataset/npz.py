"""training_data.npz: a finished dataset. Saved, exported from a store, loaded with full checks, imported.

    perception_embeddings  (N, 1441) float32    required
    clip_embeddings        (N, 768) float32     required
    image_sizes            (N, 2) int32         height, width in pixels
    prompts, groups, sources  (N,) text         groups: the person or clip a row is from, "" where unknown
    labels, splits, origins (N,) text           as in training/dataset/samples.py; "" where unknown
    scores                 (N,) float32         how sure the detector was, 0…1; NaN where unknown
    sdxl_embeddings        (N, 2048) float32    of the sdxl space: both or neither
    sdxl_pooled            (N, 1280) float32
    meta                   text                 JSON: encoder, fingerprint, landmarker, emotion_model, space, spaces,
                                                versions

A file with just the two required arrays, made by anyone with NumPy, loads.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...common.files import atomic_path
from ...perception.vector import DIM
from ...projection.spaces import EMBEDDING, EXTRAS, SD15, SDXL
from .copying import BATCH, copy_samples
from .gathered import Arrays, Gathered
from .npz_arrays import (
    Texts,
    read_extras,
    read_image_sizes,
    read_meta,
    read_perceptions,
    read_scores,
    read_texts,
    read_vectors,
)
from .npz_file import DatasetError, Member, Reader, write
from .samples import UNKNOWN, Binding, Floats, Samples
from .snapshot import Snapshot
from .store import Store

__all__ = ["Dataset", "DatasetError", "content_hash", "export", "gather", "import_npz", "load", "save"]

ROWS = 4096  # hashed in one step
FORMAT_VERSION = 1
SPACE = SD15.name  # whose text space the targets are in
TEXTS = ("prompts", "groups", "sources", "labels", "splits", "origins")
ALWAYS = ("prompts", "groups", "sources")  # exported even where all are empty


@dataclass(frozen=True)
class Dataset:
    """N samples and what is known of them."""

    perceptions: Floats  # (N, 1441)
    clip_embeddings: Floats  # (N, 768)
    image_sizes: NDArray[np.int32] | None = None  # (N, 2): height, width in pixels
    prompts: Texts | None = None  # (N,)
    groups: Texts | None = None  # (N,)
    sources: Texts | None = None  # (N,)
    meta: dict[str, Any] = field(default_factory=dict)
    labels: Texts | None = None  # (N,)
    splits: Texts | None = None  # (N,) one of SPLITS, or "" for training to choose
    origins: Texts | None = None  # (N,)
    scores: Floats | None = None  # (N,) 0…1; NaN where unknown
    extras: dict[str, Floats] = field(default_factory=dict)  # what the sdxl space adds: name → (N, width)
    bad_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # not to be used; ascending

    def __len__(self) -> int:
        return len(self.perceptions)

    @property
    def space(self) -> str:
        """The text space that the targets are in; sdxl adds its own vectors to those of sd15."""
        return SDXL.name if self.extras else SD15.name

    @property
    def binding(self) -> Binding:
        """What the samples were made with; what meta does not state is "unknown"."""
        probe = self.meta.get("fingerprint")
        return Binding(
            encoder=self.meta.get("encoder", UNKNOWN),
            fingerprint=np.array(probe, dtype=np.float32) if probe else None,
            landmarker=self.meta.get("landmarker", UNKNOWN),
            emotion_model=self.meta.get("emotion_model", UNKNOWN),
            space=self.space,
        )

    @property
    def has_image_sizes(self) -> bool:
        """Whether the sizes of the pictures are known."""
        return self.image_sizes is not None

    def samples(self, batch: int = BATCH) -> Iterator[Samples]:
        """Whole samples, up to `batch` at a time, in order, copied from the disk.

        A row without a prompt gets one made from its vectors, `#` and 16 hexadecimal digits, so that rows with one
        target share one prompt.
        """
        sizes, scores = self.image_sizes, self.scores
        for start in range(0, len(self), batch):
            rows = slice(start, start + batch)
            perceptions = np.array(self.perceptions[rows], dtype=np.float32)
            count = len(perceptions)
            embeddings = np.array(self.clip_embeddings[rows], dtype=np.float32)
            extras = {name: np.array(values[rows], dtype=np.float32) for name, values in self.extras.items()}
            texts = {name: _list(getattr(self, name), rows, count) for name in TEXTS}
            if self.prompts is None:
                texts["prompts"] = [_name_of(row) for row in zip(embeddings, *extras.values(), strict=True)]
            yield Samples(
                perceptions=perceptions,
                embeddings=embeddings,
                image_sizes=np.zeros((count, 2), np.int32) if sizes is None else np.array(sizes[rows], np.int32),
                scores=np.full(count, np.nan, np.float32) if scores is None else np.array(scores[rows], np.float32),
                extras=extras,
                **texts,
            )


def load(path: Path, *, allow_bad_rows: bool = False) -> Dataset:
    """Read and check a training_data.npz; floats of other precisions become float32.

    Arrays that lie in the file as they do in memory, as `export` and `save` write them, are mapped from the disk:
    they take memory only where they are used (npz_file.Reader.read). Raises DatasetError, saying which array or rows
    are wrong and what to do, for anything that could not be trained on; with `allow_bad_rows`, rows whose numbers are
    wrong are listed in `bad_rows` instead. No code in the file is ever run.
    """
    with Reader(Path(path)) as file:
        return _read(file, allow_bad_rows)


def gather(store: Store, *, allow_bad_rows: bool = False) -> Dataset:
    """All samples of `store`, as of this moment, in memory: what `load` would return for its export, without a file.

    Raises DatasetError as `load` does, and if there are no samples.
    """
    with store.snapshot() as snapshot:
        return _read(Gathered(store.path, _members(snapshot, _binding(snapshot, store))), allow_bad_rows)


def _read(file: Arrays, allow_bad_rows: bool) -> Dataset:
    bad: set[int] | None = set() if allow_bad_rows else None
    for name in ("perception_embeddings", "clip_embeddings"):
        if name not in file.names:
            held = ", ".join(sorted(file.names)) or "nothing"
            raise file.error(name, f"is missing (the file holds {held})", "make it as docs/training.md shows")
    perceptions = read_perceptions(file, bad)
    count = len(perceptions)
    if count == 0:
        raise file.error("perception_embeddings", "holds no rows", "add samples first")
    meta = read_meta(file)
    found = Dataset(
        perceptions=perceptions,
        clip_embeddings=read_vectors(file, count, "clip_embeddings", EMBEDDING, bad=bad),
        image_sizes=read_image_sizes(file, count, bad),
        meta=meta,
        scores=read_scores(file, count),
        extras=read_extras(file, count, meta),
        **{name: read_texts(file, count, name) for name in TEXTS},  # type: ignore[arg-type]
    )
    return replace(found, bad_rows=np.array(sorted(bad), dtype=np.int64)) if bad else found


def save(dataset: Dataset, path: Path) -> None:
    """Write `dataset` as an NPZ, whole or not at all."""
    arrays: dict[str, NDArray[Any] | None] = {
        "perception_embeddings": dataset.perceptions.astype(np.float32, copy=False),
        "clip_embeddings": dataset.clip_embeddings.astype(np.float32, copy=False),
        **dataset.extras,
        "image_sizes": dataset.image_sizes,
        **{name: getattr(dataset, name) for name in TEXTS},
        "scores": dataset.scores,
        "meta": np.array(json.dumps(dataset.meta)),
    }
    with atomic_path(Path(path)) as temporary:
        write(
            temporary,
            (Member(name, a.dtype, a.shape, [a]) for name, a in arrays.items() if a is not None),
        )


def export(store: Store, path: Path) -> int:
    """Write all samples of `store`, as of this moment, as an NPZ, and return how many; in constant memory.

    Others may append meanwhile. Raises DatasetError if there are none. On Windows a file that is in use, by a
    `Dataset` loaded from it for instance, cannot be replaced: PermissionError, and the file stays as it was.
    """
    with store.snapshot() as snapshot:
        binding = _binding(snapshot, store)
        with atomic_path(Path(path)) as temporary:
            write(temporary, _members(snapshot, binding))
        return len(snapshot)


def import_npz(path: Path, store: Store) -> int:
    """Append the rows of any NPZ that `load` accepts to `store`, and return how many were new.

    Rows without a prompt are named as by `Dataset.samples`. What the file's meta does not state counts as "unknown",
    and unknown does not mix with known. Raises ValueError for a bad file, or if its samples were made differently than
    the store's.
    """
    return copy_samples(load(path), store)


def content_hash(dataset: Dataset, release: Callable[[], None] = lambda: None) -> str:
    """SHA-256, in hexadecimal, of all that training learns from.

    That is perceptions, targets, sizes, prompts and groups; split hints and further targets where there are any.
    `release` is called after every few rows.
    """
    digest = hashlib.sha256()
    for array in (dataset.perceptions, dataset.clip_embeddings, dataset.image_sizes):
        digest.update(b"none" if array is None else f"{array.dtype.str}{array.shape}".encode())
        if array is not None:
            _update(digest, array, release)
    for texts in (dataset.prompts, dataset.groups):
        digest.update(json.dumps(None if texts is None else texts.tolist()).encode())
    if dataset.splits is not None and dataset.splits.astype(np.bool_).any():
        digest.update(json.dumps({"splits": dataset.splits.tolist()}).encode())
    for name, array in dataset.extras.items():
        digest.update(name.encode())
        _update(digest, array, release)
    return digest.hexdigest()


def description(binding: Binding) -> dict[str, Any]:
    """The meta of a dataset that is exported."""
    return {
        "format": FORMAT_VERSION,
        "space": SPACE,
        "spaces": [SD15.name] if binding.space == SD15.name else [SD15.name, binding.space],
        "encoder": binding.encoder,
        "fingerprint": None if binding.fingerprint is None else binding.fingerprint.tolist(),
        "landmarker": binding.landmarker,
        "emotion_model": binding.emotion_model,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
    }


def _binding(snapshot: Snapshot, store: Store) -> Binding:
    if snapshot.binding is None:
        raise DatasetError(f"{store.path}: the dataset holds no samples yet; build or record some first")
    return snapshot.binding


def _members(snapshot: Snapshot, binding: Binding) -> Iterator[Member]:
    count, floats = len(snapshot), np.dtype("<f4")
    yield Member("perception_embeddings", floats, (count, DIM), snapshot.perceptions())
    for name, width in {"clip_embeddings": EMBEDDING, **EXTRAS[binding.space]}.items():
        yield Member(name, floats, (count, width), snapshot.vectors(name))
    if snapshot.has_image_sizes:
        yield Member("image_sizes", np.dtype("<i4"), (count, 2), snapshot.image_sizes())
    for name in TEXTS:
        longest = snapshot.longest(name)
        if longest or name in ALWAYS:
            dtype = np.dtype(f"<U{max(1, longest)}")
            yield Member(name, dtype, (count,), _texts(snapshot, name, dtype))
    if snapshot.has_scores:
        yield Member("scores", floats, (count,), snapshot.scores())
    text = np.array(json.dumps(description(binding)))
    yield Member("meta", text.dtype, text.shape, [text])


def _texts(snapshot: Snapshot, name: str, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    for texts in snapshot.texts(name):
        yield np.array(texts, dtype=dtype)


def _update(digest: hashlib._Hash, array: NDArray[Any], release: Callable[[], None]) -> None:
    for start in range(0, len(array), ROWS):
        digest.update(np.ascontiguousarray(array[start : start + ROWS]).data)
        release()


def _list(texts: Texts | None, rows: slice, count: int) -> list[str]:
    return [""] * count if texts is None else [str(text) for text in texts[rows].tolist()]


def _name_of(vectors: Sequence[Floats]) -> str:
    """A prompt for the vectors of one whose text is not known."""
    return f"#{hashlib.sha256(b''.join(vector.tobytes() for vector in vectors)).hexdigest()[:16]}"
