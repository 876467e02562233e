"""What makes two faces differ, added to a third."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..emotions.expression import ExpressionModel
from ..geometry import normalised
from ..origins import derived
from ..vector import Perceptions
from .edit import FLOOR, changed
from .join import both

FARTHEST = 1e30  # picture widths that a landmark may move: in pixels, too, float32 holds as much


def add_difference(
    a: Perceptions, b: Perceptions, c: Perceptions, strength: float, model: ExpressionModel
) -> Perceptions:
    """A + strength × (B − C): of one person smiling (B) and not (C), the smile is added to another (A).

    The rigid fit to the model's template takes pose, place and size out of all three. What is left differs between B
    and C by their expressions, and by their persons if they are two; it moves A's landmarks, turned and scaled back
    to where A is. A's pose, place and size stay, and boxes follow the landmarks.

    The emotions are multiplied by as much as those of B and C differ: p ∝ p_A × (p_B ÷ p_C)^strength, with sum 1.
    Each is reckoned from `FLOOR` upward, so that what was 0 can grow and nothing is divided by 0; where B's and C's
    are the same, A's stay exactly.

    One face of B or C serves all of A; otherwise they are paired in their order. Pictures, frames, scores and tracks
    are A's. A strength of 0 gives `a` itself, and so does an `a` without faces.

    Raises ValueError for a strength that is not finite or moves landmarks beyond all bounds (1e30 picture widths),
    and if the faces of B or C are neither one nor as many as A's.
    """
    if not math.isfinite(strength):
        raise InputError(f"the strength is {strength}; use a finite number")
    if len(a) == 0 or strength == 0:
        return a
    for name, faces in (("b", b), ("c", c)):
        if len(faces) not in (1, len(a)):
            raise InputError(
                f"{counted(len(a), 'face')} in a cannot be paired with {len(faces)} in {name}: faces are paired in "
                "their order, "
                "so use as many, or a single one, which then serves all"
            )
    pose, start, end = (model.align(faces.landmarks, faces.image_sizes) for faces in (a, c, b))
    way = pose.back(end.points - start.points)  # (N, 478, 3)
    move = strength * normalised(way, a.image_sizes).double()
    if not (move.abs() < FARTHEST).all():  # also if it is NaN
        raise InputError(f"a strength of {strength:g} moves landmarks beyond all bounds; use one nearer to 0")
    moved = (a.landmarks + move).to(a.landmarks)
    return replace(
        changed(a, moved, _shifted(a.emotions, b.emotions, c.emotions, strength)),
        origins=derived(f"add {strength!r} {model.identity}", a.origins, b.origins, c.origins),
        landmarker=both(both(a.landmarker, b.landmarker), c.landmarker),
        emotion_model=both(both(a.emotion_model, b.emotion_model), c.emotion_model),
    )


def _shifted(a: Tensor, b: Tensor, c: Tensor, strength: float) -> Tensor:
    """Probabilities p ∝ a (b ÷ c)^strength of (N, 7), (N or 1, 7) and (N or 1, 7): (N, 7)."""
    from_a, to_b, from_c = (p.double().clamp_min(FLOOR).log() for p in (a, b, c))
    evidence = to_b - from_c
    # Probabilities do not mind a shift of all logarithms: with the most favoured one's at 0, none grows without bound.
    favoured = evidence.amax(dim=1, keepdim=True) if strength > 0 else evidence.amin(dim=1, keepdim=True)
    shifted = (from_a + strength * (evidence - favoured)).softmax(dim=1).to(a)
    return torch.where((evidence != 0).any(dim=1, keepdim=True), shifted, a)
