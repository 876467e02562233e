from __future__ import annotations

from pathlib import Path

import pytest

from perception_clip.training.sources.items import SourceError
from perception_clip.training.sources.numbering import read_label_map

from .trees import write


def test_label_maps_in_every_form(tmp_path: Path) -> None:
    expected = {"1": "happy", "two": "a wry smile", "3": ""}
    assert read_label_map("1=happy, two=a wry smile,3=") == expected
    assert read_label_map(str(write(tmp_path / "a.txt", "1=happy\n\ntwo = a wry smile\n3=\n"))) == expected
    assert read_label_map(str(write(tmp_path / "a.csv", "old,new\n1,happy\ntwo,a wry smile\n3,\n"))) == expected
    assert read_label_map("RAF-DB")["1"] == "surprise" and read_label_map("fer2013")["0"] == "angry"
    assert read_label_map("affectnet")["9"] == ""
    assert len(read_label_map(",".join(f"label {number}=happy" for number in range(99)))) == 99  # no file's name


@pytest.mark.parametrize(
    "text",
    ["missing.txt", "1=a,b", "=x", "1=happy;2=sad", "=" * 300, ",".join(f"{n}=x=y" for n in range(99)), "x" * 300],
)
def test_maps_that_are_none(text: str) -> None:
    with pytest.raises(SourceError, match="--label-map"):
        read_label_map(text)
