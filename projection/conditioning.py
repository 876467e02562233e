"""Projected faces into ComfyUI's CONDITIONING: pure functions, nothing is changed in place.

CONDITIONING is a list of [tokens (B, T, width), dict]. A prompt of Stable Diffusion 1.5 is one or more
blocks of 77 tokens: BOS, words, EOS, then padding, all live states. BOS is the same for every prompt and is
left alone.
A conditioning's own `strength` cancels when it is alone, so strength scales the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MODES = ("steer", "append")
BLOCK = 77  # CLIP's context length; token counts stay multiples of it, so that cond and uncond batch together

Conditioning = Sequence[Sequence[Any]]  # of [tokens, dict]


def inject(
    conditioning: Conditioning,
    vectors: Tensor,
    neutral: Tensor,
    *,
    mode: str = "steer",
    strength: float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
) -> list[list[Any]]:
    """Let projected faces act on every entry of a conditioning.

    steer:  token += strength × (vector − neutral), for every token but BOS
    append: 77 more tokens, each strength × vector

    Args:
        vectors: (F, 768); one row acts on every row of the tokens, several on a row each.
        neutral: (768,), where a neutral face projects to.
        strength: 0 returns the conditioning as it came.
        start_percent, end_percent: the part of the sampling in which the face acts, 0…1. Outside it the
            conditioning acts as it came.

    Raises ValueError for an unknown mode, a strength or range that is none, tokens of another width than the vectors,
    or row counts that do not fit.
    """
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    if not math.isfinite(strength):
        raise ValueError(f"strength must be a finite number, not {strength}")
    if not 0 <= start_percent <= end_percent <= 1:
        raise ValueError(f"start {start_percent} and end {end_percent} must be ordered, between 0 and 1")
    result: list[list[Any]] = []
    for tokens, options in conditioning:
        changed = tokens if strength == 0 else _apply(tokens, vectors, neutral, mode, strength)
        result += _scheduled(tokens, changed, dict(options), start_percent, end_percent)
    return result


def _apply(tokens: Tensor, vectors: Tensor, neutral: Tensor, mode: str, strength: float) -> Tensor:
    width, expected = vectors.shape[-1], tokens.shape[-1]
    if width != expected:
        raise ValueError(
            f"the checkpoint projects into {width} dimensions, but the conditioning has {expected}: it is of "
            "another model family. Use Stable Diffusion 1.5, or a checkpoint trained for your model"
        )
    rows = (len(tokens), len(vectors))
    if min(rows) != 1 and rows[0] != rows[1]:
        raise ValueError(f"{rows[1]} faces do not fit a conditioning of {rows[0]} rows; give one face, or {rows[0]}")
    base = tokens.float().expand(max(rows), -1, -1)  # (B, T, width)
    vectors = vectors.to(base)[:, None]  # (F, 1, width)
    if mode == "steer":
        changed = base + strength * (vectors - neutral.to(base)) * _not_bos(base)
    else:
        changed = torch.cat([base, (strength * vectors).expand(len(base), BLOCK, -1)], dim=1)
    return changed.to(tokens.dtype)


def _not_bos(tokens: Tensor) -> Tensor:
    """(T, 1): 0 for the first token of every block, else 1."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    block = BLOCK if tokens.shape[1] % BLOCK == 0 else tokens.shape[1]
    return (positions % block != 0).to(tokens.dtype)[:, None]


def _scheduled(tokens: Tensor, changed: Tensor, options: dict[str, Any], start: float, end: float) -> list[list[Any]]:
    """`changed` between start and end, `tokens` before and after, all within the entry's own range."""
    first, last = options.get("start_percent", 0.0), options.get("end_percent", 1.0)
    start, end = max(start, first), min(end, last)
    if changed is tokens or start >= end:
        return [[tokens, options]]
    entries: list[list[Any]] = []
    for part, begin, finish in ((tokens, first, start), (changed, start, end), (tokens, end, last)):
        if begin < finish:
            entries.append([part, {**options, "start_percent": begin, "end_percent": finish}])
    if len(entries) == 1:  # the whole range: say nothing of it that was not said before
        entries[0][1] = options
    return entries
