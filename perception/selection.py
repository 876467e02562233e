"""Select which faces of a picture are used, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..common.errors import InputError
from .engines import Faces

ORDERS = ("largest", "most central", "left to right", "top to bottom", "highest score")


@dataclass(frozen=True)
class Selection:
    """Sorts faces and keeps the first `max_faces`; of these, all or only the one at `index`.

    Raises ValueError for an unknown order, max_faces below 1, or an index below 0.
    """

    order: str = "largest"  # one of ORDERS; ties are sorted left to right, then top to bottom
    max_faces: int = 10  # per picture
    index: int | None = None  # from 0; None: all faces

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise InputError(f"order cannot be {self.order!r}; choose one of {', '.join(ORDERS)}")
        if self.max_faces < 1:
            raise InputError(f"max_faces must be at least 1, not {self.max_faces}")
        if self.index is not None and self.index < 0:
            raise InputError(f"the index of a face counts from 0, so it cannot be {self.index}")

    def __call__(self, faces: Faces, height: int, width: int) -> Faces:
        """Return the chosen faces of one picture of this size in pixels, in order."""
        return take(faces, self.chosen(faces, height, width))

    def chosen(self, faces: Faces, height: int, width: int) -> Tensor:
        """Return the numbers (K,) int64 of the chosen faces, in order."""
        left, top, right, bottom = faces.boxes.unbind(dim=1)
        if self.order == "largest":
            first = (left - right) * (bottom - top)
        elif self.order == "most central":
            first = torch.hypot(left + right - width, top + bottom - height)
        elif self.order == "left to right":
            first = left + right
        elif self.order == "top to bottom":
            first = top + bottom
        else:
            first = -faces.scores
        # Sort by the last key first: each sort is stable.
        order = torch.arange(len(faces))
        for key in (top, left, first):
            order = order[key[order].argsort(stable=True)]
        order = order[: self.max_faces]
        if self.index is not None:
            order = order[self.index : self.index + 1]
        return order


def take(faces: Faces, index: Tensor) -> Faces:
    """Return the faces at `index` (K,), in that order."""
    return Faces(landmarks=faces.landmarks[index], boxes=faces.boxes[index], scores=faces.scores[index])
