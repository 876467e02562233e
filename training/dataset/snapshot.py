"""Reading of a dataset file as it was at one moment, in constant memory, while others append to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...projection.spaces import ADDED_TARGETS, SD15
from .samples import Floats, Provenance, Samples

KEPT = 24 << 20  # bytes of prompts' vectors kept while reading

_TEXTS = {
    "prompts": "(SELECT text FROM prompts WHERE prompts.id = prompt)",
    "groups": '"group"',
    "sources": "source",
    "labels": "label",
    "splits": "split",
    "origins": "origin",
}
_SMALL = 'prompt, height, width, score, "group", source, label, split, origin'


class Snapshot:
    """A dataset at one moment, created by `Store.snapshot`. Every method reads the rows in the same order.

    All columns except the perceptions and the prompts' vectors are small, but scattered over the whole file. The first
    method that needs such a column copies all of them to a temporary table; the file is then not read again for each.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._has_small = False
        self.provenance = read_provenance(connection)  # the first read fixes the moment
        self._count = int(self._first("SELECT count(*) FROM samples"))
        # A store has image sizes for all of its samples or for none.
        self.has_image_sizes = bool(self._first("SELECT width > 0 FROM samples LIMIT 1"))

    def __len__(self) -> int:
        return self._count

    @property
    def has_scores(self) -> bool:
        """Whether any sample has a score."""
        return bool(self._first(f"SELECT count(score) FROM {self._small()}"))

    def perceptions(self, batch: int = 1024) -> Iterator[Floats]:
        """Yield the perceptions, (n, 1441) at a time, n ≤ `batch`."""
        for (column,) in self._columns("perception", "samples", batch):
            yield _floats(column)

    def vectors(self, name: str = "clip_embeddings", batch: int = 1024) -> Iterator[Floats]:
        """Yield the prompts' vectors `name`, of `ADDED_TARGETS` or clip_embeddings, (n, width) at a time."""
        vector_of = _Vectors(self._connection, name)
        for (prompts,) in self._columns("prompt", self._small(), batch):
            yield vector_of(prompts)

    def image_sizes(self, batch: int = 1024) -> Iterator[NDArray[np.int32]]:
        """Yield height and width of the pictures in pixels, (n, 2) at a time; zeros if unknown."""
        for heights, widths in self._columns("height, width", self._small(), batch):
            yield np.array([heights, widths], dtype=np.int32).T

    def scores(self, batch: int = 1024) -> Iterator[Floats]:
        """Yield the scores, (n,) at a time; NaN if unknown."""
        for (column,) in self._columns("score", self._small(), batch):
            yield np.array(column, dtype=np.float32)

    def texts(self, name: str, batch: int = 1024) -> Iterator[tuple[str, ...]]:
        """Yield the column `name` ("prompts", "groups", "sources", "labels", "splits" or "origins"), n at a time."""
        for (column,) in self._columns(_TEXTS[name], self._small(), batch):
            yield column

    def longest(self, name: str) -> int:
        """Return the number of characters of the longest text in the column `name`."""
        return int(self._first(f"SELECT max(length({_TEXTS[name]})) FROM {self._small()}") or 0)

    def samples(self, batch: int = 1024) -> Iterator[Samples]:
        """Yield complete samples, n at a time."""
        sdxl_targets = ADDED_TARGETS[self.provenance.space] if self.provenance else {}
        vector_of = {name: _Vectors(self._connection, name) for name in ("clip_embeddings", *sdxl_targets)}
        columns = ", ".join(["perception, prompt, height, width, score", *_TEXTS.values()])
        for perceptions, prompts, heights, widths, scores, *words in self._columns(columns, "samples", batch):
            yield Samples(
                perceptions=_floats(perceptions),
                embeddings=vector_of["clip_embeddings"](prompts),
                image_sizes=np.array([heights, widths], dtype=np.int32).T,
                scores=np.array(scores, dtype=np.float32),
                sdxl_targets={name: vector_of[name](prompts) for name in sdxl_targets},
                **{name: list(column) for name, column in zip(_TEXTS, words, strict=True)},
            )

    def _small(self) -> str:
        """Return the name of the table of the small columns, which is created on first use."""
        if not self._has_small:
            table = f"CREATE TEMP TABLE small AS SELECT id, {_SMALL} FROM samples ORDER BY id"
            self._connection.execute(table)
            self._has_small = True
        return "small"

    def _columns(self, columns: str, table: str, batch: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the named columns of up to `batch` rows at a time, each as a tuple."""
        order = "id" if table == "samples" else "rowid"  # in the temporary table, the order of copying
        cursor = self._connection.execute(f"SELECT {columns} FROM {table} ORDER BY {table}.{order}")
        while rows := cursor.fetchmany(batch):
            yield list(zip(*rows, strict=True))

    def _first(self, query: str) -> Any:
        """Return the first value that a query finds; None if there is none."""
        row = self._connection.execute(query).fetchone()
        return None if row is None else row[0]


class _Vectors:
    """The vectors of prompts by number, with a cache, because consecutive samples mostly share prompts."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._kept: dict[int, Floats] = {}
        self._bytes = 0

    def __call__(self, prompts: Sequence[int]) -> Floats:
        """Return the vectors (n, width) of n prompts."""
        if self._bytes > KEPT:
            self._kept.clear()
            self._bytes = 0
        for prompt in set(prompts) - self._kept.keys():
            self._kept[prompt] = self._read(prompt)
            self._bytes += self._kept[prompt].nbytes
        return np.stack([self._kept[prompt] for prompt in prompts])

    def _read(self, prompt: int) -> Floats:
        if self._name == "clip_embeddings":
            row = self._connection.execute("SELECT embedding FROM prompts WHERE id = ?", (prompt,)).fetchone()
        else:
            query = "SELECT vector FROM vectors WHERE prompt = ? AND name = ?"
            row = self._connection.execute(query, (prompt, self._name)).fetchone()
        return vector(row[0])


def read_provenance(connection: sqlite3.Connection) -> Provenance | None:
    """Return the models that the samples in the file of `connection` were created with; None without samples."""
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if not meta:
        return None
    return Provenance(
        encoder=meta["encoder"],
        fingerprint=vector(meta["fingerprint"]) if meta["fingerprint"] else None,
        landmarker=meta["landmarker"],
        emotion_model=meta["emotion_model"],
        space=meta.get("space", SD15.name),
    )


def vector(stored: bytes) -> Floats:
    """Return a stored vector as a new float32 array."""
    return np.frombuffer(stored, dtype="<f4").astype(np.float32)


def _floats(stored: tuple[bytes, ...]) -> Floats:
    """Return stored vectors of the same width as the rows of an array."""
    return np.frombuffer(bytearray().join(stored), dtype="<f4").reshape(len(stored), -1)
