from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perception_clip.perception.pictures import PictureError
from perception_clip.training.sources.files import are_frames, frame_folder, in_order, walk
from perception_clip.training.sources.media import PictureFile

from .trees import touch


def test_a_tree_is_sorted_and_passes_hidden_files_over(tmp_path: Path) -> None:
    touch(*(tmp_path / "t" / name for name in ("b/2.png", "b/10.png", "a.txt", "b/._2.png", ".git/x", "b/.DS_Store")))
    tree = walk(tmp_path / "t")
    assert tree.files == [("a.txt",), ("b", "10.png"), ("b", "2.png")]
    assert tree.skipped == []
    assert tree.name(("b", "2.png")) == "t/b/2.png"
    assert tree.media() == [("b", "10.png"), ("b", "2.png")]


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_links_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("t/happy/1.png", "elsewhere/2.png", "elsewhere/deep/3.png")))
    root = tmp_path / "t"
    (root / "happy" / "up").symlink_to(root)
    (root / "happy" / "around").symlink_to(tmp_path)
    (root / "a_link").symlink_to(root / "happy")  # sorts before the folder itself, which still is the one listed
    (root / "sad").symlink_to(tmp_path / "elsewhere")
    (root / "sad2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "elsewhere")
    (root / "itself").symlink_to(root / "itself")
    (root / "gone.png").symlink_to(tmp_path / "nowhere.png")
    tree = walk(root)
    assert tree.files == [("happy", "1.png"), ("sad", "2.png"), ("sad", "deep", "3.png")]
    assert {which for which, why in tree.skipped if "already listed" in why} == {
        "t/a_link",
        "t/happy/around",
        "t/happy/up",
        "t/sad/deep/back",
        "t/sad2",
    }
    assert {which for which, why in tree.skipped if "broken link" in why} == {"t/gone.png", "t/itself"}
    assert walk(root) == tree


@pytest.mark.skipif(os.name != "posix", reason="only there can a file be a pipe")
def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert walk(tmp_path).files == []
    assert frame_folder(tmp_path) is None


def test_what_is_left_of_a_picture_is_named(tmp_path: Path) -> None:
    whole = BytesIO()
    Image.effect_noise((64, 64), 60).save(whole, "JPEG")
    for content, reason in (
        (b"", "the file is empty"),
        (whole.getvalue()[:-500], "the end of the file is missing"),
        (b"II*\0" + b"\0" * 99, "this TIFF is damaged, or has pixels of a form that cannot be read"),
    ):
        (tmp_path / "1.jpg").write_bytes(content)
        with pytest.raises(PictureError, match=reason):
            list(PictureFile(tmp_path / "1.jpg").frames())


@pytest.mark.parametrize(
    ("names", "frames"),
    [
        (["frame_0001.png", "frame_0002.png", "frame_0003.png"], True),
        (["9.jpg", "10.jpg", "11.jpg"], True),
        (["f0.png", "f25.png", "f50.png", "f100.png"], True),  # every 25th, one is lost
        (["f1.png", "f2.png"], False),  # too few
        (["f1.png", "f2.png", "f40.png"], False),  # not one after the other
        (["f1.png", "f2.png", "g3.png"], False),
        (["f1.png", "f2.png", "f3.jpg"], False),
        (["f1.png", "f01.png", "f2.png"], False),  # the same number twice
        (["anna.png", "ben.png", "cleo.png"], False),
        ([], False),
    ],
)
def test_frames_are_told_by_their_names(names: list[str], frames: bool) -> None:
    assert are_frames(names) is frames


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_names_are_judged_and_ordered(names: list[str]) -> None:
    assert are_frames(names) in (True, False)
    assert sorted(in_order(names)) == sorted(names)


@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(1, 50), st.integers(0, 6))
def test_numbers_in_even_steps_are_frames_in_their_order(first: int, count: int, step: int, digits: int) -> None:
    names = [f"take2_{first + index * step:0{digits}}.png" for index in range(count)]
    assert are_frames(names)
    assert in_order(reversed(names)) == names
