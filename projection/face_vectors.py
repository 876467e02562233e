"""The vectors that faces project to, one for each part of a prompt that they change."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FaceVectors:
    """The vectors of N faces in a text space with W numbers, of which T are for the tokens; float32."""

    end: Tensor  # (N, W) the state at the end of the text, then the pooled output if the space has one
    subject: Tensor | None = None  # (N, T) the state of the noun that the prompt is about; None: not learned
