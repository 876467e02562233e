"""Concatenate two batches of perceptions."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from ..engines import AND
from ..vector import Perceptions


def join(first: Perceptions, second: Perceptions) -> Perceptions:
    """Return the frames of `first` followed by those of `second`, including frames without a face.

    The frame numbers of the second continue after those of the first; frame_count is the sum of both. Its tracks
    continue after the highest of the first, so that faces of the two never count as the same. All else is unchanged.
    """
    beyond = int(first.tracks.max()) + 1 if len(first) else 0
    later = replace(second, frames=second.frames + first.frame_count, tracks=second.tracks + beyond)
    tensors = {
        f.name: torch.cat([getattr(first, f.name), getattr(later, f.name)])
        for f in fields(Perceptions)
        if isinstance(getattr(first, f.name), Tensor)
    }
    return replace(
        first,
        **tensors,
        frame_count=first.frame_count + second.frame_count,
        landmarker=both(first.landmarker, second.landmarker),
        emotion_model=both(first.emotion_model, second.emotion_model),
    )


def both(first: str, second: str) -> str:
    """Return the combined identity of two models; each is named once, in order."""
    return AND.join(dict.fromkeys([*first.split(AND), *second.split(AND)]))
