"""A dataset at a glance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from perception_clip.training.dataset.store import Store
from perception_clip.training.dataset.summary import dataset_summary

Faces = Callable[..., Tensor]


def append(store: Store, vectors: Tensor, prompts: list[str]) -> None:
    embeddings = torch.stack([torch.full((768,), float(len(prompt))) for prompt in prompts])
    sizes = torch.arange(1, 2 * len(vectors) + 1, dtype=torch.int32).reshape(-1, 2)
    store.append(vectors, sizes, prompts, embeddings)


def test_newest_first_and_most_frequent_first(tmp_path: Path, faces: Faces) -> None:
    vectors = faces(6)
    with Store(tmp_path / "a.db") as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        empty = dataset_summary(store)
        assert (empty.samples, empty.prompts, empty.frequent, empty.newest) == (0, 0, [], [])
        assert (empty.vectors.shape, empty.image_sizes.shape) == ((0, 1441), (0, 2))
        append(store, vectors, ["one", "two", "three", "two", "three", "three"])
        store.set_provenance("the same encoder elsewhere", torch.ones(768), "landmarker", "emotion model")
        append(store, vectors[:1].flip(0), ["two"])  # the same text of another encoder's name: one prompt
        found = dataset_summary(store, newest=3, frequent=2)
    assert (found.samples, found.prompts) == (7, 3)
    assert found.frequent == [("two", 3), ("three", 3)]
    assert found.newest == ["two", "three", "three"]
    assert torch.equal(found.vectors, vectors[[0, 5, 4]])
    assert found.image_sizes.tolist() == [[1, 2], [11, 12], [9, 10]]
