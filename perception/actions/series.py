"""Numbers measured on one face, over the pictures of a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..sequences.smoothing import EMOTION_BETA, cutoff_of, one_euro
from ..vector import Perceptions


def rows_of_track(perceptions: Perceptions, track: int, *, hold: bool) -> list[int | None]:
    """Return the index of a track's face in each picture, None where it is not seen.

    With `hold`, a picture without it gets the face of the last picture with one, and pictures before the first get the
    first; all are None only if the track is nowhere.
    """
    rows: list[int | None] = [None] * perceptions.frame_count
    for row in reversed((perceptions.tracks == track).nonzero()[:, 0].tolist()):
        rows[int(perceptions.frames[row])] = row
    if hold:
        last = next((row for row in rows if row is not None), None)
        for frame, row in enumerate(rows):
            last = rows[frame] = last if row is None else row
    return rows


def over_pictures(values: Tensor, rows: Sequence[int | None]) -> Tensor:
    """Return the values (pictures, …) of the faces `rows`, of `values` (N, …); 0 where there is None."""
    series = values.new_zeros(len(rows), *values.shape[1:])
    seen = [frame for frame, row in enumerate(rows) if row is not None]
    series[seen] = values[[row for row in rows if row is not None]]
    return series


def smoothed(values: Tensor, amount: float, rate: float, unit: float = 1.0) -> Tensor:
    """Return values (N, …) of consecutive pictures, `rate` per second, smoothed like emotions (sequences/smoothing.py).

    `amount` is 0 (no change) to 1; `unit` is a large change, such as 1 for actions and 90 for degrees. Raises
    ValueError for another amount.
    """
    cutoff = cutoff_of(amount)
    if amount == 0 or not len(values):
        return values
    times = [frame / rate for frame in range(len(values))]
    return one_euro(values, times, cutoff=cutoff, beta=EMOTION_BETA, unit=torch.tensor(unit))
