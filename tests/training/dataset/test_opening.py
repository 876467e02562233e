from __future__ import annotations

import errno
import math
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.training.dataset import npz
from perception_clip.training.dataset.npz import Dataset, DatasetError, content_hash, export, import_npz, save
from perception_clip.training.dataset.npz_file import Member
from perception_clip.training.dataset.opening import open_dataset, open_for_training, versions_of
from perception_clip.training.dataset.samples import Samples, StoreError
from perception_clip.training.dataset.store import Store
from perception_clip.training.learning.data import TrainingData, of_dataset

from .filling import Faces, own_memory


@pytest.fixture
def dataset(data: TrainingData) -> Dataset:
    arrays = (data.vectors, data.targets, data.image_sizes)
    return Dataset(*(array[:40].numpy().copy() for array in arrays))


def test_a_finished_dataset(dataset: Dataset, tmp_path: Path) -> None:
    save(dataset, tmp_path / "a.npz")
    found = open_for_training(tmp_path / "a.npz")
    assert np.array_equal(found.perceptions, dataset.perceptions) and len(found.bad_rows) == 0


@pytest.mark.parametrize("name", ["a.pt", "a.npz"])
def test_datasets_of_torch_are_refused_with_what_to_do(dataset: Dataset, tmp_path: Path, name: str) -> None:
    torch.save({"perception_embeddings": torch.tensor(dataset.perceptions)}, tmp_path / name)
    with pytest.raises(ValueError, match=r"saved by torch\.save.*numpy\.savez"):
        open_for_training(tmp_path / name)


def grown(dataset: Dataset, folder: Path) -> Path:
    save(dataset, folder / "a.npz")
    with Store(folder / "a.db") as store:
        import_npz(folder / "a.npz", store)
    (folder / "a.npz").unlink()
    return folder / "a.db"


@pytest.mark.parametrize("in_memory", [npz.IN_MEMORY, 10_000])
def test_a_dataset_that_grows_reads_as_its_export(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(npz, "IN_MEMORY", in_memory)
    path = grown(replace(dataset, labels=np.array([f"label {n % 7}" for n in range(40)])), tmp_path)
    one = open_for_training(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
    with Store(path, create=False) as store:
        export(store, tmp_path / "out.npz")
    other = open_for_training(tmp_path / "out.npz")
    assert content_hash(one) == content_hash(other) and one.meta == other.meta
    for name in (field.name for field in fields(Dataset) if field.name not in ("meta", "added_targets")):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"), name


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_dataset_that_grows_takes_no_memory(
    tmp_path: Path, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = faces(6000)
    embeddings = torch.linspace(-1, 1, 768).expand(6000, -1)
    with Store(tmp_path / "a.db") as store:
        store.set_provenance("encoder", embeddings[0], "landmarker", "emotions")
        store.append(Samples(vectors, torch.full((6000, 2), 9), ["p"] * 6000, embeddings, sources=["s"] * 6000))
    peaks, before = [], own_memory()
    for limit in (10_000, npz.IN_MEMORY):
        monkeypatch.setattr(npz, "IN_MEMORY", limit)
        tracemalloc.start()
        learned = of_dataset(open_for_training(tmp_path / "a.db"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        if not peaks[1:]:
            assert own_memory() - before < 20e6
        assert torch.equal(learned.vectors[::100], vectors[::100]) and torch.equal(learned.targets[-1], embeddings[-1])
    assert peaks[0] < 20e6 and peaks[1] > 53e6  # a batch of 1024 rows; all of them


def test_a_full_disk_is_named(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = grown(dataset, tmp_path)
    monkeypatch.setattr(npz, "IN_MEMORY", 10_000)
    monkeypatch.setattr(Member, "write", full)
    with pytest.raises(DatasetError, match=r"a\.db: .* takes 0\.0 GB in its folder .*No space left.*free some disk"):
        open_for_training(path)


@pytest.mark.parametrize("name", ["a.npz", "a.db"])
def test_a_missing_dataset_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises((DatasetError, StoreError), match=name):
        open_for_training(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_empty_dataset_that_grows(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    with pytest.raises(DatasetError, match="a.db: the dataset has no samples yet"):
        open_for_training(tmp_path / "a.db")


def test_bad_rows_are_dropped_only_when_asked(dataset: Dataset, tmp_path: Path) -> None:
    dataset.perceptions[[3, 17], 5] = math.nan
    save(dataset, tmp_path / "a.npz")
    with pytest.raises(DatasetError, match="perception_embeddings.*3"):
        open_for_training(tmp_path / "a.npz")
    found = open_for_training(tmp_path / "a.npz", drop_bad_rows=True)
    assert found.bad_rows.tolist() == [3, 17] and len(found) == 40


def test_bad_rows_of_a_dataset_that_grows_are_found_too(dataset: Dataset, tmp_path: Path) -> None:
    grown(dataset, tmp_path)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        bad = np.full(1441, math.nan, "<f4").tobytes()
        connection.execute("UPDATE perceptions SET vector = ? WHERE id = 4", (bad,))
    with pytest.raises(DatasetError, match="a.db: perception_embeddings has 1 of 40 rows.*: 3 "):
        open_for_training(tmp_path / "a.db")
    assert open_for_training(tmp_path / "a.db", drop_bad_rows=True).bad_rows.tolist() == [3]


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


def test_a_folder_or_a_table_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("path,label\n")
    for source in (tmp_path, tmp_path / "faces.csv"):
        with pytest.raises(ValueError, match=r"datasets are \.db and \.npz files; create one"):
            open_for_training(source)
