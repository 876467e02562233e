"""Mix conditionings by facial expression, with pure functions and without training, for any model family.

A prompt is encoded for each emotion by the graph's own CLIP, and the conditionings are summed, weighted by the emotion
probabilities. The same is done with the tensors that accompany the tokens, such as `pooled_output`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.words import counted
from .alignment import longest_text, positions_of_states, positions_of_tokens
from .conditioning import Conditioning

TEMPERATURES = (0.05, 5.0)  # minimum and maximum
SUM_TOLERANCE = 1e-3

Parts = Sequence[Sequence[int]]  # ids of the tokens of a prompt, from each text encoder whose states are concatenated


def weights(probabilities: Tensor, temperature: float, top_k: int) -> Tensor:
    """Return weights (F, E) float32 for probabilities (F, E); the rows of both sum to 1.

    They are p^(1 ÷ temperature), of which the `top_k` largest are kept and the others are 0. A temperature below 1
    sharpens, one above 1 evens out; at the minimum, 0.05, little more than the largest remains. A row of zeros counts
    as equal probabilities.

    Raises ValueError for a temperature outside 0.05…5 or a `top_k` outside 1…E.
    """
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise InputError(f"temperature is {temperature}; use a number from {TEMPERATURES[0]} to {TEMPERATURES[1]:g}")
    if not 1 <= top_k <= probabilities.shape[1]:
        raise InputError(f"top_k is {top_k}; use a whole number from 1 to {probabilities.shape[1]}")
    floor = torch.finfo(torch.float32).tiny  # not 0, whose logarithm is infinite: a row of zeros would become NaN
    logits = probabilities.float().clamp_min(floor).log() / temperature
    kept = logits.topk(top_k, dim=1)
    return torch.zeros_like(logits).scatter(1, kept.indices, kept.values.softmax(dim=1))


def mix(
    conditionings: Sequence[Conditioning],
    weights: Tensor,
    strength: float,
    origin: int,
    tokens: Sequence[Parts | None] = (),
) -> list[list[Any]]:
    """Return a mix of conditionings, from the origin (strength 0) to their weighted sum (strength 1) and beyond.

        c_origin + strength × (Σ weight_e × c_e − c_origin)

    Values above 1 exaggerate, values below 0 push away. Strength 0, or weight 1 for the origin, returns the origin bit
    for bit. Sums are computed in float32 or better and clamped to the range of the dtype; dtype and device stay.

    Lists of several entries (from a CLIP with scheduled hooks, for example) are mixed entry by entry. In each entry the
    tokens are mixed, as is every other floating-point tensor, such as `pooled_output`, that all have in the same
    shape. The rest, masks included, comes from the longest prompt, since a mask has to fit the tokens. If several are
    equally long, it comes from the one with the largest weight in the first row, which is closest to the whole mix.
    What that one lacks, such as reference pictures, comes from the others.

    Prompts differ in the number of their tokens. Their common beginnings and common ends are mixed with each other, and
    what is between them is filled where it is shorter; see projection/alignment.py. Conditionings without weight are
    left out and do not lengthen the result.

    Args:
        conditionings: E conditionings from the same CLIP.
        weights: (R, E), each row sums to 1; one row for each row of the result.
        strength: any finite number, no unit.
        origin: index of the conditioning that strength 0 returns.
        tokens: for each conditioning, the ids of its tokens, if known. Without them, prompts whose conditionings have
            the same length are mixed position by position.

    Raises ValueError for weights that do not fit, a strength that is not finite, lists of different lengths, and
    tokens of different widths.
    """
    if weights.ndim != 2 or weights.shape[1] != len(conditionings) or len(weights) == 0:
        raise InputError(f"weights must have the shape (R, {len(conditionings)}), R ≥ 1, not {tuple(weights.shape)}")
    goal = weights.cpu().double()  # in which 1 + strength × (1 − 1) and the like are exact
    if not ((goal.sum(dim=1) - 1).abs() <= SUM_TOLERANCE).all():
        raise InputError("each row of weights must sum to 1")
    if not math.isfinite(strength):
        raise InputError(f"strength must be a finite number, not {strength}")
    counts = [len(conditioning) for conditioning in conditionings]
    if len(set(counts)) > 1:
        raise InputError(
            f"conditionings with {', '.join(map(str, counts))} entries cannot be mixed; encode all prompts with the "
            "same CLIP"
        )
    start = torch.zeros_like(goal)
    start[:, origin] = 1
    shares = torch.lerp(start, goal, strength)  # (R, E)
    used = [index for index in range(len(conditionings)) if shares[:, index].any()]
    used.sort(key=lambda index: float(goal[0, index]), reverse=True)
    parts = [tokens[index] if tokens else None for index in used]
    return [
        _mixed([conditionings[index][entry] for index in used], shares[:, used], parts) for entry in range(counts[0])
    ]


def _mixed(entries: Sequence[Sequence[Any]], shares: Tensor, parts: Sequence[Parts | None]) -> list[Any]:
    """Return a mix of several entries with shares (R, U)."""
    aligned, longest = _aligned([states for states, _ in entries], parts, len(shares))
    options = entries[longest][1]
    result = dict(options)
    for _, others in entries:
        result |= {name: value for name, value in others.items() if name not in result and "mask" not in name}
    for name in options:
        values = [other.get(name) for _, other in entries]
        if "mask" not in name and _are_alike(values, len(shares)):
            result[name] = _sum(values, shares)
    return [_sum(aligned, shares), result]


def _are_alike(values: Sequence[Any], rows: int) -> bool:
    """Return whether the values are tensors that can be mixed into this number of rows."""
    if not all(isinstance(value, Tensor) and value.is_floating_point() and value.ndim for value in values):
        return False
    return len({value.shape for value in values}) == 1 and (rows == 1 or len(values[0]) in (1, rows))


def _aligned(states: Sequence[Tensor], parts: Sequence[Parts | None], rows: int) -> tuple[list[Tensor], int]:
    """Return states (B, T, width) of different T extended to one T, and the index of the longest prompt."""
    shapes = [tuple(one.shape) for one in states]
    if len({(batch, width) for batch, _, width in shapes}) > 1 or (rows > 1 and shapes[0][0] not in (1, rows)):
        raise InputError(
            f"tokens of the shapes {', '.join(map(str, shapes))} cannot be mixed into {counted(rows, 'row')}; encode "
            "all prompts with the same CLIP"
        )
    known = [ids for ids, shape in zip(parts, shapes, strict=True) if ids and sum(map(len, ids)) == shape[1]]
    if len(known) < len(states) or len({len(ids) for ids in known}) > 1:
        positions = positions_of_states([one.transpose(0, 1).flatten(1) for one in states])
        return _taken(states, positions), max(range(len(states)), key=lambda index: shapes[index][1])
    pieces = [one.split([len(ids) for ids in prompt], dim=1) for one, prompt in zip(states, known, strict=True)]
    aligned = [
        _taken(of_part, positions_of_tokens(ids))
        for of_part, ids in zip(zip(*pieces, strict=True), zip(*known, strict=True), strict=True)
    ]
    longest = longest_text([[token for ids in prompt for token in ids] for prompt in known])
    return [torch.cat(of_prompt, dim=1) for of_prompt in zip(*aligned, strict=True)], longest


def _taken(states: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
    return [one[:, places.to(one.device)] for one, places in zip(states, positions, strict=True)]


def _sum(tensors: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Return Σ share × tensor (R, …) for tensors (1 or R, …) and shares (R, U), in dtype and device of the first."""
    dtype, device = tensors[0].dtype, tensors[0].device
    exact = torch.promote_types(dtype, torch.float32)
    limit = torch.finfo(exact).max
    factors = shares.clamp(-limit, limit).to(exact).to(device)
    factors = factors.view(*shares.shape, *[1] * (tensors[0].ndim - 1))  # (R, U, 1, …)
    total = (factors[:, 0] * tensors[0].to(exact)).clamp_(-limit, limit)
    for index, tensor in enumerate(tensors[1:], start=1):
        total.addcmul_(factors[:, index], tensor.to(device, exact)).clamp_(-limit, limit)  # each time: ∞ − ∞ is NaN
    limit = torch.finfo(dtype).max
    return total.clamp_(-limit, limit).to(dtype)
