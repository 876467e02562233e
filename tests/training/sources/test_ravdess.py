from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.training.sources.items import SourceError, SourceItem
from perception_clip.training.sources.media import VideoFile
from perception_clip.training.sources.ravdess import Take, is_take, list_ravdess, parse

from .trees import touch


def test_names_say_who_shows_what(tmp_path: Path) -> None:
    root = tmp_path / "RAVDESS"
    touch(
        root / "Actor_12" / "01-01-06-02-01-02-12.mp4",
        root / "Actor_12" / "02-01-06-02-01-02-12.mp4",  # the same take, without the sound
        root / "Actor_12" / "02-02-05-01-02-01-12.MP4",  # only without sound
        root / "Actor_12" / "03-01-06-02-01-02-12.wav",
        root / "Actor_12" / "03-01-06-02-01-02-12.mp4",
        root / "Actor_01" / "01-01-02-01-01-01-01.mp4",
        root / "Actor_01" / "01-01-09-01-01-01-01.mp4",
        root / "Actor_01" / "holiday.mp4",
        root / "readme.txt",
    )
    listing = list_ravdess(root)
    woman, man = {"actor": "12", "gender": "female"}, {"actor": "01", "gender": "male"}
    paths = [
        root / "Actor_01" / "01-01-02-01-01-01-01.mp4",
        root / "Actor_12" / "01-01-06-02-01-02-12.mp4",
        root / "Actor_12" / "02-02-05-01-02-01-12.MP4",
    ]
    names = [f"RAVDESS/{path.parent.name}/{path.name}" for path in paths]
    assert listing.items == [
        SourceItem(VideoFile(paths[0]), names[0], "RAVDESS 01", label="neutral", columns=man | {"intensity": "normal"}),
        SourceItem(VideoFile(paths[1]), names[1], "RAVDESS 12", label="fear", columns=woman | {"intensity": "strong"}),
        SourceItem(VideoFile(paths[2]), names[2], "RAVDESS 12", label="angry", columns=woman | {"intensity": "normal"}),
    ]
    assert dict(listing.skipped) == {
        "RAVDESS/Actor_12/02-01-06-02-01-02-12.mp4": f"it is the same take as {names[1]}, without sound",
        "RAVDESS/Actor_12/03-01-06-02-01-02-12.wav": "it contains only sound",
        "RAVDESS/Actor_12/03-01-06-02-01-02-12.mp4": "it contains only sound",
        "RAVDESS/Actor_01/01-01-09-01-01-01-01.mp4": "its name has emotion 09, which does not exist in RAVDESS",
        "RAVDESS/Actor_01/holiday.mp4": "its name is not a RAVDESS file name, such as 01-01-03-02-01-01-12.mp4",
        "RAVDESS/readme.txt": "files ending in .txt are not supported",
    }
    assert listing.notes == ["RAVDESS's calm counts as neutral (1 file)"]


def test_all_emotions(tmp_path: Path) -> None:
    touch(*(tmp_path / f"01-01-{emotion:02}-01-01-01-03.mp4" for emotion in range(1, 9)))
    assert [item.label for item in list_ravdess(tmp_path).items] == [
        "neutral", "neutral", "happy", "sad", "angry", "fear", "disgust", "surprise",
    ]  # fmt: skip


def test_one_file(tmp_path: Path) -> None:
    path = tmp_path / "01-01-03-01-01-01-03.mp4"
    touch(path, tmp_path / "01-01-04-01-01-01-03.mp4")
    (item,) = list_ravdess(path).items
    assert (item.media, item.label, item.group) == (VideoFile(path), "happy", "RAVDESS 03")


def test_nothing_of_ravdess(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match="no video has a RAVDESS file name"):
        list_ravdess(tmp_path)


NUMBER = st.integers(0, 30).map(lambda number: f"{number:02}")
NAMES = st.tuples(st.lists(NUMBER, min_size=7, max_size=7), st.sampled_from([".mp4", ".avi", ".wav", ""]))


@given(st.one_of(st.text(max_size=40), NAMES.map(lambda name: "-".join(name[0]) + name[1])))
def test_any_name_is_a_take_or_is_not(name: str) -> None:
    take = parse(name)
    if isinstance(take, Take):
        assert is_take(name) and re.match(r"0[12]-0[12]-0[1-8]-0[12]-0[12]-0[12]-(0[1-9]|1\d|2[0-4])\.", name)
        assert "-".join(take) == name[:20] and take.actor == name[18:20]
    else:
        assert take
