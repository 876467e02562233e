from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from perception_clip.training.dataset.samples import TEXTS, Samples
from perception_clip.training.dataset.store import Store

from .filling import Faces, fill


def test_columns_are_those_of_the_samples(tmp_path: Path, faces: Faces) -> None:
    with Store(fill(tmp_path / "a.db", faces(10))) as store, store.snapshot() as snapshot:
        (samples,) = snapshot.samples(batch=20)
        for name in ("perceptions", "embeddings", "image_sizes", "scores", *samples.added_targets):
            column = np.concatenate(list(snapshot.column(name, batch=3)))
            np.testing.assert_array_equal(column, {**vars(samples), **samples.added_targets}[name], err_msg=name)
        for name in TEXTS:
            texts = [text for part in snapshot.column(name, batch=3) for text in part]
            assert texts == getattr(samples, name) and snapshot.longest(name) == max(map(len, texts)), name
        assert np.array_equal(samples.perceptions, faces(10).numpy()) and samples.embeddings.shape == (10, 768)
        assert samples.prompts[:2] == ["лицо 0", "лицо 1"] and samples.origins[:2] == ["", "key 1"]
        assert samples.groups[4:6] == ["group 0", "group 1"] and samples.image_sizes[1].tolist() == [481, 640]
        assert np.isnan(samples.scores[7]) and samples.labels[1] == "happy" and samples.splits[:2] == ["train", "test"]
        assert snapshot.has_scores and snapshot.has_image_sizes


def test_what_comes_later_is_not_seen(tmp_path: Path, faces: Faces) -> None:
    with Store(fill(tmp_path / "a.db", faces(4))) as store, store.snapshot() as snapshot:
        fill(store.path, faces(12, seed=1))
        assert len(store) == 14 and len(snapshot) == 4 and snapshot.longest("origins") == 5
        assert sum(map(len, snapshot.samples())) == sum(map(len, snapshot.column("perceptions"))) == 4


def test_a_file_without_samples(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store, store.snapshot() as snapshot:
        assert len(snapshot) == 0 and snapshot.provenance is None
        assert not snapshot.has_scores and not snapshot.has_image_sizes
        assert snapshot.longest("prompts") == 0 and list(snapshot.samples()) == []
        summary = snapshot.summary()
        assert (summary.samples, summary.prompts, summary.frequent, summary.newest) == (0, 0, [], [])
        assert (summary.vectors.shape, summary.image_sizes.shape) == ((0, 1441), (0, 2))


def test_the_summary_lists_the_newest_and_the_most_frequent_first(tmp_path: Path, faces: Faces) -> None:
    vectors = faces(6)
    sizes = torch.arange(1, 13).reshape(-1, 2)
    prompts = ["one", "two", "three", "two", "three", "three"]
    embeddings = torch.stack([torch.full((768,), float(len(prompt))) for prompt in prompts])
    with Store(tmp_path / "a.db") as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        store.append(Samples(vectors, sizes, prompts, embeddings))
        store.set_provenance("the same encoder elsewhere", torch.ones(768), "landmarker", "emotion model")
        store.append(Samples(vectors[:1].flip(0), sizes[:1], ["two"], embeddings[1:2]))  # still one prompt "two"
        with store.snapshot() as snapshot:
            summary = snapshot.summary(newest=3, frequent=2)
    assert (summary.samples, summary.prompts) == (7, 3)
    assert summary.frequent == [("two", 3), ("three", 3)]
    assert summary.newest == ["two", "three", "three"]
    assert torch.equal(summary.vectors, vectors[[0, 5, 4]])
    assert summary.image_sizes.tolist() == [[1, 2], [11, 12], [9, 10]]
