"""training_data.npz, a dataset that does not grow: saved, exported from a store, loaded with full checks, imported.

    perception_embeddings  (N, 1441) float32    required
    clip_embeddings        (N, 768) float32     required
    image_sizes            (N, 2) int32         height, width in pixels
    prompts, groups, sources  (N,) text         groups: the person or clip of a row; "" if unknown
    labels, splits, origins (N,) text           as in training/dataset/samples.py; "" if unknown
    scores                 (N,) float32         of the detector, 0…1; NaN if unknown
    subject_embeddings     (N, 768) float32     the state of the noun in "{prompt}, a person" (encoders/base.py)
    sdxl_embeddings        (N, 2048) float32    of the sdxl space: both or neither …
    sdxl_pooled            (N, 1280) float32
    sdxl_subject           (N, 2048) float32    … and with subject_embeddings
    meta                   text                 JSON: encoder, fingerprint, landmarker, emotion_model, space, versions

A file with just the two required arrays, written by NumPy, loads.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...common.files import atomic_path
from ...common.words import counted
from ...perception.vector import EMOTIONS, LANDMARK_VALUES, PERCEPTION_DIM, SUM_TOLERANCE
from ...projection.spaces import ADDED_TARGETS, EMBEDDING, SD15, SDXL, SUBJECT_TARGETS, added_targets
from .copying import copy_samples
from .npz_file import ArrayError, DatasetError, Layout, Member, array_error, read, write
from .samples import SPLITS, TEXTS, UNKNOWN, Floats, Provenance, Samples
from .snapshot import BATCH, Snapshot
from .store import Store

__all__ = ["Dataset", "DatasetError", "content_hash", "export", "gather", "import_npz", "load", "save"]

FORMAT_VERSION = 1
IN_MEMORY = 512 << 20  # bytes of a .db that are read into memory: 44,000 samples; larger ones are mapped
BLOCK = 1 << 20  # bytes of an array checked in one step
NAMED_ROWS = 5  # number of bad rows named in an error
LAST_CHARACTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)  # of Unicode; surrogates are not characters
LARGEST = float(np.finfo(np.float32).max)
ALWAYS = ("prompts", "groups", "sources")  # exported even if all are empty
MODELS = ("encoder", "landmarker", "emotion_model")
LAYOUTS = {
    "perception_embeddings": Layout("f", ("N", PERCEPTION_DIM), required=True),
    "clip_embeddings": Layout("f", ("N", EMBEDDING), required=True),
    **{name: Layout("f", ("N", width)) for name, width in added_targets(SDXL.name, subject=True).items()},
    "image_sizes": Layout("iu", ("N", 2)),
    "scores": Layout("f", ("N",)),
    **{name: Layout("US", ("N",)) for name in TEXTS},
    "meta": Layout("US", ()),
}

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Dataset:
    """N samples. What is unknown for all of them is None."""

    perceptions: Floats  # (N, 1441)
    clip_embeddings: Floats  # (N, 768)
    image_sizes: NDArray[np.int32] | None = None  # (N, 2): height, width in pixels
    prompts: Texts | None = None  # (N,)
    groups: Texts | None = None  # (N,)
    sources: Texts | None = None  # (N,)
    meta: dict[str, Any] = field(default_factory=dict)
    labels: Texts | None = None  # (N,)
    splits: Texts | None = None  # (N,) one of SPLITS, or "" to let training choose
    origins: Texts | None = None  # (N,)
    scores: Floats | None = None  # (N,) 0…1; NaN if unknown
    added_targets: dict[str, Floats] = field(default_factory=dict)  # name → (N, width), as in Samples
    bad_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # not to be used; ascending

    def __len__(self) -> int:
        return len(self.perceptions)

    @property
    def space(self) -> str:
        """The text space of the targets; sdxl adds its own vectors to those of sd15."""
        return SDXL.name if self.added_targets.keys() >= ADDED_TARGETS[SDXL.name].keys() else SD15.name

    @property
    def provenance(self) -> Provenance:
        """The models that the samples were created with; those that meta does not name are "unknown"."""
        names = {name: self.meta.get(name, UNKNOWN) for name in MODELS}
        fingerprint = self.meta.get("fingerprint")
        vector = np.array(fingerprint, dtype=np.float32) if fingerprint else None
        return Provenance(fingerprint=vector, space=self.space, **names)

    @property
    def has_image_sizes(self) -> bool:
        """Whether the sizes of the pictures are known."""
        return self.image_sizes is not None

    @property
    def has_subject(self) -> bool:
        """Whether the subject's vectors are known."""
        return SD15.subject in self.added_targets

    def samples(self, batch: int = BATCH) -> Iterator[Samples]:
        """Yield complete samples in order, up to `batch` at a time, copied from the disk.

        A row without a prompt gets one made from its vectors, `#` and 16 hexadecimal digits, so that rows with the same
        target share one prompt.
        """
        for start in range(0, len(self), batch):
            rows = slice(start, start + batch)
            targets = [np.array(vectors[rows]) for vectors in (self.clip_embeddings, *self.added_targets.values())]
            texts = {name: texts[rows].tolist() for name in TEXTS if (texts := getattr(self, name)) is not None}
            texts.setdefault("prompts", [_prompt_of(vectors) for vectors in zip(*targets, strict=True)])
            yield Samples(
                perceptions=np.array(self.perceptions[rows]),
                embeddings=targets[0],
                image_sizes=np.zeros((len(targets[0]), 2), np.int32)
                if self.image_sizes is None
                else self.image_sizes[rows],
                scores=np.empty(0, np.float32) if self.scores is None else self.scores[rows],
                added_targets=dict(zip(self.added_targets, targets[1:], strict=True)),
                **texts,
            )


def load(path: Path, *, allow_bad_rows: bool = False) -> Dataset:
    """Return the dataset in a training_data.npz after checking it; floats of other precisions become float32.

    Arrays that lie in the file as they do in memory, as `export` and `save` write them, are mapped from the disk: they
    take the system's cache, not the process's own memory. Raises DatasetError, naming the array or rows and the remedy,
    for anything that cannot be used for training; with `allow_bad_rows`, rows with invalid numbers are listed in
    `bad_rows` instead. No code in the file is ever run.
    """
    return _checked(Path(path), read(Path(path), LAYOUTS), allow_bad_rows)


def gather(store: Store, *, allow_bad_rows: bool = False) -> Dataset:
    """Return all samples of `store`, as of this moment, as `load` would return them from its export.

    Up to `IN_MEMORY` bytes are read into memory. What is larger is mapped from nameless files beside the dataset, which
    take 12 KB per sample and vanish with the result. Raises DatasetError as `load` does, and if there are no samples or
    the disk is full.
    """
    with store.snapshot() as snapshot:
        found = list(members(snapshot, store))
        size = sum(member.size for member in found)
        try:
            arrays = {
                member.name: member.in_memory()
                if size <= IN_MEMORY or not member.size
                else member.in_file(store.path.parent)
                for member in found
            }
        except OSError as error:
            raise DatasetError(
                f"{store.path}: reading it takes {size / 1e9:.1f} GB in its folder ({error}); free some disk space"
            ) from error
    return _checked(store.path, arrays, allow_bad_rows)


def save(dataset: Dataset, path: Path) -> None:
    """Write `dataset` as an NPZ, completely or not at all."""
    arrays: dict[str, NDArray[Any] | None] = {
        "perception_embeddings": dataset.perceptions.astype(np.float32, copy=False),
        "clip_embeddings": dataset.clip_embeddings.astype(np.float32, copy=False),
        **dataset.added_targets,
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
    """Write all samples of `store`, as of this moment, as an NPZ in constant memory, and return their number.

    Others may append meanwhile. Raises DatasetError if there are none. On Windows a file in use, such as by a
    `Dataset` loaded from it, cannot be replaced: it stays as it was, and PermissionError is raised.
    """
    with store.snapshot() as snapshot, atomic_path(Path(path)) as temporary:
        write(temporary, members(snapshot, store))
        return len(snapshot)


def import_npz(path: Path, store: Store) -> int:
    """Append the rows of any NPZ that `load` accepts to `store`, and return how many were new.

    Raises ValueError for an invalid file, or if its samples were created with other models than the store's; models
    that its meta does not name are "unknown", which is different from any that is known.
    """
    return copy_samples(load(path), store)


def content_hash(dataset: Dataset) -> str:
    """Return the SHA-256, in hexadecimal, of everything that training learns from.

    These are perceptions, targets, sizes, prompts and groups, and splits and further targets if there are any.
    """
    digest = hashlib.sha256()
    for array in (dataset.perceptions, dataset.clip_embeddings, dataset.image_sizes):
        digest.update(b"none" if array is None else f"{array.dtype.str}{array.shape}".encode())
        if array is not None:
            _update(digest, array)
    for texts in (dataset.prompts, dataset.groups):
        digest.update(json.dumps(None if texts is None else texts.tolist()).encode())
    if dataset.splits is not None and dataset.splits.astype(np.bool_).any():
        digest.update(json.dumps({"splits": dataset.splits.tolist()}).encode())
    for name, array in dataset.added_targets.items():
        digest.update(name.encode())
        _update(digest, array)
    return digest.hexdigest()


def members(snapshot: Snapshot, store: Store, batch: int = BATCH) -> Iterator[Member]:
    """Yield the arrays of LAYOUTS that `snapshot`, one of `store`, fills, in pieces of `batch` rows, and at last meta.

    Raises DatasetError if there are no samples.
    """
    provenance, count, floats = snapshot.provenance, len(snapshot), np.dtype("<f4")
    if provenance is None:
        raise DatasetError(f"{store.path}: the dataset has no samples yet; build or record some first")
    names = {"perception_embeddings": "perceptions", "clip_embeddings": "embeddings"}
    widths = {"perception_embeddings": PERCEPTION_DIM, "clip_embeddings": EMBEDDING, **snapshot.added_targets}
    for name, width in widths.items():
        yield Member(name, floats, (count, width), snapshot.column(names.get(name, name), batch))
    if snapshot.has_image_sizes:
        yield Member("image_sizes", np.dtype("<i4"), (count, 2), snapshot.column("image_sizes", batch))
    for name in TEXTS:
        longest = snapshot.longest(name)
        if longest or name in ALWAYS:
            dtype = np.dtype(f"<U{max(1, longest)}")
            yield Member(name, dtype, (count,), map(partial(np.array, dtype=dtype), snapshot.column(name, batch)))
    if snapshot.has_scores:
        yield Member("scores", floats, (count,), snapshot.column("scores", batch))
    meta = {
        "format": FORMAT_VERSION,
        **vars(provenance),
        "fingerprint": None if provenance.fingerprint is None else provenance.fingerprint.tolist(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
    }
    text = np.array(json.dumps(meta))
    yield Member("meta", text.dtype, text.shape, [text])


def _update(digest: hashlib._Hash, array: NDArray[Any]) -> None:
    for _, rows in _blocks(array):
        digest.update(np.ascontiguousarray(rows).data)


def _prompt_of(vectors: Sequence[Floats]) -> str:
    """Return a prompt that stands for one with these vectors whose text is unknown."""
    return f"#{hashlib.sha256(b''.join(vector.tobytes() for vector in vectors)).hexdigest()[:16]}"


def _checked(path: Path, arrays: dict[str, NDArray[Any]], allow_bad_rows: bool) -> Dataset:
    """Return the dataset of these arrays of LAYOUTS. Raises DatasetError if it cannot be used for training."""
    error = partial(array_error, path)
    count = len(arrays["perception_embeddings"])
    if count == 0:
        raise error("perception_embeddings", "has no rows", "add samples first")
    for name, array in arrays.items():
        if array.ndim and len(array) != count:
            wrong = f"has {counted(len(array), 'row')}, but perception_embeddings has {count}"
            raise error(name, wrong, "row i of every array must belong to the same sample: write the file again")
    texts = {name: _decoded(array, partial(error, name)) for name, array in arrays.items() if array.dtype.kind in "US"}
    for split in set(np.unique(texts.get("splits", "")).tolist()) - {"", *SPLITS}:
        raise error("splits", f"contains {split!r}", f"use {', '.join(SPLITS)}, or nothing to let training choose")
    meta = _read_meta(str(texts.pop("meta", "{}")), arrays.keys(), partial(error, "meta"))
    is_sdxl = meta.get("space") == SDXL.name or any(
        name in arrays for name in (*ADDED_TARGETS[SDXL.name], SDXL.subject)
    )
    space = SDXL.name if is_sdxl else SD15.name
    added = added_targets(space, subject=any(name in arrays for name in SUBJECT_TARGETS[space]))
    for name in added:
        if name not in arrays:
            given = "the targets are in the space sdxl"
            if name in SUBJECT_TARGETS[space]:
                given = f"{' and '.join(SUBJECT_TARGETS[space])} belong together"
            raise error(name, f"is missing, but {given}", "export the file again")
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind not in "US"}
    bad = [_bad_rows(name, array, partial(error, name), allow_bad_rows) for name, array in numbers.items()]
    return Dataset(
        perceptions=numbers["perception_embeddings"],
        clip_embeddings=numbers["clip_embeddings"],
        image_sizes=numbers["image_sizes"].astype(np.int32, copy=False) if "image_sizes" in numbers else None,
        meta=meta,
        scores=numbers.get("scores"),
        added_targets={name: numbers[name] for name in added},
        bad_rows=np.unique(np.concatenate(bad)),
        **texts,  # type: ignore[arg-type]
    )


def _bad_rows(name: str, array: NDArray[Any], error: ArrayError, allowed: bool) -> NDArray[np.int64]:
    """Return the row numbers with invalid values. Raises DatasetError, naming the first few, unless allowed."""
    bad: dict[str, list[int]] = {}
    for start, rows in _blocks(array):
        for wrong, is_bad in _faults(name, rows).items():
            bad.setdefault(wrong, []).extend((start + np.flatnonzero(is_bad)).tolist())
    for wrong, numbers in bad.items():
        if numbers and not allowed:
            first, more = ", ".join(map(str, numbers[:NAMED_ROWS])), len(numbers) - NAMED_ROWS
            raise error(
                f"has {len(numbers)} of {counted(len(array), 'row')} that {wrong}: "
                f"{first}{f' and {more} more' if more > 0 else ''} (counted from 0)",
                "remove those rows from every array, or correct them; `train --drop-bad-rows` skips them",
            )
    return np.array([number for numbers in bad.values() for number in numbers], dtype=np.int64)


def _faults(name: str, rows: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
    """Return what can be wrong with rows (n, …) of the array, in words → a mask (n,) of those that are."""
    if name == "image_sizes":
        return {"contain sizes below 1 pixel": (rows.min(axis=1) < 1) | (rows.max(axis=1) >= 2**31)}
    if name == "scores":
        return {"are not detection scores, which are 0…1 or NaN": (rows < 0) | (rows > 1)}
    faults = {"contain NaN or infinite values": ~np.isfinite(rows).all(axis=1)}
    if name == "perception_embeddings":
        emotions = rows[:, LANDMARK_VALUES:]
        wrong = f"have emotion probabilities (the last {len(EMOTIONS)} numbers) that are negative or do not sum to 1"
        with np.errstate(invalid="ignore"):  # infinities are reported by the line above
            faults[wrong] = (emotions.min(axis=1) < 0) | (np.abs(emotions.sum(axis=1) - 1) > SUM_TOLERANCE)
    return faults


def _blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield about a megabyte of rows at a time, with the number of the first."""
    step = max(1, BLOCK // array[:1].nbytes)
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _decoded(array: NDArray[Any], error: ArrayError) -> Texts:
    """Return text as Unicode, decoded from UTF-8 if it is bytes. Raises DatasetError for invalid characters."""
    try:
        texts: Texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        for _, rows in _blocks(np.atleast_1d(texts)):
            codes = rows.view(np.uint32)  # NumPy does not check these numbers
            if ((codes > LAST_CHARACTER) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))).any():
                raise UnicodeError("numbers that are not characters")
    except UnicodeError as broken:
        raise error(f"contains invalid text ({broken})", "save it as Unicode text") from broken
    return texts


def _read_meta(text: str, names: Set[str], error: ArrayError) -> dict[str, Any]:
    """Return the meta of a file with arrays of these names. Raises DatasetError if it is invalid."""
    remedy = "export the file again, or leave meta out"
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as broken:
        raise error(f"is not JSON ({broken})", remedy) from broken
    if not isinstance(meta, dict):
        raise error("is not a JSON object", remedy)
    for key in MODELS:
        if not isinstance(meta.get(key, ""), str):
            raise error(f"has no text as {key}", remedy)
    if meta.get("space", SD15.name) not in (SD15.name, SDXL.name):
        raise error(f"names the text space {meta['space']!r}", f"only {SD15.name} and {SDXL.name} are supported")
    space = SDXL if names >= ADDED_TARGETS[SDXL.name].keys() else SD15
    fingerprint, width = meta.get("fingerprint"), sum(space.fingerprint)
    if fingerprint is not None and not (
        isinstance(fingerprint, list) and len(fingerprint) == width and all(map(_is_finite, fingerprint))
    ):
        raise error(f"has a fingerprint that is not {width} finite numbers", remedy)
    return meta


def _is_finite(value: object) -> bool:
    """Return whether it is a number that fits into float32."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
