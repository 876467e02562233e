"""A .db and the .npz exported from it are read alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.projection.spaces import ADDED_TARGETS, SPACES
from perception_clip.training.dataset.npz import export
from perception_clip.training.dataset.opening import open_dataset, versions_of
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store, StoreError

Faces = Callable[..., Tensor]


def fill(path: Path, vectors: Tensor, space: str = "sd15", sizes: bool = True) -> Path:
    """Rows that differ in every column; each second has no score and no key."""
    count = len(vectors)
    numbers = range(count)
    sdxl_targets = {
        name: torch.arange(count)[:, None] + torch.zeros(count, width) for name, width in ADDED_TARGETS[space].items()
    }
    with Store(path) as store:
        store.set_provenance(
            "encoder/1", torch.ones(sum(SPACES[space].fingerprint)), "landmarker/1", "emotions/1", space
        )
        store.append(
            Samples(
                vectors,
                torch.tensor([[400, 300 + number] for number in numbers])
                if sizes
                else torch.zeros(count, 2, dtype=torch.int32),
                [f"prompt {number}" for number in numbers],
                torch.eye(count, 768),
                [f"person {number // 2}" for number in numbers],
                [f"{number}.png" for number in numbers],
                ["" if number % 2 else f"key {number}" for number in numbers],
                labels=[f"label {number % 3}" for number in numbers],
                splits=[("train", "test", "")[number % 3] for number in numbers],
                scores=torch.tensor([float("nan") if number % 2 else number / count for number in numbers]),
                sdxl_targets=sdxl_targets,
            )
        )
    return path


def assert_same(one: Samples, other: Samples) -> None:
    for column in fields(Samples):
        if column.name == "sdxl_targets":
            assert set(one.sdxl_targets) == set(other.sdxl_targets)
            for name, values in one.sdxl_targets.items():
                np.testing.assert_array_equal(values, other.sdxl_targets[name])
        else:
            np.testing.assert_array_equal(getattr(one, column.name), getattr(other, column.name))


@pytest.mark.parametrize(("space", "sizes"), [("sd15", True), ("sdxl", True), ("sd15", False)])
def test_both_kinds_of_file_give_the_same_samples(tmp_path: Path, faces: Faces, space: str, sizes: bool) -> None:
    path = fill(tmp_path / "a.db", faces(9), space, sizes)
    with Store(path) as store:
        export(store, tmp_path / "a.npz")
    read = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.db", "a.npz"):
            with open_dataset(tmp_path / name) as rows:
                assert len(rows) == 9 and rows.has_image_sizes == sizes
                assert rows.provenance is not None and rows.provenance.space == space
                assert versions_of(rows)["dataset"].isdigit()
                read.append((rows.provenance, list(rows.samples(4))))
    (one, first), (other, second) = read
    assert one.differences(other) == [] and [len(part) for part in first] == [4, 4, 1]
    for samples, others in zip(first, second, strict=True):
        assert_same(samples, others)
        assert others.perceptions.flags.writeable and others.embeddings.flags.writeable


def test_prompts_without_text_are_named_by_their_vectors(tmp_path: Path, faces: Faces) -> None:
    targets = torch.eye(3, 768)[[0, 1, 0]]
    np.savez(tmp_path / "a.npz", perception_embeddings=faces(3).numpy(), clip_embeddings=targets.numpy())
    with open_dataset(tmp_path / "a.npz") as rows:
        (samples,) = rows.samples()
        assert rows.provenance is not None and rows.provenance.encoder == "unknown" and versions_of(rows) == {}
    one, other, again = samples.prompts
    assert one == again != other and one[0] == "#" and int(one[1:], 16) >= 0 and len(one) == 17
    assert np.isnan(samples.scores).all() and samples.groups == ["", "", ""] and not samples.image_sizes.any()


def test_what_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("no database at all, but some text that is long enough to look like one" * 20)
    (tmp_path / "a.npz").write_text("no zip")
    for name, message in (("a.csv", "must end in .db or .npz"), ("a.db", "not a dataset"), ("a.npz", r"a\.npz")):
        with pytest.raises(ValueError, match=message), open_dataset(tmp_path / name):
            pass
    with pytest.raises(StoreError), open_dataset(tmp_path / "missing.db"):
        pass
    assert not (tmp_path / "missing.db").exists()
