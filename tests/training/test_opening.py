from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from perception_clip.training.learning.data import TrainingData
from perception_clip.training.npz import Dataset, DatasetError, import_npz, save
from perception_clip.training.opening import opened
from perception_clip.training.store import Store, StoreError


@pytest.fixture
def dataset(data: TrainingData) -> Dataset:
    arrays = (data.vectors, data.targets, data.image_sizes)
    return Dataset(*(array[:40].numpy() for array in arrays))


def test_a_finished_dataset(dataset: Dataset, tmp_path: Path) -> None:
    save(dataset, tmp_path / "a.npz")
    with opened(tmp_path / "a.npz") as found:
        assert np.array_equal(found.perceptions, dataset.perceptions) and len(found.bad_rows) == 0


def test_a_dataset_that_grows_leaves_nothing_beside_it(dataset: Dataset, tmp_path: Path) -> None:
    save(dataset, tmp_path / "a.npz")
    with Store(tmp_path / "a.db") as store:
        import_npz(tmp_path / "a.npz", store)
    with opened(tmp_path / "a.db") as found:
        assert np.array_equal(found.perceptions, dataset.perceptions)
        assert found.prompts is not None and found.image_sizes is not None
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "a.db"}


@pytest.mark.parametrize("name", ["a.npz", "a.db"])
def test_a_missing_dataset_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises((DatasetError, StoreError), match=name), opened(tmp_path / name):
        pass
    assert not list(tmp_path.iterdir())


def test_an_empty_dataset_that_grows(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    with pytest.raises(DatasetError, match="a.db: the dataset holds no samples yet"), opened(tmp_path / "a.db"):
        pass


def test_bad_rows_are_dropped_only_when_asked(dataset: Dataset, tmp_path: Path) -> None:
    dataset.perceptions[[3, 17], 5] = math.nan
    save(dataset, tmp_path / "a.npz")
    with pytest.raises(DatasetError, match="perception_embeddings.*3"), opened(tmp_path / "a.npz"):
        pass
    with opened(tmp_path / "a.npz", drop_bad_rows=True) as found:
        assert found.bad_rows.tolist() == [3, 17] and len(found) == 40
