"""Videos through the pipeline: perceived in one reading, drawn on in another, without ever being loaded whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO

from torch import Tensor

from .drawing import Overlay
from .missing import fill
from .pipeline import PerceptionPipeline
from .smoothing import smooth
from .vector import Perceptions
from .videos import Frame, Video, VideoInMemory, write_video


def perceive_video(
    video: Video | VideoInMemory,
    pipeline: PerceptionPipeline,
    *,
    missing: str = "skip",
    smoothing: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Perceptions:
    """The faces of every frame, filled in (missing.fill) and smoothed (smoothing.smooth) if asked.

    Frames that cannot be read are left out; `video.problem` then says so. Raises VideoError if none can be.
    """
    times: list[float] = []
    size = (0, 0)

    def pictures() -> Iterator[Tensor]:
        nonlocal size
        for frame in video.frames():
            times.append(frame.time)
            size = frame.picture.shape[0], frame.picture.shape[1]
            yield frame.picture

    return smooth(fill(pipeline(pictures(), progress), missing, size), smoothing, times)


def draw_video(
    video: Video | VideoInMemory,
    perceptions: Perceptions,
    overlay: Overlay,
    progress: Callable[[int], None] | None = None,
) -> BytesIO:
    """The video again, as MP4 in memory, with its faces drawn on; without sound. `perceptions` are perceive_video's.

    `progress`, if given, is called after each frame with the number of frames done; what it raises ends the run.
    """
    faces = perceptions.by_frame()

    def drawn() -> Iterator[Frame]:
        for frame in video.frames():
            here = faces[frame.number] if frame.number < len(faces) else []
            yield Frame(frame.number, frame.time, overlay.draw(frame.picture, here))
            if progress is not None:
                progress(frame.number + 1)

    return write_video(drawn(), video.rate)
