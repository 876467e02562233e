"""Reading a dataset file as it was at one moment, in constant memory, while others append to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .samples import EMBEDDING, Binding, Floats, Samples

# Samples first, then their prompts: CROSS JOIN keeps SQLite from turning the two around and sorting.
_ROWS = "FROM samples CROSS JOIN prompts ON prompts.id = samples.prompt ORDER BY samples.id"
_TEXTS = {"prompts": "prompts.text", "groups": 'samples."group"', "sources": "samples.source"}


class Snapshot:
    """One moment of a dataset; `Store.snapshot` makes it. Every method reads the rows in the same order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.binding = read_binding(connection)  # the first read: it fixes the moment
        count, known = connection.execute("SELECT count(*), min(width) > 0 FROM samples").fetchone()
        self._count = int(count)
        self.has_image_sizes = bool(known)

    def __len__(self) -> int:
        return self._count

    def perceptions(self, batch: int = 1024) -> Iterator[Floats]:
        """(n, 1441) at a time, n ≤ `batch`."""
        for (column,) in self._columns("samples.perception", batch):
            yield _floats(column)

    def embeddings(self, batch: int = 1024) -> Iterator[Floats]:
        """(n, 768) at a time."""
        for (column,) in self._columns("prompts.embedding", batch):
            yield _floats(column)

    def image_sizes(self, batch: int = 1024) -> Iterator[NDArray[np.int32]]:
        """(n, 2) height and width at a time."""
        for heights, widths in self._columns("samples.height, samples.width", batch):
            yield np.array([heights, widths], dtype=np.int32).T

    def texts(self, name: str, batch: int = 1024) -> Iterator[tuple[str, ...]]:
        """The column `name` ("prompts", "groups" or "sources"), n at a time."""
        for (column,) in self._columns(_TEXTS[name], batch):
            yield column

    def longest(self, name: str) -> int:
        """Characters of the longest text in the column `name`."""
        row = self._connection.execute(f"SELECT max(length({_TEXTS[name]})) {_ROWS}").fetchone()
        return int(row[0] or 0)

    def samples(self, batch: int = 1024) -> Iterator[Samples]:
        """Whole samples, n at a time."""
        columns = "samples.perception, prompts.embedding, samples.height, samples.width, " + ", ".join(_TEXTS.values())
        for perceptions, embeddings, heights, widths, *texts in self._columns(columns, batch):
            prompts, groups, sources = (list(column) for column in texts)
            yield Samples(
                perceptions=_floats(perceptions),
                embeddings=_floats(embeddings),
                image_sizes=np.array([heights, widths], dtype=np.int32).T,
                prompts=prompts,
                groups=groups,
                sources=sources,
            )

    def _columns(self, columns: str, batch: int) -> Iterator[list[tuple[Any, ...]]]:
        """The named columns of up to `batch` rows at a time, each as a tuple."""
        cursor = self._connection.execute(f"SELECT {columns} {_ROWS}")
        while rows := cursor.fetchmany(batch):
            yield list(zip(*rows, strict=True))


def read_binding(connection: sqlite3.Connection) -> Binding | None:
    """What the samples behind `connection` were made with; None while there are none."""
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if not meta:
        return None
    return Binding(
        encoder=meta["encoder"],
        fingerprint=vector(meta["fingerprint"]) if meta["fingerprint"] else None,
        landmarker=meta["landmarker"],
        emotion_model=meta["emotion_model"],
    )


def vector(stored: bytes) -> Floats:
    """A stored vector (768,), as an array of its own."""
    return np.frombuffer(stored, dtype="<f4", count=EMBEDDING).astype(np.float32)


def _floats(stored: tuple[bytes, ...]) -> Floats:
    """Stored vectors of one width as the rows of an array."""
    return np.frombuffer(b"".join(stored), dtype="<f4").reshape(len(stored), -1)
