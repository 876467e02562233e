from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.training.sources.folders import list_frames, list_video
from perception_clip.training.sources.items import SourceError, SourceItem
from perception_clip.training.sources.media import FrameFolder, PictureFile, VideoFile

from .trees import touch


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
