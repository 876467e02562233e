"""The vectors that faces project to, one for each part of a prompt that they change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

END_ONLY = "has no subject vectors: the projection steers at the end of the text only"  # of a dataset or checkpoint


@dataclass(frozen=True)
class FaceVectors:
    """The vectors of N faces in a text space with W numbers, of which T are for the tokens; float32."""

    end: Tensor  # (N, W) the state at the end of the text, then the pooled output if the space has one
    subject: Tensor | None = None  # (N, T) the state of the noun that the prompt is about; None: not learned

    @classmethod
    def split(cls, joined: Tensor, width: int) -> FaceVectors:
        """Return vectors (N, W + T) in two parts, the first of this width W; without a subject, they are (N, W)."""
        end, subject = joined[:, :width], joined[:, width:]
        return cls(end, subject if subject.shape[1] else None)

    @property
    def joined(self) -> Tensor:
        """Return the vectors in one tensor, (N, W + T), or (N, W) without a subject; see `split`."""
        return self.end if self.subject is None else torch.cat([self.end, self.subject], dim=1)
