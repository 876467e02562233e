from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from perception_clip.training.cli import main
from perception_clip.training.dataset.npz import DatasetError, export, load
from perception_clip.training.dataset.parquet import export_parquet
from perception_clip.training.dataset.store import Store

from .filling import Faces, fill

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the scale extra")


def test_it_holds_what_the_npz_holds(tmp_path: Path, faces: Faces, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(fill(tmp_path / "a.db", faces(30))) as store:
        export(store, tmp_path / "a.npz")
    assert main(["export", str(tmp_path / "a.db"), "--out", str(tmp_path / "a.parquet")]) == 0
    assert "30 samples" in capsys.readouterr().out
    with np.load(tmp_path / "a.npz") as file:
        arrays = {name: file[name] for name in file}
    table = parquet.read_table(tmp_path / "a.parquet")
    meta = json.loads(table.schema.metadata[b"perception_clip"])
    assert meta == json.loads(str(arrays.pop("meta"))) and meta["space"] == "sdxl"
    assert sorted(table.column_names) == sorted(arrays)
    for name, array in arrays.items():
        column = table[name].combine_chunks()
        if array.ndim == 2:
            assert column.type.list_size == array.shape[1], name
            column = column.flatten()
        values = column.to_numpy(zero_copy_only=False)
        if array.dtype.kind == "f":
            assert np.array_equal(values.reshape(array.shape), array, equal_nan=True), name
            assert values.dtype == np.float32
        else:
            assert values.reshape(array.shape).tolist() == array.tolist(), name


def test_row_groups_of_constant_size(tmp_path: Path, faces: Faces) -> None:
    with Store(fill(tmp_path / "a.db", faces(5000), "sd15")) as store:
        assert export_parquet(store, tmp_path / "a.parquet") == 5000
        export(store, tmp_path / "a.npz")
    with parquet.ParquetFile(tmp_path / "a.parquet") as file:
        rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        column = file.read(["perception_embeddings"])["perception_embeddings"].combine_chunks()
    assert rows == [2048, 2048, 904]
    assert np.array_equal(column.flatten().to_numpy().reshape(5000, -1), load(tmp_path / "a.npz").perceptions)


def test_whole_or_not_at_all(tmp_path: Path, faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"the former one")
    with Store(tmp_path / "empty.db") as store, pytest.raises(DatasetError, match="has no samples yet"):
        export_parquet(store, tmp_path / "a.parquet")
    with Store(fill(tmp_path / "a.db", faces(4))) as store:
        store._connection.execute("UPDATE perceptions SET vector = x'00' WHERE id = 3")  # a damaged store
        with pytest.raises(ValueError):
            export_parquet(store, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == b"the former one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "a.parquet", "empty.db"]


def test_without_pyarrow(
    tmp_path: Path, faces: Faces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "a.db", faces(4))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet")
    assert main(["export", str(tmp_path / "a.db"), "--out", str(tmp_path / "a.parquet")]) == 1
    assert 'pip install "perception-clip[scale]"' in capsys.readouterr().err
    assert main(["export", str(tmp_path / "a.db"), "--out", str(tmp_path / "a.csv")]) == 1
    assert "must end in .npz or .parquet" in capsys.readouterr().err
