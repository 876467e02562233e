from __future__ import annotations

from pathlib import Path

import pytest

from perception_clip.training.sources import find_items
from perception_clip.training.sources.items import Choices, SourceError
from perception_clip.training.sources.numbering import read_label_map

from .trees import touch, write


def test_label_maps_in_every_form(tmp_path: Path) -> None:
    expected = {"1": "happy", "two": "a wry smile", "3": ""}
    assert read_label_map("1=happy, two=a wry smile,3=") == expected
    assert read_label_map(str(write(tmp_path / "a.txt", "1=happy\n\ntwo = a wry smile\n3=\n"))) == expected
    assert read_label_map(str(write(tmp_path / "a.csv", "old,new\n1,happy\ntwo,a wry smile\n3,\n"))) == expected
    assert read_label_map("RAF-DB")["1"] == "surprise" and read_label_map("fer2013")["0"] == "angry"
    assert read_label_map("affectnet")["9"] == ""
    assert read_label_map("Wut=angry,Wut=angry") == {"Wut": "angry"}
    assert len(read_label_map(",".join(f"label {number}=happy" for number in range(99)))) == 99  # no file's name


@pytest.mark.parametrize(
    "text",
    ["missing.txt", "1=a,b", "=x", "1=happy;2=sad", "=" * 300, ",".join(f"{n}=x=y" for n in range(99)), "x" * 300],
)
def test_maps_that_are_none(text: str) -> None:
    with pytest.raises(SourceError, match="--label-map"):
        read_label_map(text)


def test_a_label_cannot_become_two(tmp_path: Path) -> None:
    for pairs in ("Wut=happy,Wut=sad", str(write(tmp_path / "a.txt", "Wut=happy\nWut=sad\n"))):
        with pytest.raises(SourceError, match="Wut becomes both happy and sad; remove one of these pairs"):
            read_label_map(pairs)


def test_numbers_as_pandas_writes_them(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")
    table = write(tmp_path / "l.csv", "path,label\na.jpg,3.0\nb.jpg,10.0\n")
    listing = find_items(table, choices=Choices(label_map={"3": "happy", "10": "smirk"}))
    assert [item.label for item in listing.items] == ["happy", "smirk"]
    assert not any("no picture has" in note for note in listing.notes)
    affectnet = write(tmp_path / "a.csv", "subDirectory_filePath,expression\na.jpg,3.0\nb.jpg,10.0\n")
    listing = find_items(affectnet)
    assert [item.label for item in listing.items] == ["surprise"]
    assert listing.skipped == [("a.csv line 3", "its label is not an expression")]
