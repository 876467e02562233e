"""Projected faces into ComfyUI's CONDITIONING: pure functions, nothing is changed in place.

CONDITIONING is a list of [tokens (B, T, width), dict]. A prompt of Stable Diffusion is one or more blocks of 77 tokens:
BOS, words, EOS, then padding, all live states. BOS is the same for every prompt and is left alone. A conditioning's own
`strength` cancels when it is alone, so strength scales the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..common.errors import InputError
from .spaces import SD15, SDXL, Space, title_of

MODES = ("steer", "blend", "replace", "append")
BLOCK = 77  # CLIP's context length
SAME = 1e-2  # a token this near to the pooled output, as a share of its length, is the end of the text
LARGEST = 1e15  # numbers are taken as no larger: their squares stay finite

Conditioning = Sequence[Sequence[Any]]  # of [tokens, dict]
Entry = tuple[Tensor, Mapping[str, Any]]


@dataclass(frozen=True)
class Push:
    """How faces act on tokens; see `inject`."""

    vectors: Tensor  # (F, W)
    neutral: Tensor  # (F, W)
    seen: Tensor  # (F,) bool: False leaves the row as it came
    mode: str
    strength: float
    normalise: bool


def inject(
    conditioning: Conditioning,
    vectors: Tensor,
    neutral: Tensor,
    *,
    space: Space = SD15,
    mode: str = "steer",
    strength: float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    normalise: bool = False,
    seen: Tensor | None = None,
    clip_l_only: bool = False,
) -> list[list[Any]]:
    """Let projected faces act on every entry of a conditioning. With v the face, n the neutral face, s the strength:

    steer:   token + s × (v − n)         for every token but BOS
    blend:   token + s × (v − token)     for the end of the text and the padding behind it
    replace: token + s × (v − token)     for every token but BOS
    append:  the prompt as it is, and behind it once more, replaced

    The end of the text is the token whose state is the entry's `pooled_output`; in a block of tokens where none is
    (later blocks of a long prompt, CLIP skip, SDXL), `blend` takes every token but BOS. Stable Diffusion XL reads
    `pooled_output` too: there it moves by the same formula, but not with append. All else in an entry stays.

    Args:
        vectors: (F, W) of the space. Rows of tokens and of faces are paired; the fewer are repeated from the start, as
            ComfyUI does with batches.
        neutral: (W,), where a neutral face projects to, or (F, W), one for each face.
        strength: any finite number. 0 returns the entries' tensors as they came; less turns away from the face.
        start_percent, end_percent: the part of the sampling in which the face acts, 0…1. Outside it the entry acts as
            it came.
        normalise: multiply v and n by the mean length of the tokens acted upon ÷ the length of v.
        seen: (F,) bool, False for a row of `vectors` that is no face: its row of the conditioning stays as it came.
        clip_l_only: let vectors of the sd15 space act on the CLIP-L part of Stable Diffusion XL's tokens.

    Results are finite for finite input: they are clamped to what their dtype holds.

    Raises ValueError for an unknown mode, a strength or range that is none, or tokens of another space.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    if not math.isfinite(strength):
        raise InputError(f"strength must be a finite number, not {strength}")
    if not 0 <= start_percent <= end_percent <= 1:
        raise InputError(
            f"start_percent is {start_percent:g} and end_percent is {end_percent:g}; set both from 0 to 1, and "
            "start_percent no higher than end_percent"
        )
    seen = torch.ones(len(vectors), dtype=torch.bool) if seen is None else seen
    parts = (space.tokens, space.pooled)
    pairs = zip(vectors.split(parts, dim=1), neutral.expand_as(vectors).split(parts, dim=1), strict=True)
    push, pooled_push = (
        Push(v.clamp(-LARGEST, LARGEST), n.clamp(-LARGEST, LARGEST), seen, mode, strength, normalise) for v, n in pairs
    )
    result: list[list[Any]] = []
    for tokens, options in conditioning:
        check_width(tokens, space, clip_l_only)
        before: Entry = (tokens, options)
        after = before
        if strength != 0 and bool(seen.any()):
            pooled = options.get("pooled_output")
            after = pushed_tokens(tokens, pooled, push), options
            if space.pooled and mode != "append" and pooled is not None and pooled.shape[-1] == space.pooled:
                after = after[0], {**options, "pooled_output": pushed_pooled(pooled, pooled_push)}
        result += scheduled(before, after, start_percent, end_percent)
    return result


def check_width(tokens: Tensor, space: Space, clip_l_only: bool) -> None:
    """Raise ValueError, with the remedy, for tokens that vectors of this space cannot act on."""
    if tokens.ndim != 3:
        raise InputError(f"a conditioning's tokens must have the shape (B, T, width), not {tuple(tokens.shape)}")
    width = tokens.shape[-1]
    if width == space.tokens or (clip_l_only and space is SD15 and width == SDXL.tokens):
        return
    remedies = [f"use {space.title}", "a checkpoint trained for your model", "Emotion Prompts, which needs none"]
    if space is SD15 and width == SDXL.tokens:
        remedies[1] = "a checkpoint made with this model's CLIP (Starter Projection, or training with --space sdxl)"
        remedies.insert(2, "clip_l_only, which lets this one act on the CLIP-L part")
    raise InputError(
        f"the checkpoint projects into {space.tokens} dimensions, {space.title}'s, but the conditioning has {width}: "
        f"it is of {title_of(width)}. Use one of these: {'; '.join(remedies)}"
    )


def pushed_tokens(tokens: Tensor, pooled: Tensor | None, push: Push) -> Tensor:
    """Tokens (B, T, width) → (max(B, F), T, width), with append (max(B, F), 2 T, width); dtype and device stay.

    Of tokens wider than the vectors the first numbers are pushed.
    """
    rows = max(len(tokens), len(push.vectors))
    base = cycled(tokens.float(), rows)
    acting = text_end(base, pooled) if push.mode == "blend" else not_bos(base).expand(rows, -1)  # (R, T)
    width = push.vectors.shape[1]
    changed = _moved(base[..., :width], acting, push)
    if width < base.shape[-1]:
        changed = torch.cat([changed, base[..., width:]], dim=-1)
    if push.mode == "append":
        changed = torch.cat([base, changed], dim=1)
    return as_before(changed, tokens)


def pushed_pooled(pooled: Tensor, push: Push) -> Tensor:
    """A pooled output (B, width) → (max(B, F), width)."""
    base = cycled(pooled.float(), max(len(pooled), len(push.vectors)))[:, None]  # one token each
    everything = torch.ones(base.shape[:2], dtype=torch.bool, device=base.device)
    return as_before(_moved(base, everything, push)[:, 0], pooled)


def _moved(base: Tensor, acting: Tensor, push: Push) -> Tensor:
    """Tokens (R, T, W), of which those of the mask (R, T) move."""
    rows = len(base)
    vectors, neutral = (cycled(some.to(base), rows)[:, None] for some in (push.vectors, push.neutral))  # (R, 1, W)
    seen = cycled(push.seen.to(base.device), rows)[:, None]  # (R, 1)
    scale: Tensor | float = 1.0
    if push.normalise:
        scale = typical_length(base, acting) / vectors.norm(dim=-1, keepdim=True).clamp_min(1 / LARGEST)
    way = (vectors - neutral) * scale if push.mode == "steer" else vectors * scale - base
    return torch.where((acting & seen)[..., None], torch.add(base, way, alpha=push.strength), base)


def typical_length(tokens: Tensor, acting: Tensor) -> Tensor:
    """The mean length of those of the tokens (R, T, W) that are in the mask (R, T), as (R, 1, 1)."""
    lengths = tokens.clamp(-LARGEST, LARGEST).norm(dim=-1)  # (R, T)
    counts = acting.sum(dim=1).clamp_min(1)
    mean: Tensor = (lengths * acting).sum(dim=1) / counts
    return mean[:, None, None]


def not_bos(tokens: Tensor) -> Tensor:
    """(1, T) bool: False for the first token of every block."""
    first: Tensor = torch.arange(tokens.shape[1], device=tokens.device) % _block(tokens) == 0
    return ~first[None]


def text_end(tokens: Tensor, pooled: Tensor | None) -> Tensor:
    """Tokens (R, T, W) and their pooled output (B, W) → (R, T) bool: the end of the text and the padding behind it.

    In a block of which no token is like the pooled output, every token but BOS.
    """
    tail = not_bos(tokens).expand(len(tokens), -1)
    if pooled is None or pooled.shape[-1] != tokens.shape[-1]:
        return tail
    ends = cycled(pooled.to(tokens), len(tokens))[:, None]  # (R, 1, W)
    alike = (tokens - ends).norm(dim=-1) <= SAME * ends.norm(dim=-1)
    blocks = alike.unflatten(1, (-1, _block(tokens)))  # (R, blocks, 77)
    behind = (blocks.cumsum(dim=2) > 0) | ~blocks.any(dim=2, keepdim=True)
    found: Tensor = behind.flatten(1) & tail
    return found


def _block(tokens: Tensor) -> int:
    """How many tokens a block has: BLOCK, or all there are if they are no whole blocks."""
    count = tokens.shape[1]
    return BLOCK if count % BLOCK == 0 else count


def cycled(tensor: Tensor, rows: int) -> Tensor:
    """As many rows, repeated from the start."""
    if len(tensor) == 1 or len(tensor) == rows:
        return tensor.expand(rows, *tensor.shape[1:])
    return tensor[torch.arange(rows, device=tensor.device) % len(tensor)]


def as_before(changed: Tensor, original: Tensor) -> Tensor:
    """A new tensor, which is overwritten, in the original's dtype, clamped to its finite numbers."""
    limits = torch.finfo(original.dtype)
    return changed.clamp_(limits.min, limits.max).to(original.dtype)


def scheduled(before: Entry, after: Entry, start: float, end: float) -> list[list[Any]]:
    """`after` from start to end, `before` around it, all within the entry's own range; dicts are copied."""
    options = before[1]
    first, last = options.get("start_percent", 0.0), options.get("end_percent", 1.0)
    start, end = max(start, first), min(end, last)
    if after is before or start >= end:
        return [[before[0], dict(options)]]
    if (start, end) == (first, last):  # the whole range: say nothing of it that was not said before
        return [[after[0], dict(after[1])]]
    return [
        [tokens, {**kept, "start_percent": begin, "end_percent": finish}]
        for (tokens, kept), begin, finish in ((before, first, start), (after, start, end), (before, end, last))
        if begin < finish
    ]
