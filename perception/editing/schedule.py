"""Spread a few key faces over many frames, with interpolation between them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...common.errors import InputError
from ..origins import derived
from ..vector import Perceptions, pack

EASINGS = ("linear", "ease", "hold")
WIDTH_HEIGHT_WIDTH = [1, 0, 1]  # of a (height, width): what x, y and z are divided by


def spread(perceptions: Perceptions, frames: int, easing: str) -> Perceptions:
    """Return one face on each of `frames` frames, all on track 0, interpolated between key faces (`first_faces`).

    linear and ease put the first key on the first frame, the last on the last, and the others at equal distances.
    linear moves evenly from key to key; ease starts and stops gently at each: at time t it has moved by t²(3 − 2t)
    (smoothstep). hold jumps from key to key: each keeps an equal share of the frames. A frame at the position of a key
    is that key, bit for bit. A single key fills all frames. If there are more keys than frames, linear and ease show
    keys at equal distances, including the first and the last (one frame: the first), and hold shows every n-th.

    Landmarks and boxes are interpolated linearly in pixels, so that keys may come from pictures of different sizes; the
    picture size is interpolated too, in whole pixels. Emotions, which stay probabilities, and scores are mixed
    linearly. If there is no key face, the frames have no faces either.

    Raises ValueError for an easing that is not in `EASINGS`, and for fewer frames than 1.
    """
    if easing not in EASINGS:
        raise InputError(f"easing cannot be {easing!r}; choose one of {', '.join(EASINGS)}")
    if frames < 1:
        raise InputError(f"the number of frames cannot be {frames}; use 1 or more")
    keys = first_faces(perceptions)
    if len(keys) == 0:
        return replace(keys, frame_count=frames)
    before, share = _places(len(keys), frames, easing)
    after = (before + 1).clamp_max(len(keys) - 1)
    across = share[:, None]  # (frames, 1)
    sizes = _between(keys.image_sizes.double(), before, after, across).round().clamp_min(1)  # (frames, 2)
    # In pixels it is (1 − share) x size + share x' size'; over the new size, each key's numbers have one factor.
    unit = sizes[:, WIDTH_HEIGHT_WIDTH]  # (frames, 3)
    left, right = (
        (part * keys.image_sizes[rows][:, WIDTH_HEIGHT_WIDTH] / unit).float()[:, None]  # (frames, 1, 3)
        for part, rows in ((1 - across, before), (across, after))
    )
    landmarks = keys.landmarks[before] * left + keys.landmarks[after] * right  # (frames, 478, 3)
    emotions = _between(keys.emotions, before, after, across)
    shares = [f"between {part!r}" for part in share.tolist()]
    between = derived(shares, keys.origins[before], keys.origins[after])
    return replace(
        keys,
        vectors=torch.where(across > 0, pack(landmarks, emotions), keys.vectors[before]),
        image_sizes=sizes.to(torch.int32),
        frames=torch.arange(frames),
        boxes=_between(keys.boxes, before, after, across),
        scores=_between(keys.scores, before, after, share),
        tracks=torch.zeros(frames, dtype=torch.int64),
        origins=torch.where(across > 0, between, keys.origins[before]),
        frame_count=frames,
    )


def first_faces(perceptions: Perceptions) -> Perceptions:
    """Return the first face of each frame that has one, in frame order."""
    return perceptions.select(perceptions.first_of_frames)


def _places(keys: int, frames: int, easing: str) -> tuple[Tensor, Tensor]:
    """Return, for each frame, the previous key (frames,) int64 and the share of the next one (frames,) float64, 0…<1.

    They are computed in whole numbers, so that a frame at the position of a key is exact.
    """
    numbers = torch.arange(frames)
    if easing == "hold":
        return numbers * keys // frames, torch.zeros(frames, dtype=torch.float64)
    steps, distance = numbers * (keys - 1), max(frames - 1, 1)
    share = (steps % distance).double() / distance
    return steps // distance, share.square() * (3 - 2 * share) if easing == "ease" else share


def _between(values: Tensor, before: Tensor, after: Tensor, share: Tensor) -> Tensor:
    """Return the values of all frames (frames, …), interpolated from those of the keys (K, …)."""
    return torch.lerp(values[before], values[after], share.to(values))
