"""Two batches of perceptions one after the other."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from ..vector import Perceptions

AND = " + "  # between the identities of models that made something together


def join(first: Perceptions, second: Perceptions) -> Perceptions:
    """The `second`'s frames after the `first`'s, those without a face too: frame_count is the sum of both.

    The second's frames are counted on from the first's. Its tracks go on beyond the first's highest, so that a face
    of one and a face of the other never count as the same. All else stays as it is.
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
    """The identity of what two models made together; each is named once, in the order in which they come."""
    return AND.join(dict.fromkeys([*first.split(AND), *second.split(AND)]))
