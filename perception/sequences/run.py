"""Run videos through the pipeline: perceive in one pass and draw in another, without loading the whole video."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...common.words import counted
from ..drawing.overlay import Overlay
from ..pipeline import PerceptionPipeline
from ..vector import Perception, Perceptions
from .missing import fill
from .smoothing import smooth
from .videos import Frame, Video, VideoInMemory


def perceive_video(
    video: Video | VideoInMemory,
    pipeline: PerceptionPipeline,
    *,
    missing: str = "skip",
    smoothing: float = 0.0,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[Frame], None] | None = None,
) -> Perceptions:
    """Return the faces of every frame, optionally filled in (missing.fill) and smoothed (smoothing.smooth).

    `watch`, if given, is called with each frame. Frames that cannot be read are left out and reported in
    `video.problem`. Raises VideoError if no frame can be read.
    """
    times: list[float] = []
    size = (0, 0)

    def pictures() -> Iterator[Tensor]:
        nonlocal size
        for frame in video.frames():
            times.append(frame.time)
            size = frame.picture.shape[0], frame.picture.shape[1]
            if watch is not None:
                watch(frame)
            yield frame.picture

    return smooth(fill(pipeline(pictures(), progress), missing, size), smoothing, times)


def draw_frames(
    video: Video | VideoInMemory,
    perceptions: Perceptions,
    overlay: Overlay,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Frame]:
    """Yield each frame of the video with its faces drawn on, while it is read.

    `progress`, if given, is called after each frame with the number of frames done; an exception from it ends the run.
    Raises ValueError as soon as the perceptions turn out to be from other pictures: another number of frames, or a face
    that was found in a picture of another size.
    """
    if isinstance(video, VideoInMemory):
        _check_number(perceptions, video.frame_count)
    faces = FacesOfFrames(perceptions)
    done = 0
    for frame in video.frames():
        if done == perceptions.frame_count:
            _check_number(perceptions, done + 1, more=True)
        here = faces[frame.number]
        check_sizes(frame, here)
        yield Frame(frame.number, frame.time, overlay.draw(frame.picture, here))
        done += 1
        if progress is not None:
            progress(done)
    _check_number(perceptions, done)


class FacesOfFrames:
    """Perceptions by frame, without building one large list: `faces[frame]` is a list of the faces of that frame."""

    def __init__(self, perceptions: Perceptions) -> None:
        self._perceptions = perceptions
        order = perceptions.frames.argsort(stable=True)
        counts = torch.bincount(perceptions.frames, minlength=perceptions.frame_count)
        self._rows = order.split(counts.tolist())

    def __getitem__(self, frame: int) -> list[Perception]:
        return [self._perceptions[row] for row in self._rows[frame].tolist()]


def check_sizes(frame: Frame, faces: list[Perception]) -> None:
    """Raise ValueError for a face that was found in a picture of another size; filled-in faces are not checked."""
    height, width = frame.picture.shape[:2]
    for face in faces:
        if face.score > 0 and face.image_size != (height, width):
            found_height, found_width = face.image_size
            raise ValueError(
                f"picture {frame.number} is {width} × {height} pixels, but its face was found in a picture of "
                f"{found_width} × {found_height}. Connect the pictures or the video that perception was created from"
            )


def _check_number(perceptions: Perceptions, number: int, more: bool = False) -> None:
    """Raise ValueError unless the perceptions have this number of pictures; `more` if there may be more."""
    if number != perceptions.frame_count:
        there = f"there {'is' if number == 1 else 'are'} {number}{' or more' if more else ''}"
        raise ValueError(
            f"perception is of {counted(perceptions.frame_count, 'picture')}, but {there} to draw on. Connect the "
            "pictures or the video that perception was created from"
        )
