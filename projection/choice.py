"""Which of several faces act: the first, all on average, each for itself, or one in every picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..common.errors import InputError
from ..perception.vector import Perceptions

FACES = ("first", "mean", "each", "per frame")


def choose(values: Tensor, perceptions: Perceptions, faces: str) -> list[tuple[Tensor, Tensor]]:
    """Of what was made of every face, the parts that act; each part becomes a conditioning entry of its own.

    first:      the first face of the first picture that has one
    mean:       the average of all faces
    each:       as many parts as faces, in their order
    per frame:  one row for every picture, its first face's

    Args:
        values: (N, W) floating point, a row for every face of `perceptions`; N ≥ 1.
        faces: one of `FACES`.

    Returns parts (rows (R, W), seen (R,) bool) on the values' device, R pictures "per frame" and 1 otherwise. Rows of
    pictures without a face are zeros, with `seen` False.

    Raises ValueError for an unknown choice, for no face, and for values of another number of faces.
    """
    if faces not in FACES:
        raise InputError(f"faces cannot be {faces!r}; choose one of {', '.join(FACES)}")
    if not len(values) == len(perceptions) >= 1:
        raise ValueError(f"there must be a value for each of one or more faces: {len(values)} for {len(perceptions)}")
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
