from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.training.sources import FORMATS, find_items
from perception_clip.training.sources.items import Choices, SourceError, merge_rows

from .trees import touch, write


def test_given_prompts_win_over_labels_but_not_over_a_sources_own(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "happy" / "1.png", root / "a.png")
    listing = find_items(root, prompts=["a grin", " ", "a smile "], label="unused")
    assert [(item.prompts, item.label) for item in listing.items] == [(("a grin", "a smile"), "happy")]
    assert listing.notes == ["--label is not used: every picture has its own label"]
    table = write(root / "l.csv", "path,prompt,label\na.png,its own,\na.png,,happy\n")
    listing = find_items(table, prompts=["given"], label="given")
    assert [(item.prompts, item.label) for item in listing.items] == [(("its own",), "given"), (("given",), "happy")]
    assert listing.notes == []
    listing = find_items(write(root / "l.csv", "path,prompt\na.png,its own\n"), prompts=["given"])
    assert listing.items[0].prompts == ("its own",)
    assert listing.notes == ["--prompt is not used: every picture has its own prompt"]


def test_clips_and_pictures_need_a_prompt_or_a_label(tmp_path: Path, astronaut: np.ndarray) -> None:
    for number in range(3):
        Image.fromarray(astronaut).save(tmp_path / f"{number}.png")
    for source in (tmp_path, tmp_path / "1.png"):
        with pytest.raises(SourceError, match="there is no prompt and no label; pass --prompt or --label"):
            find_items(source)
        (item,) = find_items(source, label=" happy ").items
        assert (item.label, item.prompts) == ("happy", ())
        (item,) = find_items(source, prompts=["a grin"]).items
        assert (item.label, item.prompts) == ("", ("a grin",))


def test_datasets_have_no_pictures(tmp_path: Path) -> None:
    for name in ("a.db", "a.npz"):
        touch(tmp_path / name)
        with pytest.raises(SourceError, match=f"{name}: a dataset contains no pictures"):
            find_items(tmp_path / name)


def test_sources_that_are_not_what_the_format_needs(tmp_path: Path) -> None:
    touch(tmp_path / "happy" / "1.png")
    with pytest.raises(SourceError, match=re.escape(f"choose one of: {', '.join(FORMATS)}")):
        find_items(tmp_path, format="zip")
    with pytest.raises(SourceError, match="the format csv needs a file, and this is not one"):
        find_items(tmp_path, format="csv")
    with pytest.raises(SourceError, match="the format labels needs a folder, and this is not one"):
        find_items(tmp_path / "happy" / "1.png", format="labels")
    with pytest.raises(SourceError, match="there is no such folder or file"):
        find_items(tmp_path / "missing", format="csv")


def test_a_table_beside_pictures_without_labels_is_named(tmp_path: Path) -> None:
    touch(*(tmp_path / "set" / f"{number}.png" for number in range(3)), tmp_path / "set" / "below" / "x.txt")
    write(tmp_path / "set" / "labels.csv", "file,label\n")
    with pytest.raises(SourceError, match="no label; pass --prompt or --label, or the file set/labels.csv itself"):
        find_items(tmp_path / "set", format="frames")
    listing = find_items(tmp_path / "set", format="frames", label="happy")
    assert [name for name, _ in listing.skipped] == ["set/below/x.txt", "set/labels.csv"]


@pytest.mark.parametrize("suffix", [".tsv", ".ndjson", ".parquet"])
def test_all_kinds_of_tables_are_named(tmp_path: Path, suffix: str) -> None:
    touch(*(tmp_path / "set" / f"{number}.png" for number in range(3)), tmp_path / "set" / f"list{suffix}")
    with pytest.raises(SourceError, match=f"or the file set/list{suffix} itself"):
        find_items(tmp_path / "set")
    (tmp_path / "set" / "1.png").unlink()
    with pytest.raises(SourceError, match=f"Or pass the file set/list{suffix} itself"):
        find_items(tmp_path / "set")


def test_a_map_that_leaves_out_all_pictures_is_the_cause(tmp_path: Path) -> None:
    touch(*(tmp_path / "8" / f"{number}.png" for number in range(3)), tmp_path / "8" / "x.txt")
    with pytest.raises(SourceError, match=r"leaves out all pictures \(3 skipped: its label is not an expression\)"):
        find_items(tmp_path, choices=Choices(label_map={"8": ""}))


def test_rows_of_one_picture_are_merged(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.png")
    lines = "a.png,one,,\nb.png,two,,\na.png,three,,strong\na.png,one,,\na.png,,happy,\na.png,,happy,\na.png,,sad,\n"
    listing = find_items(write(tmp_path / "l.csv", f"path,prompt,label,intensity\n{lines}"))
    assert [(item.source, item.prompts, item.label) for item in merge_rows(listing.items)] == [
        ("a.png", ("one", "three"), ""),
        ("a.png", (), "happy"),
        ("a.png", (), "sad"),
        ("b.png", ("two",), ""),
    ]
