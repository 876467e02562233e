"""Add the difference between two faces to a third."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..emotions.expression import ExpressionModel
from ..geometry import from_true_proportions
from ..origins import derived
from ..vector import Perceptions
from .edit import FLOOR, changed
from .join import both

FARTHEST = 1e30  # maximum move of a landmark, in picture widths: float32 can hold it in pixels too


def add_difference(
    a: Perceptions, b: Perceptions, c: Perceptions, strength: float, model: ExpressionModel
) -> Perceptions:
    """Return A + strength × (B − C): with one person smiling (B) and not smiling (C), A gets the smile.

    The rigid fit to the template of the model removes pose, position and size from all three. The remaining difference
    between B and C is that of their expressions, and of their identities if they are two people; it is rotated and
    scaled back to A and moves A's landmarks. A's pose, position and size stay, and boxes follow the landmarks.

    The emotions are multiplied by the ratio of those of B and C: p ∝ p_A × (p_B ÷ p_C)^strength, with sum 1. Each is
    at least `FLOOR`, so that zeros can grow and nothing is divided by 0; if B's and C's are the same, A's stay exactly.

    A single face in B or C is used for all of A; otherwise they are paired in order. Pictures, frames, scores and
    tracks are A's. If strength is 0 or `a` has no faces, `a` itself is returned.

    Raises ValueError for a strength that is not finite or moves landmarks beyond all bounds (1e30 picture widths),
    and if the number of faces in B or C is neither 1 nor that of A.
    """
    if not math.isfinite(strength):
        raise InputError(f"the strength is {strength}; use a finite number")
    if len(a) == 0 or strength == 0:
        return a
    for name, faces in (("b", b), ("c", c)):
        if len(faces) not in (1, len(a)):
            raise InputError(
                f"{counted(len(a), 'face')} in a cannot be paired with {len(faces)} in {name}: faces are paired in "
                "order, so use the same number, or a single face for all"
            )
    pose, start, end = (model.align(faces.landmarks, faces.image_sizes) for faces in (a, c, b))
    delta = pose.to_image_frame(end.points - start.points)  # (N, 478, 3)
    move = strength * from_true_proportions(delta, a.image_sizes).double()
    if not (move.abs() < FARTHEST).all():  # also if it is NaN
        raise InputError(f"a strength of {strength:g} moves landmarks beyond all bounds; use one nearer to 0")
    landmarks = (a.landmarks + move).to(a.landmarks)
    return replace(
        changed(a, landmarks, _shifted(a.emotions, b.emotions, c.emotions, strength)),
        origins=derived(f"add {strength!r} {model.identity}", a.origins, b.origins, c.origins),
        landmarker=both(both(a.landmarker, b.landmarker), c.landmarker),
        emotion_model=both(both(a.emotion_model, b.emotion_model), c.emotion_model),
    )


def _shifted(a: Tensor, b: Tensor, c: Tensor, strength: float) -> Tensor:
    """Return probabilities p ∝ a (b ÷ c)^strength, (N, 7), of a (N, 7), b (N or 1, 7) and c (N or 1, 7)."""
    from_a, to_b, from_c = (p.double().clamp_min(FLOOR).log() for p in (a, b, c))
    evidence = to_b - from_c
    # Shifting all logarithms leaves probabilities unchanged: with the largest at 0, none grows without bound.
    favored = evidence.amax(dim=1, keepdim=True) if strength > 0 else evidence.amin(dim=1, keepdim=True)
    shifted = (from_a + strength * (evidence - favored)).softmax(dim=1).to(a)
    return torch.where((evidence != 0).any(dim=1, keepdim=True), shifted, a)
