"""Perceptions with another expression, and perceptions between two faces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..emotions.expression import ExpressionModel
from ..geometry import normalised
from ..origins import derived
from ..vector import EMOTIONS, Perceptions, bounding_boxes, pack
from .join import both

FLOOR = 1e-4  # the least probability that a change is reckoned from: what was 0 can grow, too


def edit(
    perceptions: Perceptions, sliders: Mapping[str, float], strength: float, model: ExpressionModel
) -> Perceptions:
    """Change what the faces express; pose, place and identity stay, and boxes follow the landmarks.

    `sliders` gives an amount for each emotion to change, by its name in `EMOTIONS`: 1 adds the average
    expression, more exaggerates, less than 0 takes it away. Toward neutral, 1 takes away what the model sees of
    every emotion. All are multiplied by `strength`; where nothing is left to do, the perceptions come back as
    they are. Raises ValueError for an unknown emotion and for amounts that are not finite.

    With a_e = strength × slider, d_e the way to an emotion (`ExpressionModel.edit`) and p_e what the model reads
    from the unchanged landmarks, the landmarks move by

        Σ a_e d_e − max(0, a_1 … a_6) Σ p_e max(0, 1 − |a_e|) d_e        (neutral only in the first sum)

    The second part lets what a face shows give way to what is asked for, as far as the highest slider is up. It
    spares emotions that are asked for themselves. Without it a smile stays below the anger, and a smiling face
    that is made fearful even reads as less so: what the mean faces of fear and joy share makes the smile broader.

    The emotions change by what the model makes of the change: p × q_after ÷ q_before, with sum 1, where q is its
    reading of the landmarks. If the model itself had judged the faces, this is what it reads now. The judgement
    of another emotion model is moved by the same evidence, not thrown away.
    """
    unknown = [name for name in sliders if name not in EMOTIONS]
    if unknown:
        raise InputError(f"unknown emotion {unknown[0]!r}: choose from {', '.join(EMOTIONS)}")
    amounts = {name: strength * slider for name, slider in sliders.items()}
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            raise InputError(f"the amount of {name} is {amount}; use a finite number")
    if len(perceptions) == 0 or not any(amounts.values()):
        return perceptions
    landmarks, sizes = perceptions.landmarks, perceptions.image_sizes
    before = model.probabilities(landmarks, sizes)  # (N, 7)
    moved = landmarks + _move(landmarks, sizes, amounts, before, model)
    after = model.probabilities(moved, sizes)
    evidence = after.clamp_min(FLOOR).log() - before.clamp_min(FLOOR).log()
    emotions = (perceptions.emotions.clamp_min(FLOOR).log() + evidence).softmax(dim=1)
    what = ", ".join(f"{name} {amount!r}" for name, amount in sorted(amounts.items()) if amount)
    made = derived(f"edit {what} {model.identity}", perceptions.origins)
    return replace(changed(perceptions, moved, emotions), origins=made)


def mix(first: Perceptions, second: Perceptions, share: float, model: ExpressionModel) -> Perceptions:
    """Faces between two: the `first`'s pose, place and size, and a shape between both; boxes follow.

    `share` 0 is exactly `first`; 1 is the shape of the `second`, the person's as well as the expression's, laid
    onto the first's pose by the rigid fit of both to the model's template. Emotions are mixed linearly. One
    second face serves all first ones; otherwise they are paired in their order. Pictures, frames, scores and
    tracks are the first's.

    Raises ValueError for a share outside 0…1, or if the second faces are neither one nor as many as the first.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the share is {share}; use a number from 0 to 1")
    if len(first) == 0 or share == 0:
        return first
    if len(second) not in (1, len(first)):
        raise InputError(
            f"{counted(len(first), 'face')} cannot be mixed with {len(second)}: faces are paired in their order, so "
            "mix with "
            "as many, or with a single one, which then serves all"
        )
    if len(second) < len(first):
        second = second.select([0] * len(first))
    pose, other = (model.align(faces.landmarks, faces.image_sizes) for faces in (first, second))
    move = pose.back(share * (other.points - pose.points))
    moved = first.landmarks + normalised(move, first.image_sizes.to(move.device)).to(first.landmarks)
    mixed = changed(first, moved, torch.lerp(first.emotions, second.emotions, share))
    return replace(
        mixed,
        origins=derived(f"mix {share!r} {model.identity}", first.origins, second.origins),
        landmarker=both(first.landmarker, second.landmarker),
        emotion_model=both(first.emotion_model, second.emotion_model),
    )


def _move(
    landmarks: Tensor, sizes: Tensor, amounts: Mapping[str, float], before: Tensor, model: ExpressionModel
) -> Tensor:
    """How far the landmarks move, (N, 478, 3); the formula is in `edit`."""
    giving_way = max([0.0, *(amount for name, amount in amounts.items() if name != "neutral")])
    total = torch.zeros_like(landmarks)
    for index, name in enumerate(EMOTIONS):
        amount = amounts.get(name, 0.0)
        spared = 1.0 if name == "neutral" else min(1.0, abs(amount))
        if amount or (giving_way and spared < 1):
            way = model.edit(landmarks, sizes, name, 1.0) - landmarks  # (N, 478, 3)
            total += (amount - giving_way * (1 - spared) * before[:, index, None, None]) * way
    return total


def changed(perceptions: Perceptions, landmarks: Tensor, emotions: Tensor) -> Perceptions:
    """The perceptions with other landmarks (N, 478, 3), normalised, and emotion probabilities (N, 7).

    Origins are for the caller to change.
    Each edge of a box moves as the outermost landmarks do. Raises ValueError for NaN or infinite values.
    """
    sizes = perceptions.image_sizes
    shift = bounding_boxes(landmarks, sizes) - bounding_boxes(perceptions.landmarks, sizes)
    return replace(perceptions, vectors=pack(landmarks, emotions), boxes=perceptions.boxes + shift)
