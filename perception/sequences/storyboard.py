"""Keep a few frames of a video for a preview."""

from __future__ import annotations

import torch
from torch import Tensor

from .videos import Frame

SIDE = 640  # pixels: a frame's longer side is reduced to this


class Storyboard:
    """Keeps up to `limit` frames, evenly spread over any number of frames, in constant memory.

    The frames are the first, and every n-th after it; `frames` has them in order, reduced to `SIDE`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.frames: list[Frame] = []
        self._every = 1

    def watch(self, frame: Frame) -> None:
        """Process the next frame, whose number must follow the previous one."""
        if frame.number % self._every:
            return
        if len(self.frames) == self.limit:
            self._every *= 2
            self.frames = [kept for kept in self.frames if kept.number % self._every == 0]
            if frame.number % self._every:
                return
        self.frames.append(Frame(frame.number, frame.time, reduced(frame.picture)))


def reduced(picture: Tensor) -> Tensor:
    """Return a picture (H, W, 3) uint8 reduced to a longer side of `SIDE` pixels; smaller ones are copied."""
    height, width = picture.shape[:2]
    share = SIDE / max(height, width)
    if share >= 1:
        return picture.clone()
    size = max(round(height * share), 1), max(round(width * share), 1)
    resized = torch.nn.functional.interpolate(picture.permute(2, 0, 1)[None].float(), size, mode="area")
    return resized[0].permute(1, 2, 0).round().to(torch.uint8).contiguous()
