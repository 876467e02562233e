"""Videos of newer versions of ComfyUI, whose frames may be cropped or resized after they are read from the file."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from perception_clip.perception.sequences.videos import Frame, Video, VideoInMemory, write_video

from .schemas import stand_ins

WIDTH, HEIGHT, RATE = 360, 640, 10
LEFT, TOP, SIDE = 60, 300, 240  # the crop


class HostVideo:
    """A stand-in for VideoFromFile, trimmed to 0.2 to 0.6 seconds, and cropped or not."""

    cropped = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_stream_source(self) -> str:
        return str(self.path)

    def get_active_trim_window(self) -> tuple[float, float]:
        return 0.2, 0.4

    def get_dimensions(self) -> tuple[int, int]:
        return (SIDE, SIDE) if self.cropped else (WIDTH, HEIGHT)

    def get_components(self) -> Any:
        with av.open(str(self.path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][2:6]
        images = torch.from_numpy(np.stack(frames))[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] / 255
        return SimpleNamespace(images=images, frame_rate=Fraction(RATE))


class Announced(HostVideo):
    """Says that it has edits, even if they keep the size."""

    cropped = False

    def has_pending_frame_edits(self) -> bool:
        return True


class Unchanged(HostVideo):
    cropped = False

    def has_pending_frame_edits(self) -> bool:
        return False


class Turned(Unchanged):
    """Shown in portrait, stored in landscape, or the other way around."""

    def get_dimensions(self) -> tuple[int, int]:
        return HEIGHT, WIDTH


@pytest.fixture(scope="module")
def frames_of() -> Callable[[Any], Video | VideoInMemory]:
    with stand_ins(HostVideo):
        from perception_clip.nodes.support.host import frames_of
    return frames_of


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames that become brighter, with a white square where the crop is."""
    pictures = torch.stack([torch.full((HEIGHT, WIDTH, 3), 20 * number, dtype=torch.uint8) for number in range(8)])
    pictures[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE] += 100
    path = tmp_path_factory.mktemp("videos") / "portrait.mp4"
    write_video(path, (Frame(n, n / RATE, picture) for n, picture in enumerate(pictures)), RATE)
    return path


@pytest.mark.parametrize("kind", [HostVideo, Announced])
def test_frames_that_the_host_crops_come_from_the_host(
    kind: type[HostVideo], frames_of: Callable[[Any], Video | VideoInMemory], path: Path
) -> None:
    video = frames_of(kind(path))
    frames = list(video.frames())
    assert [frame.picture.shape for frame in frames] == [(SIDE, SIDE, 3)] * 4
    brightness = [float(frame.picture.float().mean()) for frame in frames]
    assert brightness == pytest.approx([140, 160, 180, 200], abs=3)
    assert (video.rate, video.frame_count, video.problem) == (RATE, 4, "")
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("kind", [Unchanged, Turned])
def test_frames_that_it_leaves_alone_are_read_from_the_file(
    kind: type[HostVideo], frames_of: Callable[[Any], Video | VideoInMemory], path: Path
) -> None:
    video = frames_of(kind(path))
    assert isinstance(video, Video)
    frames = list(video.frames())
    assert [frame.picture.shape for frame in frames] == [(HEIGHT, WIDTH, 3)] * 4
    assert float(frames[0].picture.float().mean()) == pytest.approx(40 + 100 * SIDE**2 / (WIDTH * HEIGHT), abs=3)
