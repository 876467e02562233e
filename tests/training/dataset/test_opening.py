from __future__ import annotations

import math
import mmap
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception_clip.training.dataset.npz import Dataset, DatasetError, content_hash, export, import_npz, save
from perception_clip.training.dataset.opening import open_for_training
from perception_clip.training.dataset.store import Store, StoreError
from perception_clip.training.learning.data import TrainingData


@pytest.fixture
def dataset(data: TrainingData) -> Dataset:
    arrays = (data.vectors, data.targets, data.image_sizes)
    return Dataset(*(array[:40].numpy().copy() for array in arrays))


def test_a_finished_dataset(dataset: Dataset, tmp_path: Path) -> None:
    save(dataset, tmp_path / "a.npz")
    found = open_for_training(tmp_path / "a.npz")
    assert np.array_equal(found.perceptions, dataset.perceptions) and len(found.bad_rows) == 0


def grown(dataset: Dataset, folder: Path) -> Path:
    save(dataset, folder / "a.npz")
    with Store(folder / "a.db") as store:
        import_npz(folder / "a.npz", store)
    (folder / "a.npz").unlink()
    return folder / "a.db"


def test_a_dataset_that_grows_is_read_without_a_file(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows removes no file that is mapped, so none is made."""
    path = grown(dataset, tmp_path)
    made: list[object] = []

    def remember(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*values: Any, **named: Any) -> Any:
            result = function(*values, **named)
            made.append((function, values))
            return result

        return wrapped

    for module, name in ((os, "open"), (os, "mkdir"), (mmap, "mmap")):
        monkeypatch.setattr(module, name, remember(getattr(module, name)))
    found = open_for_training(path)
    assert made == []
    if Path("/proc/self/maps").exists():
        assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
    assert np.array_equal(found.perceptions, dataset.perceptions)


def test_a_dataset_that_grows_reads_as_its_export(dataset: Dataset, tmp_path: Path) -> None:
    path = grown(replace(dataset, labels=np.array([f"label {n % 7}" for n in range(40)])), tmp_path)
    with Store(path, create=False) as store:
        export(store, tmp_path / "out.npz")
    one, other = open_for_training(path), open_for_training(tmp_path / "out.npz")
    assert content_hash(one) == content_hash(other) and one.meta == other.meta
    for name in (field.name for field in fields(Dataset) if field.name not in ("meta", "sdxl_targets")):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"), name


@pytest.mark.parametrize("name", ["a.npz", "a.db"])
def test_a_missing_dataset_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises((DatasetError, StoreError), match=name):
        open_for_training(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_empty_dataset_that_grows(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    with pytest.raises(DatasetError, match="a.db: the dataset holds no samples yet"):
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
