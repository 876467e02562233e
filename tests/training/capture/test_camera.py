from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import pytest
import torch

from perception_clip.perception.sequences.videos import Frame, Video
from perception_clip.training.capture.camera import Camera, check_window, opencv, paced
from perception_clip.training.capture.session import CaptureError


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it were not installed
    for needs in (opencv, check_window, lambda: Camera(0)):
        with pytest.raises(ImportError, match=r"perception-clip\[train\].*opencv-python"):
            needs()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
def test_without_a_display_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CaptureError, match="there is no display.*--no-window"):
        check_window()


def test_a_camera_that_stops(film: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    camera = Camera(str(film))  # OpenCV reads a file as it reads a camera
    numbers = []
    with pytest.raises(CaptureError, match=r"film\.mp4 stopped after 32 pictures: check that it is plugged in"):
        for frame in camera.frames():
            numbers.append(frame.number)
            assert frame.picture.shape == (480, 480, 3) and frame.picture.dtype == torch.uint8
            if frame.number == 0:
                first = next(Video(film).frames()).picture
                assert (first.float() - frame.picture.float()).abs().mean() < 3  # RGB, not BGR
    camera.close()
    assert numbers == list(range(32))
    with pytest.raises(CaptureError, match=r"camera 987 cannot be opened"):
        Camera(987)
    with pytest.raises(CaptureError, match=r"cannot be opened: check that it is plugged in"):
        Camera(str(tmp_path / "absent.mp4"))


def test_a_video_in_a_window_plays_at_its_speed() -> None:
    picture = torch.zeros(1, 1, 3, dtype=torch.uint8)
    began = perf_counter()
    assert len(list(paced(Frame(number, number / 50, picture) for number in range(11)))) == 11
    assert perf_counter() - began >= 0.2  # as long as the video is
