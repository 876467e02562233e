"""Frames of video files, upright, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from av import VideoFrame

FRAMES_PER_SECOND = 2.0  # how many are taken unless told otherwise: neighbouring frames teach next to nothing
USUAL_RATE = 25.0  # frames per second, for a video that does not state its own


class VideoError(ValueError):
    """A video that cannot be read; the message names it and says why."""


def read_frames(path: Path, every: int | None = None) -> Iterator[tuple[int, Tensor]]:
    """Every `every`-th frame of a video, from the first: its number from 0 and (H, W, 3) uint8 RGB.

    By default about two frames per second are taken. Frames are turned upright by the video's display matrix.
    Raises VideoError, after the last good frame, if the file is missing, damaged or has no pictures in it.
    """
    import av

    if every is not None and every < 1:
        raise VideoError(f"every {every}-th frame of {path} cannot be taken; give 1 or more")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path}: the file has no video in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate or USUAL_RATE)
            step = every or max(1, round(rate / FRAMES_PER_SECOND))
            for number, frame in enumerate(container.decode(stream)):
                if number % step == 0:
                    yield number, _upright(frame)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: the video cannot be read ({error})") from error


def _upright(frame: VideoFrame) -> Tensor:
    """(H, W, 3) uint8, turned by the quarter turns (counter-clockwise) that the file asks for."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
    return torch.from_numpy(np.ascontiguousarray(pixels))
