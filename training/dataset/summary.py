"""A short summary of a dataset: its newest samples and its most frequent prompts, without reading all of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...perception.vector import DIM
from .store import Store
from .store_file import connect


@dataclass(frozen=True)
class DatasetSummary:
    """The summary of a dataset at one moment."""

    samples: int  # total number
    prompts: int  # number of distinct prompts
    frequent: list[tuple[str, int]]  # prompts with their numbers of samples, the most frequent first
    newest: list[str]  # the prompts of the N newest samples, the newest first
    vectors: Tensor  # (N, 1441) float32: their perceptions
    image_sizes: Tensor  # (N, 2) int64: height and width of their pictures in pixels; zeros if unknown


def dataset_summary(store: Store, newest: int = 6, frequent: int = 3) -> DatasetSummary:
    """Return a summary with up to `newest` samples and up to `frequent` prompts of an open dataset."""
    with closing(connect(store.path)) as connection:
        connection.execute("BEGIN")
        counts = connection.execute(
            "SELECT text, sum(number) FROM prompts"
            " JOIN (SELECT prompt, count(*) AS number FROM samples GROUP BY prompt) ON prompts.id = prompt"
            " GROUP BY text ORDER BY 2 DESC, min(prompt)"
        ).fetchall()
        rows = connection.execute(
            "SELECT (SELECT text FROM prompts WHERE id = prompt), height, width, perception"
            " FROM samples ORDER BY id DESC LIMIT ?",
            (newest,),
        ).fetchall()
    vectors = np.frombuffer(b"".join(row[3] for row in rows), dtype="<f4").reshape(len(rows), DIM)
    return DatasetSummary(
        samples=sum(number for _, number in counts),
        prompts=len(counts),
        frequent=counts[:frequent],
        newest=[row[0] for row in rows],
        vectors=torch.from_numpy(vectors.astype(np.float32)),
        image_sizes=torch.tensor([row[1:3] for row in rows], dtype=torch.int64).reshape(len(rows), 2),
    )
