from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.training.dataset.store import Store

Faces = Callable[..., Tensor]


def filled(path: Path, vectors: Tensor) -> Store:
    store = Store(path)
    store.set_provenance("encoder/1", None, "bundled/1", "expression/1")
    append(store, vectors)
    return store


def append(store: Store, vectors: Tensor, named: str = "key") -> None:
    count = len(vectors)
    store.append(
        vectors,
        torch.tensor([[480 + row, 640] for row in range(count)]),
        [f"лицо {row % 3}" for row in range(count)],
        torch.stack([torch.linspace(row % 3, 9, 768) for row in range(count)]),
        [f"person {row % 4}" for row in range(count)],
        [f"{row}.png" for row in range(count)],
        [f"{named} {row}" if row % 2 else "" for row in range(count)],
        labels=["happy", ""] * (count // 2),
        splits=["test", ""] * (count // 2),
        scores=torch.tensor([0.5, torch.nan] * (count // 2)),
    )


def test_columns_are_those_of_the_samples(tmp_path: Path, faces: Faces) -> None:
    with filled(tmp_path / "a.db", faces(10)) as store, store.snapshot() as snapshot:
        (samples,) = snapshot.samples(batch=20)
        assert np.array_equal(np.concatenate(list(snapshot.perceptions(batch=3))), samples.perceptions)
        assert np.array_equal(np.concatenate(list(snapshot.vectors(batch=3))), samples.embeddings)
        assert np.array_equal(np.concatenate(list(snapshot.image_sizes(batch=3))), samples.image_sizes)
        assert np.array_equal(np.concatenate(list(snapshot.scores(batch=3))), samples.scores, equal_nan=True)
        for name in ("prompts", "groups", "sources", "labels", "splits", "origins"):
            column = [text for texts in snapshot.texts(name, batch=3) for text in texts]
            assert column == getattr(samples, name), name
            assert snapshot.longest(name) == max(map(len, column)), name
        assert samples.prompts[:2] == ["лицо 0", "лицо 1"] and samples.origins[:2] == ["", "key 1"]
        assert snapshot.has_scores and snapshot.has_image_sizes


@pytest.mark.parametrize("first", ["longest", "samples"])
def test_what_comes_later_is_not_seen(tmp_path: Path, faces: Faces, first: str) -> None:
    with filled(tmp_path / "a.db", faces(4)) as store, store.snapshot() as snapshot:
        if first == "longest":
            assert snapshot.longest("origins") == 5
        append(store, faces(6, seed=1), "another key")
        assert len(store) == 10 and len(snapshot) == 4
        assert sum(map(len, snapshot.samples())) == 4
        assert sum(map(len, snapshot.texts("prompts"))) == 4 and sum(map(len, snapshot.perceptions())) == 4


def test_a_file_without_samples(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store, store.snapshot() as snapshot:
        assert len(snapshot) == 0 and snapshot.provenance is None
        assert not snapshot.has_scores and not snapshot.has_image_sizes
        assert snapshot.longest("prompts") == 0 and list(snapshot.samples()) == []
