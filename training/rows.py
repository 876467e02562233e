"""The samples of a dataset file, .db or .npz, in one way of reading: whole samples, some at a time, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .npz import TEXTS, Dataset, load
from .samples import UNKNOWN, Binding, Floats, Samples
from .store import Store
from .store_file import SCHEMA_VERSION

BATCH = 1024


class Rows(Protocol):
    """A dataset to be read: `training.snapshot.Snapshot` is one."""

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
        """Whole samples, up to `batch` at a time."""
        ...


class NpzRows:
    """An NPZ as `Rows`. What its meta does not state is unknown; prompts that it lacks are named by their vectors."""

    def __init__(self, dataset: Dataset) -> None:
        meta = dataset.meta
        probe = meta.get("fingerprint")
        self._dataset = dataset
        self.binding = Binding(
            encoder=meta.get("encoder", UNKNOWN),
            fingerprint=np.array(probe, dtype=np.float32) if probe else None,
            landmarker=meta.get("landmarker", UNKNOWN),
            emotion_model=meta.get("emotion_model", UNKNOWN),
            space=dataset.space,
        )
        self.has_image_sizes = dataset.image_sizes is not None
        stated = {"dataset": meta.get("format"), **_mapping(meta.get("versions"))}
        self.versions = {str(name): str(version) for name, version in stated.items() if version is not None}

    def __len__(self) -> int:
        return len(self._dataset)

    def samples(self, batch: int = BATCH) -> Iterator[Samples]:
        held = self._dataset
        for start in range(0, len(held), batch):
            rows = slice(start, start + batch)
            count = len(held.perceptions[rows])
            embeddings = np.array(held.clip_embeddings[rows], dtype=np.float32)
            extras = {name: np.array(values[rows], dtype=np.float32) for name, values in held.extras.items()}
            sizes, scores = held.image_sizes, held.scores
            texts = {name: _list(getattr(held, name), rows, count) for name in TEXTS}
            if held.prompts is None:
                texts["prompts"] = [name_of(vectors) for vectors in zip(embeddings, *extras.values(), strict=True)]
            yield Samples(
                perceptions=np.array(held.perceptions[rows], dtype=np.float32),
                embeddings=embeddings,
                image_sizes=np.zeros((count, 2), np.int32) if sizes is None else np.array(sizes[rows], np.int32),
                scores=np.full(count, np.nan, np.float32) if scores is None else np.array(scores[rows], np.float32),
                extras=extras,
                **texts,
            )


@contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    """The samples of a .db, as they are at this moment, or of an .npz.

    Raises FileNotFoundError, StoreError or DatasetError for what is no dataset, ValueError for another suffix.
    """
    if path.suffix == ".npz":
        yield NpzRows(load(path))
    elif path.suffix == ".db":
        with Store(path, create=False) as store, store.snapshot() as snapshot:
            yield snapshot
    else:
        raise ValueError(f"{path}: a dataset's name ends in .db or .npz")


def versions_of(rows: Rows) -> dict[str, str]:
    """The version of the file's format, and those of what wrote it as far as the file says."""
    return rows.versions if isinstance(rows, NpzRows) else {"dataset": str(SCHEMA_VERSION)}


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
            for name in ("prompts", "groups", "sources", "labels", "splits", "keys")
        },
    )


def name_of(vectors: Sequence[Floats]) -> str:
    """A name for a prompt of which only its vectors are known: `#` and 16 hexadecimal digits."""
    return "#" + hashlib.sha256(b"".join(vector.tobytes() for vector in vectors)).hexdigest()[:16]


def _list(column: NDArray[np.str_] | None, rows: slice, count: int) -> list[str]:
    return [""] * count if column is None else [str(text) for text in column[rows].tolist()]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
