"""Edit the expression of perceptions, and mix the perceptions of two faces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..emotions.expression import ExpressionModel
from ..geometry import from_true_proportions
from ..origins import derived
from ..vector import EMOTIONS, Perceptions, bounding_boxes, pack
from .join import both

FLOOR = 1e-4  # minimum probability, so that zeros can grow too


def edit(
    perceptions: Perceptions, sliders: Mapping[str, float], strength: float, model: ExpressionModel
) -> Perceptions:
    """Return perceptions with another expression; pose, position and identity stay, and boxes follow the landmarks.

    `sliders` has an amount for each emotion to change, by its name in `EMOTIONS`: 1 adds the average expression,
    larger values exaggerate, negative values remove it. For neutral, 1 removes every emotion that the model detects.
    All are multiplied by `strength`; if nothing changes, the same perceptions are returned. Raises ValueError for an
    unknown emotion and for amounts that are not finite.

    With a_e = strength × slider, d_e the displacement toward an emotion (`ExpressionModel.displacement`) and p_e the
    emotion probabilities that the model computes for the unchanged landmarks, the landmarks move by

        Σ a_e d_e − max(0, a_1 … a_6) Σ p_e max(0, 1 − |a_e|) d_e        (neutral only in the first sum)

    The second sum removes the existing expression in proportion to the highest slider, except for emotions that have a
    slider themselves. Without it a smile would remain underneath added anger, and a smiling face made fearful would
    even be classified as less fearful: what the mean faces of fear and joy have in common makes the smile broader.
    """
    amounts = checked_amounts(sliders, strength, "emotion", EMOTIONS)
    if len(perceptions) == 0 or not any(amounts.values()):
        return perceptions
    landmarks, sizes = perceptions.landmarks, perceptions.image_sizes
    before = model.probabilities(landmarks, sizes)  # (N, 7)
    edited = landmarks + _displacement(landmarks, sizes, amounts, before, model)
    return following(perceptions, edited, before, amounts, model.identity, model)


def mix(first: Perceptions, second: Perceptions, share: float, model: ExpressionModel) -> Perceptions:
    """Return faces between two: with the pose, position and size of `first`, and a shape between both.

    `share` 0 returns exactly `first`; 1 has the shape of `second`, both person and expression, aligned with the pose of
    the first by the rigid fit of both to the template of the model. Boxes follow, and emotions are mixed linearly. A
    single second face is used for all first ones; otherwise they are paired in order. Pictures, frames, scores and
    tracks are those of the first.

    Raises ValueError for a share outside 0…1, or if the number of second faces is neither 1 nor that of the first.
    """
    if not 0 <= share <= 1:
        raise InputError(f"the share is {share}; use a number from 0 to 1")
    if len(first) == 0 or share == 0:
        return first
    if len(second) not in (1, len(first)):
        raise InputError(
            f"{counted(len(first), 'face')} cannot be mixed with {len(second)}: faces are paired in order, so use the "
            "same number, or a single face for all"
        )
    pose, other = (model.align(faces.landmarks, faces.image_sizes) for faces in (first, second))
    move = pose.to_image_frame(share * (other.points - pose.points))
    landmarks = first.landmarks + from_true_proportions(move, first.image_sizes)
    return replace(
        changed(first, landmarks, torch.lerp(first.emotions, second.emotions, share)),
        origins=derived(f"mix {share!r} {model.identity}", first.origins, second.origins),
        landmarker=both(first.landmarker, second.landmarker),
        emotion_model=both(first.emotion_model, second.emotion_model),
    )


def _displacement(
    landmarks: Tensor, sizes: Tensor, amounts: Mapping[str, float], before: Tensor, model: ExpressionModel
) -> Tensor:
    """Return the displacement of the landmarks, (N, 478, 3); the formula is in `edit`."""
    highest = max([0.0, *(amount for name, amount in amounts.items() if name != "neutral")])
    total = torch.zeros_like(landmarks)
    for index, name in enumerate(EMOTIONS):
        amount = amounts.get(name, 0.0)
        kept = 1.0 if name == "neutral" else min(1.0, abs(amount))
        if amount or (highest and kept < 1):
            share = amount - highest * (1 - kept) * before[:, index, None, None]
            total += share * model.displacement(landmarks, sizes, index)
    return total


def checked_amounts(sliders: Mapping[str, float], strength: float, kind: str, names: Sequence[str]) -> dict[str, float]:
    """Return strength × slider by name. Raises InputError for a name not in `names`, and if one is not finite."""
    unknown = [name for name in sliders if name not in names]
    if unknown:
        raise InputError(f"unknown {kind} {unknown[0]!r}; choose from {', '.join(names)}")
    amounts = {name: strength * slider for name, slider in sliders.items()}
    for name, amount in amounts.items():
        if not math.isfinite(amount):
            raise InputError(f"the amount of {name} is {amount}; use a finite number")
    return amounts


def following(
    perceptions: Perceptions,
    landmarks: Tensor,
    before: Tensor,
    amounts: Mapping[str, float],
    models: str,
    model: ExpressionModel,
) -> Perceptions:
    """Return perceptions with other landmarks (N, 478, 3), and emotions that follow them.

    `amounts`, and the identities of the `models` that turned them into landmarks, go into the origins.

    The emotions become p × q_after ÷ q_before, with sum 1, where q is the output of the model for the landmarks
    (`before` (N, 7) for the old ones). If the model itself classified the faces, this equals its new output. The output
    of another emotion model is changed by the same factor, not discarded.
    """
    changes = ", ".join(f"{name} {amount!r}" for name, amount in sorted(amounts.items()) if amount)
    after = model.probabilities(landmarks, perceptions.image_sizes)
    evidence = after.clamp_min(FLOOR).log() - before.clamp_min(FLOOR).log()
    emotions = (perceptions.emotions.clamp_min(FLOOR).log() + evidence).softmax(dim=1)
    return replace(
        changed(perceptions, landmarks, emotions), origins=derived(f"edit {changes} {models}", perceptions.origins)
    )


def changed(perceptions: Perceptions, landmarks: Tensor, emotions: Tensor) -> Perceptions:
    """Return the perceptions with other landmarks (N, 478, 3), normalized, and emotion probabilities (N, 7).

    The caller must change the origins. Each edge of a box moves with the outermost landmarks. Raises
    ValueError for NaN or infinite values.
    """
    sizes = perceptions.image_sizes
    shift = bounding_boxes(landmarks, sizes) - bounding_boxes(perceptions.landmarks, sizes)
    return replace(perceptions, vectors=pack(landmarks, emotions), boxes=perceptions.boxes + shift)
