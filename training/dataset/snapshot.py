"""Reading of a dataset file as it was at one moment, in constant memory, while others append to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...perception.vector import PERCEPTION_DIM
from ...projection.spaces import SD15, added_targets
from .samples import TEXTS, Floats, Provenance, Samples

BATCH = 1024
KEPT = 2048  # prompts whose vectors are kept in memory while reading: consecutive samples mostly share prompts

_SQL = {  # the columns of Samples; all others are the vectors of prompts
    "perceptions": "(SELECT vector FROM perceptions WHERE perceptions.id = samples.id)",
    "image_sizes": "height, width",
    "scores": "score",
    "prompts": "(SELECT text FROM prompts WHERE prompts.id = prompt)",
    "groups": '"group"',
    "sources": "source",
    "labels": "label",
    "splits": "split",
    "origins": "origin",
}


class Snapshot:
    """A dataset at one moment, created by `Store.snapshot`. Every method reads the rows in the same order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.provenance = read_provenance(connection)  # the first read fixes the moment
        self._count = int(self._first("SELECT count(*) FROM samples"))
        # A store has image sizes for all of its samples or for none.
        self.has_image_sizes = bool(self._first("SELECT width > 0 FROM samples LIMIT 1"))

    def __len__(self) -> int:
        return self._count

    @property
    def has_scores(self) -> bool:
        """Whether any sample has a score."""
        return bool(self._first("SELECT count(score) FROM samples"))

    @property
    def has_subject(self) -> bool:
        """Whether all prompts of samples have the subject's vectors."""
        without = (
            "SELECT 1 FROM prompts WHERE EXISTS (SELECT 1 FROM samples WHERE prompt = prompts.id)"
            " AND NOT EXISTS (SELECT 1 FROM vectors WHERE prompt = prompts.id AND name = ?) LIMIT 1"
        )
        return self._count > 0 and self._connection.execute(without, (SD15.subject,)).fetchone() is None

    @property
    def added_targets(self) -> dict[str, int]:
        """The further vectors that all prompts have, name → width."""
        return {} if self.provenance is None else added_targets(self.provenance.space, self.has_subject)

    def longest(self, name: str) -> int:
        """Return the number of characters of the longest text in the column `name`."""
        return int(self._first(f"SELECT max(length({_SQL[name]})) FROM samples") or 0)

    def samples(self, batch: int = BATCH) -> Iterator[Samples]:
        """Yield complete samples, n at a time, n ≤ `batch`."""
        added = self.added_targets
        columns = {name: self.column(name, batch) for name in (*_SQL, "embeddings", *added)}
        for values in zip(*columns.values(), strict=True):
            named = dict(zip(columns, values, strict=True))
            yield Samples(added_targets={name: named.pop(name) for name in added}, **named)

    def column(self, name: str, batch: int = BATCH) -> Iterator[Any]:
        """Yield a column of `Samples` or of its `added_targets`, n rows at a time: number arrays or lists of texts."""
        vector_of = lru_cache(KEPT)(lambda prompt: self._vector(prompt, name))
        rows = self._connection.execute(f"SELECT {_SQL.get(name, 'prompt')} FROM samples ORDER BY id")
        while values := rows.fetchmany(batch):
            if name in TEXTS:
                yield [text for (text,) in values]
            elif name == "image_sizes":
                yield np.array(values, dtype=np.int32)
            elif name == "scores":
                yield np.array(values, dtype=np.float32)[:, 0]
            elif name == "perceptions":
                yield array(value for (value,) in values).reshape(len(values), PERCEPTION_DIM)
            else:
                yield np.stack([vector_of(prompt) for (prompt,) in values])

    def summary(self, newest: int = 6, frequent: int = 3) -> DatasetSummary:
        """Return a summary with up to `newest` samples and up to `frequent` prompts, without reading everything."""
        counts = self._connection.execute(
            "SELECT text, sum(number) FROM prompts"
            " JOIN (SELECT prompt, count(*) AS number FROM samples GROUP BY prompt) ON prompts.id = prompt"
            " GROUP BY text ORDER BY 2 DESC, min(prompt)"
        ).fetchall()
        columns = ", ".join(_SQL[name] for name in ("prompts", "perceptions", "image_sizes"))
        rows = self._connection.execute(f"SELECT {columns} FROM samples ORDER BY id DESC LIMIT ?", (newest,)).fetchall()
        return DatasetSummary(
            samples=len(self),
            prompts=len(counts),
            frequent=counts[:frequent],
            newest=[text for text, *_ in rows],
            vectors=torch.from_numpy(array(row[1] for row in rows).reshape(len(rows), PERCEPTION_DIM)),
            image_sizes=torch.tensor([row[2:] for row in rows], dtype=torch.int64).reshape(len(rows), 2),
        )

    def _vector(self, prompt: int, name: str) -> Floats:
        query = "SELECT vector FROM vectors WHERE prompt = ? AND name = ?"
        return array(self._connection.execute(query, (prompt, name)).fetchone())

    def _first(self, query: str) -> Any:
        """Return the first value that a query finds; None if there is none."""
        row = self._connection.execute(query).fetchone()
        return None if row is None else row[0]


@dataclass(frozen=True)
class DatasetSummary:
    """The summary of a dataset at one moment."""

    samples: int  # total number
    prompts: int  # number of distinct prompts
    frequent: list[tuple[str, int]]  # prompts with their numbers of samples, the most frequent first
    newest: list[str]  # the prompts of the N newest samples, the newest first
    vectors: Tensor  # (N, 1441) float32: their perceptions
    image_sizes: Tensor  # (N, 2) int64: height and width of their pictures in pixels; zeros if unknown


def read_provenance(connection: sqlite3.Connection) -> Provenance | None:
    """Return the models that the samples in the file of `connection` were created with; None without samples."""
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if not meta:
        return None
    fingerprint = meta.pop("fingerprint")
    return Provenance(fingerprint=array([fingerprint]) if fingerprint else None, **meta)


def array(stored: Iterable[bytes]) -> Floats:
    """Return stored vectors, one after the other, as a new float32 array."""
    return np.frombuffer(bytearray().join(stored), dtype="<f4")
