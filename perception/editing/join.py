"""Concatenate two batches of perceptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

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
    return replace(
        concatenated([first, later]),
        frame_count=first.frame_count + second.frame_count,
        landmarker=both(first.landmarker, second.landmarker),
        emotion_model=both(first.emotion_model, second.emotion_model),
    )


def concatenated(parts: Sequence[Perceptions]) -> Perceptions:
    """Return the faces of all parts one after another; what describes all faces is that of the first part."""
    tensors = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Perceptions)}
    joined: dict[str, Any] = {n: torch.cat(values) for n, values in tensors.items() if isinstance(values[0], Tensor)}
    return replace(parts[0], **joined)


def both(first: str, second: str) -> str:
    """Return the combined identity of two models; each is named once, in order."""
    return AND.join(dict.fromkeys([*first.split(AND), *second.split(AND)]))
