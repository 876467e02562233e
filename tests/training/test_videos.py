from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from perception_clip.training.videos import VideoError, read_frames


def write_video(path: Path, frames: list[np.ndarray], rate: int = 10, rotation: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def greys(count: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), 10 * number, dtype=np.uint8) for number in range(count)]


def test_every_nth_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", greys(20))
    frames = list(read_frames(path, every=6))
    assert [number for number, _ in frames] == [0, 6, 12, 18]
    for number, picture in frames:
        assert picture.shape == (48, 64, 3) and picture.dtype == torch.uint8
        assert picture.float().mean().item() == pytest.approx(10 * number, abs=3)
    assert [number for number, _ in read_frames(path)] == [0, 5, 10, 15]  # two per second
    assert len(list(read_frames(path, every=1))) == 20


def test_frames_are_turned_upright(tmp_path: Path) -> None:
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this version of PyAV cannot write a rotated video")
    frame = np.zeros((48, 64, 3), dtype=np.uint8)
    frame[:24] = 255  # white above black; turned by a quarter counter-clockwise, white is left
    _, picture = next(read_frames(write_video(tmp_path / "a.mp4", [frame] * 3, rotation=90)))
    assert picture.shape == (64, 48, 3)
    assert picture[:, :20].float().mean() > 240 and picture[:, -20:].float().mean() < 15


def test_real_video(shared_data: Path) -> None:
    frames = list(read_frames(shared_data / "video" / "expressive_face.mp4"))
    assert [number for number, _ in frames] == list(range(0, 472, 12))
    assert frames[0][1].shape == (360, 640, 3)


def test_videos_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video " * 50)
    with pytest.raises(VideoError, match=r"text\.mp4: the video cannot be read"):
        next(read_frames(tmp_path / "text.mp4"))
    with pytest.raises(VideoError, match=r"missing\.mp4: the video cannot be read"):
        next(read_frames(tmp_path / "missing.mp4"))
    with pytest.raises(VideoError, match="give 1 or more"):
        next(read_frames(tmp_path / "text.mp4", every=0))
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(VideoError, match="has no video in it"):
        next(read_frames(tmp_path / "sound.mkv"))
