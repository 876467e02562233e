"""Hugging Face's forms of datasets: imagefolder and Parquet."""

from __future__ import annotations

import json
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from perception_clip.perception.pictures import PictureError
from perception_clip.training.learning.split import split_rows
from perception_clip.training.sources import detect, find_items
from perception_clip.training.sources.items import SourceError
from perception_clip.training.sources.parquet import ROWS, ParquetPicture

from ..command_line import fails
from .trees import touch, write

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def png(shade: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (6, 4), (shade % 256, shade // 256, 0)).save(file, "png")
    return file.getvalue()


def shade(item: Any) -> int:
    (frame,) = item.media.frames()
    red, green, _ = frame.picture[0, 0].tolist()
    return int(red + 256 * green)


def save(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, **options)
    return path


def test_an_imagefolder_with_metadata(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "train" / "0001.png", root / "train" / "sub" / "0002.png", root / "test" / "0001.png")
    touch(root / "test" / "more.png", root / "README.md")
    write(root / "train" / "metadata.csv", 'file_name,text\n0001.png,"a grin, wide"\nsub/0002.png,a smile\n')
    write(root / "test" / "metadata.jsonl", '{"file_name": "0001.png", "label": "HAPPY", "identity": 4}\n')
    assert detect(root) == "imagefolder"
    listing = find_items(root)
    assert [(item.source, item.prompts, item.label, item.group, item.split) for item in listing.items] == [
        ("faces/test/0001.png", (), "happy", "faces/4", "test"),
        ("faces/train/0001.png", ("a grin, wide",), "", "faces/train/0001.png", "train"),
        ("faces/train/sub/0002.png", ("a smile",), "", "faces/train/sub/0002.png", "train"),
    ]
    assert dict(listing.skipped) == {
        "faces/README.md": "files ending in .md are not supported",
        "faces/test/more.png": "no metadata file names it",
    }


def test_other_files_called_metadata_do_not_count(tmp_path: Path) -> None:
    touch(tmp_path / "happy" / "1.png", tmp_path / "sad" / "2.png")
    write(tmp_path / "metadata.csv", "age,camera\n31,front\n")
    assert detect(tmp_path) == "labels"
    assert {item.label for item in find_items(tmp_path).items} == {"happy", "sad"}


def test_a_dataset_folder_of_shards(tmp_path: Path) -> None:
    root = tmp_path / "fer"
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["angry", "happiness", "smirk"]}}
    for number, (name, labels) in enumerate(
        {"train-00000-of-00002": [0, 1], "train-00001-of-00002": [2, -1], "test-00000-of-00001": [1, 1]}.items()
    ):
        images = [{"bytes": png(10 * number + row), "path": f"{row}.png"} for row in range(2)]
        save(root / "data" / f"{name}.parquet", {"image": images, "label": labels, "speaker": ["a", "b"]}, features)
    touch(root / "README.md")
    assert detect(root) == "parquet"
    listing = find_items(root)
    assert [(item.source, item.label, item.group, item.split, shade(item)) for item in listing.items] == [
        ("fer/data/test-00000-of-00001.parquet row 0", "happy", "a", "test", 20),
        ("fer/data/test-00000-of-00001.parquet row 1", "happy", "b", "test", 21),
        ("fer/data/train-00000-of-00002.parquet row 0", "angry", "a", "train", 0),
        ("fer/data/train-00000-of-00002.parquet row 1", "happy", "b", "train", 1),
        ("fer/data/train-00001-of-00002.parquet row 0", "smirk", "a", "train", 10),
    ]
    assert dict(listing.skipped) == {
        "fer/README.md": "files ending in .md are not supported",
        "fer/data/train-00001-of-00002.parquet row 1": "the label is empty",
    }
    assert "the column speaker is used as the group" in listing.notes


def test_texts_bytes_and_paths(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(7))
    texts = {"caption": ["a grin"], "age": [31], "dark": [True]}
    listing = find_items(save(tmp_path / "a.parquet", {"image": [png(7)], "file_name": ["x.png"], **texts}))
    assert listing.items[0].columns["file_name"] == "x.png"  # which is not used
    assert listing.notes == ["the column caption is used as the prompt"]
    for columns in (
        {"image": [png(7)]},
        {"image": [{"bytes": None, "path": "a.png"}]},
        {"file_name": ["a.png"]},
    ):
        (item,) = find_items(save(tmp_path / "a.parquet", {**columns, **texts})).items
        assert (item.prompts, item.columns, shade(item)) == (("a grin",), {"age": "31", "dark": "true"}, 7)
        assert item.media.digest() == find_items(tmp_path / "a.parquet").items[0].media.digest()


def test_rows_without_a_picture_are_named_once(tmp_path: Path) -> None:
    images = [{"bytes": b"text", "path": None}, {"bytes": None, "path": None}]
    path = save(tmp_path / "a.parquet", {"image": images, "label": ["happy"] * 2})
    fails("build", path, "--out", tmp_path / "a.db", "--text-encoder", "random")
    place = f"{tmp_path.name}/a.parquet row"
    assert (tmp_path / "skipped.csv").read_text(encoding="utf-8").splitlines()[1:] == [
        f'{place} 0,"this is not a picture, or has a format that Pillow cannot read"',
        f"{place} 1,the row has no picture",
    ]


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_paths_follow_the_rules_of_a_csv(tmp_path: Path, kind: str) -> None:
    touch(tmp_path / "img" / "b.mp4", tmp_path / "img" / "notes.txt")
    (tmp_path / "img" / "a.png").write_bytes(png(7))
    paths = pa.array(["img\\a.png", "a.png", "img/b.mp4", "no.png", "/dev/zero", "img/notes.txt", None])
    paths = paths.dictionary_encode() if kind == "dictionary" else paths.cast(getattr(pa, kind)())
    path = save(tmp_path / "a.parquet", {"file_name": paths, "label": ["happy"] * 7})
    listing, place = find_items(path), tmp_path.name
    assert [(item.source, item.group, item.columns) for item in listing.items] == [
        *[(f"{place}/img/a.png", f"{place}/img/a.png", {})] * 2,
        (f"{place}/img/b.mp4", f"{place}/img/b.mp4", {}),
    ]
    assert shade(listing.items[0]) == 7
    assert [(name.rpartition(" ")[2], why) for name, why in listing.skipped] == [
        ("3", f"the file {tmp_path / 'no.png'} does not exist"),
        ("4", "the file /dev/zero does not exist"),
        ("5", "files ending in .txt are not supported (img/notes.txt)"),
        ("6", "the path is empty"),
    ]


def test_a_path_instead_of_bytes_is_that_of_a_picture(tmp_path: Path) -> None:
    images = [{"bytes": None, "path": path} for path in ("/dev/zero", "no.png", None)]
    path = save(
        tmp_path / "a.parquet",
        {"image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", "string")])), "label": ["sad"] * 3},
    )
    for item, why in zip(
        find_items(path).items, ("is not a picture", "no.png does not exist", "has no picture"), strict=True
    ):
        with pytest.raises(PictureError, match=why):
            item.media.digest()


def test_whole_numbers_in_a_column_with_gaps(tmp_path: Path) -> None:
    names = {"label": {"_type": "ClassLabel", "names": ["sad", "happy"]}}
    columns: dict[str, Any] = {
        "image": [png(1)] * 4,
        "label": [1.0, None, 0.0, float("nan")],
        "age": [31.0, 2.5, None, 1e300],
    }
    path = save(tmp_path / "a.parquet", {**columns, "text": ["x"] * 4}, names)
    assert [(item.label, item.columns) for item in find_items(path).items] == [
        ("happy", {"age": "31"}), ("", {"age": "2.5"}), ("sad", {}), ("", {"age": "1e+300"}),
    ]  # fmt: skip
    with pytest.raises(SourceError, match=r"the labels 0, 1 are numbers"):
        find_items(save(tmp_path / "b.parquet", {name: columns[name] for name in ("image", "label")}))


def test_ids_of_rows_begin_again_in_each_table(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    for part in ("train", "test"):
        touch(*(root / part / f"{number}.png" for number in range(3)))
        lines = "".join(f"{number}.png,happy,{number}\n" for number in range(3))
        write(root / part / "metadata.csv", f"file_name,label,id\n{lines}")
    listing = find_items(root)
    groups, splits = [item.group for item in listing.items], [item.split for item in listing.items]
    assert groups == [item.source for item in listing.items] and splits == ["test"] * 3 + ["train"] * 3
    assert split_rows(groups, 6, splits=splits).by_group

    shards = tmp_path / "shards"
    for number, ids in enumerate(([0, 1], [0, 1])):
        save(shards / f"{number}.parquet", {"image": [png(number)] * 2, "label": ["sad"] * 2, "id": ids})
    assert [item.group for item in find_items(shards).items] == [
        f"shards/{number}.parquet row {row}" for number in range(2) for row in range(2)
    ]
    save(shards / "2.parquet", {"image": [png(9)] * 3, "label": ["sad"] * 3, "id": [1, 1, 2]})
    assert [item.group[-2:] for item in find_items(shards).items] == ["/0", "/1", "/0", "/1", "/1", "/1", "/2"]


def test_tables_without_pictures_or_meaning(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the labels 0, 3 are numbers"):
        find_items(save(tmp_path / "a.parquet", {"image": [png(1), png(2)], "label": [3, 0]}))
    with pytest.raises(SourceError, match=r"a column with pictures .* are needed; the columns are: prompt \(string\)"):
        find_items(save(tmp_path / "b.parquet", {"prompt": ["x"]}))
    (tmp_path / "c.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        find_items(tmp_path / "c.parquet")


def test_pictures_stay_in_the_file(tmp_path: Path) -> None:
    """4,000 pictures of 20 kB, in one row group, are listed and read one after the other, and out of order."""
    count, padding = 4_000, np.random.default_rng(0).bytes(20_000)
    images = pa.array([png(number) + padding for number in range(count)])
    path = save(tmp_path / "a.parquet", {"image": images, "label": ["happy"] * count}, row_group_size=count)
    del images
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    listing = find_items(path)
    for number, item in enumerate(listing.items[:: ROWS // 2]):
        assert shade(item) == number * (ROWS // 2)
        assert pa.total_allocated_bytes() - before < 60 << 20
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()
    assert shade(listing.items[-1]) == count - 1 and shade(listing.items[0]) == 0
    with pytest.raises(ValueError, match="there is no row 4000; was the file changed"):
        ParquetPicture(path, "image", count).digest()
