"""What Emotion Prompts and Mix by Emotion share: the widgets of the blend, its weights, and how they are described."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.words import counted
from ...perception.vector import EMOTIONS, NEUTRAL, Perceptions
from ...projection.choice import FACE_CHOICES, choose
from ...projection.mixing import TEMPERATURES, weights
from ..support.checks import check_choice

LISTED_FACES = 20  # faces or pictures in the text


def blending_inputs(neutral: str) -> list[Any]:
    """Return the widgets that control the blend; `neutral` names what strength 0 returns."""
    return [
        io.Float.Input(
            "temperature",
            default=1.0,
            min=TEMPERATURES[0],
            max=TEMPERATURES[1],
            step=0.05,
            tooltip="How evenly the emotions are blended, 0.05 to 5, unitless: 1 uses the probabilities as they are, "
            "lower values favor the strongest emotion, higher values even them out.",
        ),
        io.Int.Input(
            "top_k",
            default=len(EMOTIONS),
            min=1,
            max=len(EMOTIONS),
            tooltip="How many of the seven emotions to blend, 1 to 7, the most probable first. 7 changes smoothly from "
            "picture to picture; with fewer, emotions appear and disappear abruptly.",
        ),
        io.Float.Input(
            "strength",
            default=1.0,
            min=-2.0,
            max=3.0,
            step=0.05,
            tooltip=f"How far to move from {neutral}, −2 to 3, unitless: 0 is neutral, 1 is the blend, higher values "
            "exaggerate the expression, negative values push away from it.",
        ),
        io.Combo.Input(
            "faces",
            options=list(FACE_CHOICES),
            default=FACE_CHOICES[0],
            tooltip="Which faces to use when there are several. first: the first face of the first picture that has "
            "one. mean: the average of all. each: all act together, as with Conditioning (Combine). per frame: one row "
            "for each picture, from its first face, for a latent batch of the same length; a picture without a face is "
            "neutral.",
        ),
    ]


@dataclass(frozen=True)
class Blend:
    """The weights of the emotions."""

    parts: list[Tensor]  # (R, 7) each, for the rows of one conditioning
    text: str  # a line for each face or picture, and the strength


def blend(
    perceptions: Perceptions,
    faces: str,
    temperature: float,
    top_k: int,
    strength: float,
    *,
    among: Collection[str] = EMOTIONS,
) -> Blend:
    """Return the weights of the emotions `among`, which include neutral; what other emotions weigh, neutral does."""
    check_choice("faces", faces, FACE_CHOICES)
    no_face = torch.zeros(1, len(EMOTIONS)), torch.zeros(1, dtype=torch.bool)
    chosen = choose(perceptions.emotions, perceptions, faces) if len(perceptions) else [no_face]
    parts = [(_shares(rows, seen, temperature, top_k, among), seen) for rows, seen in chosen]
    return Blend([rows for rows, _ in parts], _summary(parts, len(perceptions), faces, strength))


def _shares(probabilities: Tensor, seen: Tensor, temperature: float, top_k: int, among: Collection[str]) -> Tensor:
    """Return the weights (R, 7) of the emotions; a row without a face is neutral."""
    neutral = torch.zeros(len(EMOTIONS))
    neutral[NEUTRAL] = 1
    shares = weights(probabilities, temperature, top_k).where(seen[:, None], neutral)
    if len(among) == len(EMOTIONS):
        return shares
    shares *= torch.tensor([emotion in among and emotion != EMOTIONS[NEUTRAL] for emotion in EMOTIONS])
    shares[:, NEUTRAL] = 1 - shares.sum(dim=1)  # exactly 1 beside nothing else
    return shares


def _summary(parts: Sequence[tuple[Tensor, Tensor]], face_count: int, faces: str, strength: float) -> str:
    """Describe the blend, with a line for each face or picture."""
    if not face_count:
        return "no face: using the neutral prompt"
    rows = [row for part, _ in parts for row in part]
    seen = [one for _, part in parts for one in part.tolist()]
    lines = [_mixture(row) if one else "no face: using the neutral prompt" for row, one in zip(rows, seen, strict=True)]
    if faces in ("each", "per frame"):
        what = "face" if faces == "each" else "picture"
        lines = [f"{what} {index}: {line}" for index, line in enumerate(lines)]
    else:
        lines[0] = f"{faces} of {counted(face_count, 'face')}: {lines[0]}"
    more = [f"… and {len(lines) - LISTED_FACES} more"] if len(lines) > LISTED_FACES else []
    return "\n".join([*lines[:LISTED_FACES], *more, f"strength {strength:g}"])


def _mixture(row: Tensor) -> str:
    """Return a line such as `happy 82%, surprise 11%, neutral 7%`, strongest first, without those that round to 0."""
    values, order = row.sort(descending=True)
    named = zip(order.tolist(), values.tolist(), strict=True)
    return ", ".join(f"{EMOTIONS[index]} {value:.0%}" for index, value in named if value >= 0.005)
