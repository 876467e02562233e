"""Read and write videos frame by frame: decoded upright, as far as they are readable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ..pictures import to_picture

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

SPARSE = 0.5  # seconds between the frames of a sample: closer ones add hardly any information
EARLY = 0.001  # seconds that a frame may come before it is due, or before the end: times are rounded
USUAL_RATE = 25.0  # frames per second, for a video that does not state its own
CLOCK = 90_000  # ticks per second of written videos: fine enough for every usual and any variable rate


class VideoError(PerceptionClipError, ValueError):
    """A video that cannot be read; the message names it and the reason."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video."""

    number: int  # from 0, in the order in which they are shown
    time: float  # seconds from the start of the video
    picture: Tensor  # (H, W, 3) uint8 RGB, upright


@dataclass
class VideoInMemory:
    """A video whose pictures are all in memory, (B, H, W, 3) floats in 0…1, like ComfyUI's IMAGE; see `Video`."""

    pictures: Tensor
    rate: float
    problem: str = field(default="", init=False)

    @property
    def frame_count(self) -> int:
        return len(self.pictures)

    def frames(self) -> Iterator[Frame]:
        for number, picture in enumerate(self.pictures):
            yield Frame(number, number / self.rate, to_picture(picture, number))


class Video:
    """A video file, or one in memory. It can be read any number of times; frames are decoded on demand.

    Damaged frames are left out. After reading to the end, `problem` describes what could not be read, or is empty.
    `start` and `duration`, in seconds, choose a part; a duration of 0 extends to the end.
    """

    def __init__(self, source: Path | BytesIO, *, start: float = 0.0, duration: float = 0.0) -> None:
        self.source = source
        self.start, self.end = start, start + duration if duration else float("inf")
        self.name = str(source) if isinstance(source, Path) else "the video"
        self.problem = ""
        with self._open() as container:
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or USUAL_RATE)  # frames per second, on average
            self.width, self.height = stream.width, stream.height  # before frames are rotated upright
            self._promised = stream.frames  # 0 if the file does not say
            if stream.duration and stream.time_base:  # shorter than the frames, where an edit list skips some of them
                self._promised = min(self._promised, round(float(stream.duration * stream.time_base) * self.rate))
            length = self._promised / self.rate or float(container.duration or 0) / 1_000_000  # seconds
        # As the file states it; 0 if it does not.
        self.frame_count = max(round((min(length, self.end) - start) * self.rate), 0)

    def frames(self, every: int = 1, seconds: float = 0.0) -> Iterator[Frame]:
        """Yield every `every`-th frame, starting with the first; damaged frames do not count.

        With `seconds`, yield one frame for each interval of that length instead, in the video's own time: the first at
        or after each multiple. Frames are rotated upright by the display matrix of the video.

        Raises VideoError if no frame can be read.
        """
        if every < 1:
            raise VideoError(f"{self.name}: the frame step is {every}; use 1 or more")
        self.problem = ""
        number, damaged, decodable, reason = 0, 0, 0, ""
        due = 0.0  # the time of the next frame to yield, with `seconds`
        with self._open() as container:
            for frame in _decode(container):
                if isinstance(frame, str):
                    damaged, reason = damaged + 1, frame
                    continue
                time = decodable / self.rate if frame.time is None else float(frame.time)
                if time >= self.end - EARLY:
                    break
                if frame.is_corrupt:
                    damaged += 1
                    continue
                decodable += 1
                if time < self.start:
                    continue
                if time - self.start >= due - EARLY if seconds else number % every == 0:
                    yield Frame(number, time - self.start, _upright(frame))
                    due = seconds * (math.floor((time - self.start + EARLY) / seconds) + 1) if seconds else 0.0
                number += 1
        if not number:
            raise VideoError(f"{self.name}: no frame of the video can be read ({reason or 'it has none'})")
        if damaged or (decodable < self._promised and self.end == float("inf")):
            frames = (
                f"{decodable} of {counted(self._promised, 'frame')}" if self._promised else counted(decodable, "frame")
            )
            because = f" ({reason})" if reason else ""
            self.problem = f"only {frames} could be read; the rest is damaged or missing{because}"

    def _open(self) -> InputContainer:
        """Return the file opened at its start. Raises VideoError if it is missing, not a video or has no pictures."""
        import av

        if isinstance(self.source, BytesIO):
            self.source.seek(0)
        try:
            container: InputContainer = av.open(self.source if isinstance(self.source, BytesIO) else str(self.source))
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.name}: the video cannot be read ({error.strerror or error})") from error
        if not container.streams.video:
            container.close()
            raise VideoError(f"{self.name}: the file has no video in it")
        return container


def _decode(container: InputContainer) -> Iterator[VideoFrame | str]:
    """Yield the frames of the first video stream, or the reason for a part that cannot be decoded."""
    import av

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except (av.FFmpegError, OSError) as error:
            yield error.strerror or str(error)
            continue
        if packet is None:
            return
        yield from frames


def _upright(frame: VideoFrame) -> Tensor:
    """Return the frame (H, W, 3) uint8, rotated by the quarter turns (counter-clockwise) specified in the file."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
    return torch.from_numpy(np.ascontiguousarray(pixels))


def write_video(path: Path, frames: Iterable[Frame], rate: float) -> None:
    """Encode frames into a file, as H.264 in MP4, as they arrive.

    Each frame keeps its time; `rate` is the approximate number of frames per second. An odd last row or column is cut
    off, since the format does not support it; frames of another size than the first are resized to it. Raises
    VideoError if there are no frames. The caller must remove what a failed run leaves.
    """
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for frame in frames:
            height, width = (max(side // 2, 1) * 2 for side in frame.picture.shape[:2])
            if stream is None:
                stream = container.add_stream("h264", rate=Fraction(rate).limit_denominator(1001))
                # Three times as fast as the default preset of x264, and good enough for thin lines.
                stream.options = {"preset": "veryfast", "crf": "18"}
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = Fraction(1, CLOCK)
            picture = av.VideoFrame.from_ndarray(frame.picture[:height, :width].contiguous().numpy(), format="rgb24")
            picture = picture.reformat(stream.width, stream.height, "yuv420p")
            picture.pts, picture.time_base = round(frame.time * CLOCK), Fraction(1, CLOCK)
            container.mux(stream.encode(picture))
        if stream is None:
            raise VideoError("there are no frames to write")
        container.mux(stream.encode())
