from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.training.sources.folders import list_frames, list_labels, list_video
from perception_clip.training.sources.items import SourceError, SourceItem
from perception_clip.training.sources.media import FrameFolder, PictureFile, VideoFile

from .trees import touch


def test_a_folder_per_label(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "happy" / "b.JPG", root / "happy" / "deep" / "a.png", root / "Sadness" / "clip.mp4")
    touch(root / "smug grin" / "c.webp", root / "happy" / "notes.txt", root / "stray.png", root / "happy" / "none")
    touch(root / ".git" / "x.png", root / "happy" / ".DS_Store", root / "happy" / "._b.JPG")
    listing = list_labels(root)
    assert [item.source for item in listing.items] == [
        "faces/Sadness/clip.mp4",
        "faces/happy/b.JPG",
        "faces/happy/deep/a.png",
        "faces/smug grin/c.webp",
    ]
    assert [item.label for item in listing.items] == ["Sadness", "happy", "happy", "smug grin"]
    assert all(item.prompts == () and item.columns == {} and item.split == "" for item in listing.items)
    assert [item.media for item in listing.items] == [
        VideoFile(root / "Sadness" / "clip.mp4"),
        PictureFile(root / "happy" / "b.JPG"),
        PictureFile(root / "happy" / "deep" / "a.png"),
        PictureFile(root / "smug grin" / "c.webp"),
    ]
    groups = {item.source: item.group for item in listing.items}
    assert groups.pop("faces/happy/deep/a.png") == "faces/deep"
    assert all(group == source for source, group in groups.items())  # who is in it is not known
    assert dict(listing.skipped) == {
        "faces/happy/notes.txt": "files ending in .txt are not supported",
        "faces/happy/none": "files without a suffix are not supported",
        "faces/stray.png": "it is next to the label folders, not in one",
    }


def test_numbered_pictures_in_a_subfolder_are_one_clip(tmp_path: Path, grace_hopper: np.ndarray) -> None:
    clip = tmp_path / "faces" / "happy" / "anna"
    clip.mkdir(parents=True)
    for number in range(8, 12):
        Image.fromarray(np.full_like(grace_hopper, number)).save(clip / f"f_{number}.png")
    Image.fromarray(grace_hopper).save(clip.parent / "grace.png")
    listing = list_labels(tmp_path / "faces")
    anna, grace = listing.items
    assert (anna.source, anna.group, anna.label) == ("faces/happy/anna", "faces/anna", "happy")
    assert isinstance(anna.media, FrameFolder)
    assert [path.name for path in anna.media.paths] == ["f_8.png", "f_9.png", "f_10.png", "f_11.png"]
    assert [int(frame.picture[0, 0, 0]) for frame in anna.media.frames()] == [8, 9, 10, 11]
    assert grace.group == grace.source == "faces/happy/grace.png"
    assert listing.notes == [
        "a folder within a label's folder is one group (a person or clip), also across labels",
        "1 folder contains numbered pictures: each such folder is one clip",
    ]


def test_a_person_under_several_labels_is_one_group(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "happy" / "anna" / "smile.png", root / "happy" / "anna" / "laugh.mp4", root / "sad" / "anna" / "x.png")
    touch(root / "sad" / "ben" / "2020" / "y.png", root / "sad" / "ben" / "z.png")
    listing = list_labels(root)
    assert [item.group for item in listing.items] == ["faces/anna"] * 3 + ["faces/ben"] * 2
    assert len(listing.notes) == 1  # none is a clip of frames


def test_a_listing_does_not_depend_on_other_files_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "faces"
    touch(*(root / "happy" / f"{number}.png" for number in range(10)))
    before = {item.source: item for item in list_labels(root).items}
    touch(root / "angry" / "0.png", root / "happy" / "00.png")
    monkeypatch.chdir(root)
    after = {item.source: item for item in list_labels(Path()).items}
    assert len(after) == 12 and all(after[source] == item for source, item in before.items())


def test_folders_without_pictures_in_subfolders(tmp_path: Path) -> None:
    touch(tmp_path / "faces" / "a.png")
    with pytest.raises(SourceError, match=r"The folder must contain one folder per label: faces/happy/1\.jpg"):
        list_labels(tmp_path / "faces")


@pytest.mark.skipif(os.name != "posix", reason="only there can a file name be no Unicode")
def test_file_names_that_are_no_unicode(tmp_path: Path) -> None:
    picture = tmp_path / "faces" / os.fsdecode(b"happ\xff") / os.fsdecode(b"a\xfe.png")
    try:
        touch(picture)
    except OSError:
        pytest.skip("this file system has Unicode names only")
    (item,) = list_labels(tmp_path / "faces").items
    assert isinstance(item.media, PictureFile) and item.media.path.is_file()
    assert (item.source, item.group, item.label) == ("faces/happ?/a?.png", "faces/happ?/a?.png", "happ?")


def test_a_folder_of_frames(tmp_path: Path, astronaut: np.ndarray) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in (11, 2, 1):
        Image.fromarray(astronaut // number).save(clip / f"{number}.png")
    (clip / "._1.png").touch()
    (item,) = list_frames(clip).items
    assert (item.source, item.group, item.prompts, item.label) == ("clip", "clip", (), "")
    assert item.media == FrameFolder((clip / "1.png", clip / "2.png", clip / "11.png"))
    for frame, number in zip(item.media.frames(), (1, 2, 11), strict=True):
        assert (frame.picture.numpy() == astronaut // number).all()


def test_a_folder_without_frames(tmp_path: Path) -> None:
    touch(tmp_path / "deep" / "1.png")
    with pytest.raises(
        SourceError, match=r"there are no frames directly in the folder; it must contain frame_0001\.png"
    ):
        list_frames(tmp_path)


def test_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.mov", tmp_path / "b.png", tmp_path / "c.txt")
    monkeypatch.chdir(tmp_path)
    assert list_video(Path("a.mov")).items == [SourceItem(VideoFile(tmp_path / "a.mov"), "a.mov", "a.mov")]
    assert list_video(tmp_path / "b.png").items == [SourceItem(PictureFile(tmp_path / "b.png"), "b.png", "b.png")]
    with pytest.raises(SourceError, match="c.txt: files ending in .txt are not supported; pass a video or a picture"):
        list_video(tmp_path / "c.txt")
