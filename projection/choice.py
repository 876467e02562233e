"""Choose which faces are applied when there are several: the first, their mean, each one, or one per picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..common.errors import InputError
from ..perception.vector import Perceptions

FACE_CHOICES = ("first", "mean", "each", "per frame")
IN_PLACE = "in place"  # each face, and only at its own place in the picture; see in_place.py


def choose(values: Tensor, perceptions: Perceptions, faces: str) -> list[tuple[Tensor, Tensor]]:
    """Return the chosen parts of the values of all faces; each part becomes its own conditioning entry.

    first:      the first face of the first picture that has one
    mean:       the average of all faces
    each:       one part for every face, in their order
    per frame:  one row for every picture, that of its first face

    Args:
        values: (N, W) floating point, one row for every face in `perceptions`; N ≥ 1.
        faces: one of `FACE_CHOICES`.

    Returns parts (rows (R, W), seen (R,) bool) on the device of the values; R is the number of pictures for "per frame"
    and 1 otherwise. Rows of pictures without a face are zeros and have `seen` False.

    Raises ValueError for an unknown choice, if there is no face, or if the number of values differs from that of faces.
    """
    if faces not in FACE_CHOICES:
        raise InputError(f"faces cannot be {faces!r}; choose one of {', '.join(FACE_CHOICES)}")
    if not len(values) == len(perceptions) >= 1:
        raise ValueError(
            f"there must be at least one face and one value for each, not {len(values)} for {len(perceptions)}"
        )
    if faces == "per frame":
        return [_by_frame(values, perceptions)]
    chosen = {"first": values[:1], "mean": values.mean(dim=0, keepdim=True), "each": values}[faces]
    seen = torch.ones(1, dtype=torch.bool, device=values.device)
    return [(rows, seen) for rows in chosen.split(1)]


def _by_frame(values: Tensor, perceptions: Perceptions) -> tuple[Tensor, Tensor]:
    firsts = perceptions.first_of_frames
    frames = perceptions.frames[firsts].to(values.device)
    rows = values.new_zeros(perceptions.frame_count, values.shape[1])
    rows[frames] = values[firsts]
    seen = torch.zeros(len(rows), dtype=torch.bool, device=values.device)
    seen[frames] = True
    return rows, seen
