"""training_data.npz: a finished dataset. Saved, exported from a store, loaded with full checks, imported.

    perception_embeddings  (N, 1441) float32    required
    clip_embeddings        (N, 768) float32     required
    image_sizes            (N, 2) int32         height, width in pixels
    prompts, groups, sources  (N,) text         groups: the person or clip a row is from, "" where unknown
    meta                   text                 JSON: encoder, fingerprint, landmarker, emotion_model, space, versions

A file with just the two required arrays, made by anyone with NumPy, loads.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..perception.files import atomic_path
from ..perception.vector import DIM, EMOTIONS, LANDMARK_VALUES, SUM_TOLERANCE
from .npz_file import DatasetError, Member, Reader, write
from .samples import EMBEDDING, UNKNOWN, Binding, Floats
from .snapshot import Snapshot
from .store import Store

__all__ = ["Dataset", "DatasetError", "content_hash", "export", "import_npz", "load", "save"]

FORMAT_VERSION = 1
SPACE = "sd15"  # whose text space the targets are in
ROWS = 4096  # rows looked at in one step
NAMED_ROWS = 5  # so many bad rows are named in an error
LARGEST = float(np.finfo(np.float32).max)

Texts = NDArray[np.str_]


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

    def __len__(self) -> int:
        return len(self.perceptions)


def load(path: Path) -> Dataset:
    """Read and check a training_data.npz; floats of other precisions become float32.

    Raises DatasetError, saying which array or rows are wrong and what to do, for anything that could not be
    trained on. No code in the file is ever run.
    """
    with Reader(Path(path)) as file:
        for name in ("perception_embeddings", "clip_embeddings"):
            if name not in file.names:
                held = ", ".join(sorted(file.names)) or "nothing"
                raise file.error(name, f"is missing (the file holds {held})", "make it as the README shows")
        perceptions = _single(file.read("perception_embeddings", "f", 2, DIM))
        count = len(perceptions)
        if count == 0:
            raise file.error("perception_embeddings", "holds no rows", "add samples first")
        embeddings = _single(_rows(file, count, "clip_embeddings", "f", 2, EMBEDDING))
        _check_rows(file, "perception_embeddings", perceptions, "hold NaN or infinite values", _not_finite)
        _check_rows(file, "clip_embeddings", embeddings, "hold NaN or infinite values", _not_finite)
        _check_rows(
            file,
            "perception_embeddings",
            perceptions,
            f"have emotion probabilities (the last {len(EMOTIONS)} numbers) that are negative or do not sum to 1",
            _bad_emotions,
        )
        sizes = _rows(file, count, "image_sizes", "iu", 2, 2) if "image_sizes" in file.names else None
        if sizes is not None and not 1 <= sizes.min() <= sizes.max() < 2**31:
            raise file.error("image_sizes", "holds sizes below 1 pixel", "leave the array out if they are unknown")
        return Dataset(
            perceptions=perceptions,
            clip_embeddings=embeddings,
            image_sizes=None if sizes is None else sizes.astype(np.int32),
            prompts=_texts(file, count, "prompts"),
            groups=_texts(file, count, "groups"),
            sources=_texts(file, count, "sources"),
            meta=_meta(file),
        )


def save(dataset: Dataset, path: Path) -> None:
    """Write `dataset` as an NPZ, whole or not at all."""
    arrays: dict[str, NDArray[Any] | None] = {
        "perception_embeddings": dataset.perceptions.astype(np.float32, copy=False),
        "clip_embeddings": dataset.clip_embeddings.astype(np.float32, copy=False),
        "image_sizes": dataset.image_sizes,
        "prompts": dataset.prompts,
        "groups": dataset.groups,
        "sources": dataset.sources,
        "meta": np.array(json.dumps(dataset.meta)),
    }
    with atomic_path(Path(path)) as temporary:
        write(
            temporary,
            (Member(name, a.dtype, a.shape, [a]) for name, a in arrays.items() if a is not None),
        )


def export(store: Store, path: Path) -> int:
    """Write all samples of `store`, as of this moment, as an NPZ, and return how many; in constant memory.

    Others may append meanwhile. Raises DatasetError if there are none.
    """
    with store.snapshot() as snapshot:
        if snapshot.binding is None:
            raise DatasetError(f"{store.path}: the dataset holds no samples yet; build or record some first")
        with atomic_path(Path(path)) as temporary:
            write(temporary, _members(snapshot, snapshot.binding))
        return len(snapshot)


def import_npz(path: Path, store: Store) -> int:
    """Append the rows of any NPZ that `load` accepts to `store`, and return how many were new.

    A row without a prompt gets one made from its embedding, `#` and 16 hexadecimal digits, so that rows with
    one target share one prompt. What the file's meta does not state counts as "unknown", and unknown does not
    mix with known. Raises ValueError for a bad file, or if its samples were made differently than the store's.
    """
    dataset = load(path)
    meta = dataset.meta
    store.bind(
        meta.get("encoder", UNKNOWN),
        torch.tensor(meta["fingerprint"]) if meta.get("fingerprint") else None,
        meta.get("landmarker", UNKNOWN),
        meta.get("emotion_model", UNKNOWN),
    )
    new = 0
    for start in range(0, len(dataset), ROWS):
        rows = slice(start, start + ROWS)
        embeddings = dataset.clip_embeddings[rows]
        prompts = (
            [f"#{hashlib.sha256(embedding.tobytes()).hexdigest()[:16]}" for embedding in embeddings]
            if dataset.prompts is None
            else dataset.prompts[rows].tolist()
        )
        new += store.append(
            torch.from_numpy(dataset.perceptions[rows]),
            None if dataset.image_sizes is None else torch.from_numpy(dataset.image_sizes[rows]),
            prompts,
            torch.from_numpy(embeddings),
            None if dataset.groups is None else dataset.groups[rows].tolist(),
            None if dataset.sources is None else dataset.sources[rows].tolist(),
        )
    return new


def content_hash(dataset: Dataset) -> str:
    """SHA-256, in hexadecimal, of all that training learns from: perceptions, targets, sizes, prompts, groups."""
    digest = hashlib.sha256()
    for array in (dataset.perceptions, dataset.clip_embeddings, dataset.image_sizes):
        digest.update(b"none" if array is None else f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, 0 if array is None else len(array), ROWS):
            digest.update(np.ascontiguousarray(array[start : start + ROWS]).data)  # type: ignore[index]
    for texts in (dataset.prompts, dataset.groups):
        digest.update(json.dumps(None if texts is None else texts.tolist()).encode())
    return digest.hexdigest()


def _members(snapshot: Snapshot, binding: Binding) -> Iterator[Member]:
    count = len(snapshot)
    yield Member("perception_embeddings", np.dtype("<f4"), (count, DIM), snapshot.perceptions())
    yield Member("clip_embeddings", np.dtype("<f4"), (count, EMBEDDING), snapshot.embeddings())
    if snapshot.has_image_sizes:
        yield Member("image_sizes", np.dtype("<i4"), (count, 2), snapshot.image_sizes())
    for name in ("prompts", "groups", "sources"):
        dtype = np.dtype(f"<U{max(1, snapshot.longest(name))}")
        pieces = (np.array(texts, dtype=dtype) for texts in snapshot.texts(name))
        yield Member(name, dtype, (count,), pieces)
    meta = {
        "format": FORMAT_VERSION,
        "space": SPACE,
        "encoder": binding.encoder,
        "fingerprint": None if binding.fingerprint is None else binding.fingerprint.tolist(),
        "landmarker": binding.landmarker,
        "emotion_model": binding.emotion_model,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
    }
    text = np.array(json.dumps(meta))
    yield Member("meta", text.dtype, text.shape, [text])


def _rows(file: Reader, count: int, name: str, kinds: str, dimensions: int, width: int | None = None) -> NDArray[Any]:
    """An array with one row per sample."""
    array = file.read(name, kinds, dimensions, width)
    if len(array) != count:
        raise file.error(
            name,
            f"has {len(array)} rows, but perception_embeddings has {count}",
            "row i of every array must belong to the same sample: make the file again",
        )
    return array


def _single(array: NDArray[Any]) -> Floats:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is reported as such
        return array.astype(np.float32, copy=False)


def _check_rows(
    file: Reader, name: str, array: Floats, wrong: str, is_bad: Callable[[Floats], NDArray[np.bool_]]
) -> None:
    """Raise, naming the first few rows, if `is_bad` finds any."""
    masks = [is_bad(array[start : start + ROWS]) for start in range(0, len(array), ROWS)]
    bad = np.concatenate(masks).nonzero()[0]
    if len(bad):
        rows = ", ".join(map(str, bad[:NAMED_ROWS].tolist()))
        more = f" and {len(bad) - NAMED_ROWS} more" if len(bad) > NAMED_ROWS else ""
        raise file.error(
            name,
            f"has {len(bad)} of {len(array)} rows that {wrong}: {rows}{more} (counted from 0)",
            "leave those rows out of every array, or make them again",
        )


def _not_finite(rows: Floats) -> NDArray[np.bool_]:
    bad = np.zeros(len(rows), dtype=np.bool_)
    np.any(~np.isfinite(rows), axis=1, out=bad)
    return bad


def _bad_emotions(rows: Floats) -> NDArray[np.bool_]:
    emotions = rows[:, LANDMARK_VALUES:]
    bad = np.zeros(len(rows), dtype=np.bool_)
    np.less(emotions.min(axis=1), 0, out=bad)
    bad |= np.abs(emotions.sum(axis=1) - 1) > SUM_TOLERANCE
    return bad


def _texts(file: Reader, count: int, name: str) -> Texts | None:
    if name not in file.names:
        return None
    return _decoded(file, name, _rows(file, count, name, "US", 1))


def _decoded(file: Reader, name: str, array: NDArray[Any]) -> Texts:
    """Text as Unicode; bytes are taken as UTF-8. Raises DatasetError for what is no text."""
    try:
        decoded: Texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        "".join(decoded.reshape(-1).tolist()).encode()  # numpy makes any 32-bit number a character
    except (UnicodeError, ValueError) as error:
        raise file.error(name, f"holds broken text ({error})", "save it as Unicode text") from error
    return decoded


def _meta(file: Reader) -> dict[str, Any]:
    """The meta string's content; empty if there is none. What other parts rely on is checked."""
    if "meta" not in file.names:
        return {}
    text = str(_decoded(file, "meta", file.read("meta", "US", 0)))
    remedy = "export the file again, or leave meta out"
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise file.error("meta", f"is not JSON ({error})", remedy) from error
    if not isinstance(meta, dict):
        raise file.error("meta", "is not a JSON object", remedy)
    for key in ("encoder", "landmarker", "emotion_model", "space"):
        if not isinstance(meta.get(key, ""), str):
            raise file.error("meta", f"names no {key} in words", remedy)
    if meta.get("space", SPACE) != SPACE:
        raise file.error("meta", f"says that the targets are in the space {meta['space']!r}", f"this needs {SPACE!r}")
    fingerprint = meta.get("fingerprint")
    if fingerprint is not None and not _is_vector(fingerprint):
        raise file.error("meta", f"has a fingerprint that is not {EMBEDDING} finite numbers", remedy)
    return meta


def _is_vector(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == EMBEDDING
        and all(type(number) in (int, float) and abs(number) < LARGEST for number in value)
    )
