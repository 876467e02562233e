"""Smooth landmarks and emotions over time with the One-Euro filter.

Casiez, Roussel and Vogel (2012), "1 € filter: a simple speed-based low-pass filter for noisy input in interactive
systems", CHI 2012: a low-pass filter whose cutoff increases with speed, so that still faces do not jitter and moving
faces do not lag.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..origins import derived
from ..vector import Perceptions, bounding_boxes, pack

SPEED_CUTOFF = 1.0  # hertz; the paper's
# How much the cutoff rises, in hertz, for each face size per second that a landmark moves, and for each whole (from
# 0 to 1) per second that an emotion changes. At 24 frames per second a face that crosses its own size in a second
# then lags by 0.03 of it, and an expression that appears in a quarter of a second by one frame.
LANDMARK_BETA, EMOTION_BETA = 5.0, 2.0


def smooth(perceptions: Perceptions, amount: float, times: Sequence[float]) -> Perceptions:
    """Return perceptions with every track smoothed; `times` (frame_count,) of the pictures are ascending, in seconds.

    `amount` is 0 (no change) to 1: the cutoff for a face at rest falls from 10 Hz to 0.1 Hz, and is 1 Hz, as in the
    paper, at 0.5. Emotions stay probabilities. Boxes follow the landmarks. Raises ValueError for another amount.
    """
    cutoff = cutoff_of(amount)
    if len(times) != perceptions.frame_count:
        raise ValueError(
            f"there must be one time for each of {counted(perceptions.frame_count, 'picture')}, not {len(times)}"
        )
    if amount == 0 or len(perceptions) == 0:
        return perceptions
    origins = perceptions.origins.clone()
    landmarks, emotions = perceptions.landmarks.clone(), perceptions.emotions.clone()
    low, high = perceptions.boxes.split(2, dim=1)
    pixels = (high - low).clamp_min(0).prod(dim=1).sqrt().clamp_min(1.0)  # (N,): each face's size
    extents = pixels[:, None] / perceptions.image_sizes.flip(1)  # (N, 2): … in picture widths and heights
    extents = torch.cat([extents, extents[:, :1]], dim=1)[:, None]  # (N, 1, 3): z counts in widths
    moments = torch.tensor(times, dtype=torch.float64)[perceptions.frames]
    for track in perceptions.tracks.unique():
        rows = (perceptions.tracks == track).nonzero()[:, 0]
        when = moments[rows].tolist()
        landmarks[rows] = one_euro(
            landmarks[rows], when, cutoff=cutoff, beta=LANDMARK_BETA, unit=extents[rows].mean(dim=0)
        )
        emotions[rows] = one_euro(emotions[rows], when, cutoff=cutoff, beta=EMOTION_BETA, unit=torch.ones(()))
        origins[rows[1:]] = _origins(origins[rows], amount, when)[1:]  # the first of a track stays as it was
    emotions = emotions / emotions.sum(dim=1, keepdim=True)
    return replace(
        perceptions,
        vectors=pack(landmarks, emotions),
        boxes=bounding_boxes(landmarks, perceptions.image_sizes),
        origins=origins,
    )


def _origins(origins: Tensor, amount: float, times: Sequence[float]) -> Tensor:
    """Return the origins (T, 32) of a smoothed track: each depends on all faces of the track and its position."""
    whole = hashlib.sha256(f"{amount!r} {list(times)}".encode() + origins.numpy().tobytes()).hexdigest()
    return derived([f"smooth {place} {whole}" for place in range(len(origins))], origins)


def cutoff_of(amount: float) -> float:
    """Return the cutoff at rest, in hertz, for an amount of smoothing. Raises ValueError unless it is 0 to 1."""
    if not 0 <= amount <= 1:
        raise InputError(f"smoothing must be between 0 and 1, not {amount}")
    return float(10 ** (1 - 2 * amount))


def one_euro(values: Tensor, times: Sequence[float], *, cutoff: float, beta: float, unit: Tensor) -> Tensor:
    """Return `values` (T, …), measured at `times` (T,) in seconds, with each number filtered separately.

    `cutoff` is the cutoff in hertz at rest; it rises by `beta` hertz for each `unit` (broadcast to …) per second. A
    value at the same time as the previous one replaces it.
    """
    filtered = values.clone()
    speed = torch.zeros_like(values[0])
    for now in range(1, len(values)):
        elapsed = times[now] - times[now - 1]
        if elapsed <= 0:
            continue
        change = (values[now] - filtered[now - 1]) / elapsed
        speed = torch.lerp(speed, change, _share(torch.tensor(SPEED_CUTOFF), elapsed).to(values))
        share = _share(cutoff + beta * (speed / unit).abs(), elapsed)
        filtered[now] = torch.lerp(filtered[now - 1], values[now], share)
    return filtered


def _share(cutoff: Tensor, elapsed: float) -> Tensor:
    """Return the weight of the new value: 1 / (1 + τ / elapsed), τ = 1 / (2 π cutoff)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * elapsed))
