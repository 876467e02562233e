"""Apply projected faces to ComfyUI's CONDITIONING, with pure functions: nothing is changed in place.

CONDITIONING is a list of [tokens (B, T, width), dict]. A Stable Diffusion prompt is one or more blocks of 77 tokens:
BOS, words, EOS, then padding, all of them live states. BOS is the same for every prompt and is never changed. The
`strength` of a conditioning cancels out when it is the only one, so strength scales the embedding instead.
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
SAME = 1e-2  # a token this close to the pooled output, relative to its length, is the end of the text
LARGEST = 1e15  # numbers are clamped to this, so that their squares stay finite

Conditioning = Sequence[Sequence[Any]]  # of [tokens, dict]
Entry = tuple[Tensor, Mapping[str, Any]]


@dataclass(frozen=True)
class Push:
    """How faces are applied to tokens; see `inject`."""

    vectors: Tensor  # (F, W)
    neutral: Tensor  # (F, W)
    seen: Tensor  # (F,) bool: False leaves the row unchanged
    mode: str
    strength: float
    match_norm: bool


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
    match_norm: bool = False,
    seen: Tensor | None = None,
    clip_l_only: bool = False,
) -> list[list[Any]]:
    """Return a conditioning with projected faces applied to every entry.

    With v the face, n the neutral face and s the strength:

    steer:   token + s × (v − n)         for every token but BOS
    blend:   token + s × (v − token)     for the end of the text and the padding behind it
    replace: token + s × (v − token)     for every token but BOS
    append:  the unchanged prompt, followed by a copy of it with replace applied

    The end of the text is the token whose state equals the `pooled_output` of the entry; in a block without such a
    token (later blocks of a long prompt, CLIP skip, SDXL), `blend` changes every token but BOS. Stable Diffusion XL
    also reads `pooled_output`: there it is changed by the same formula, except with append. Everything else in an entry
    stays the same.

    Args:
        vectors: (F, W) of the space. Rows of tokens and of faces are paired; the shorter batch is repeated from the
            start, as ComfyUI does.
        neutral: (W,), the projection of a neutral face, or (F, W), one for each face.
        strength: any finite number. 0 returns the tensors of the entries unchanged; negative values push away from the
            face.
        start_percent, end_percent: the part of the sampling during which the face is applied, 0…1. Outside it the
            unchanged entry is used.
        match_norm: multiply v and n by the mean length of the changed tokens ÷ the length of v.
        seen: (F,) bool, False for a row of `vectors` that is not a face: its row of the conditioning stays unchanged.
        clip_l_only: apply vectors of the sd15 space to the CLIP-L part of Stable Diffusion XL's tokens.

    Results are finite for finite input: they are clamped to the range of their dtype.

    Raises ValueError for an unknown mode, an invalid strength or range, or tokens of another space.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    if not math.isfinite(strength):
        raise InputError(f"strength must be a finite number, not {strength}")
    if not 0 <= start_percent <= end_percent <= 1:
        raise InputError(
            f"start_percent is {start_percent:g} and end_percent is {end_percent:g}; set both from 0 to 1, with "
            "start_percent no higher than end_percent"
        )
    seen = torch.ones(len(vectors), dtype=torch.bool) if seen is None else seen
    parts = (space.tokens, space.pooled)
    pairs = zip(vectors.split(parts, dim=1), neutral.expand_as(vectors).split(parts, dim=1), strict=True)
    push, pooled_push = (
        Push(v.clamp(-LARGEST, LARGEST), n.clamp(-LARGEST, LARGEST), seen, mode, strength, match_norm) for v, n in pairs
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
    """Raise ValueError with the remedy if vectors of this space cannot be applied to these tokens."""
    if tokens.ndim != 3:
        raise InputError(f"the tokens of a conditioning must have the shape (B, T, width), not {tuple(tokens.shape)}")
    width = tokens.shape[-1]
    if width == space.tokens or (clip_l_only and space is SD15 and width == SDXL.tokens):
        return
    remedies = [
        f"a {space.title} model",
        "a checkpoint trained for your model",
        "Emotion Prompts, which needs no checkpoint",
    ]
    if space is SD15 and width == SDXL.tokens:
        remedies[1] = "a checkpoint trained with this model's CLIP (Starter Projection, or training with --space sdxl)"
        remedies.insert(2, "clip_l_only, which applies this checkpoint to the CLIP-L part")
    raise InputError(
        f"the checkpoint targets {space.title} ({space.tokens} dimensions), but the conditioning has {width} "
        f"({title_of(width)}). Use one of these: {'; '.join(remedies)}"
    )


def pushed_tokens(tokens: Tensor, pooled: Tensor | None, push: Push) -> Tensor:
    """Return tokens (B, T, width) with the push applied: (max(B, F), T, width), or (max(B, F), 2 T, width) for append.

    Dtype and device stay the same. If the tokens are wider than the vectors, only their first numbers change.
    """
    rows = max(len(tokens), len(push.vectors))
    base = cycled(tokens.float(), rows)
    acting = text_end(base, pooled) if push.mode == "blend" else not_bos(base).expand(rows, -1)  # (R, T)
    width = push.vectors.shape[1]
    changed = _pushed(base[..., :width], acting, push)
    if width < base.shape[-1]:
        changed = torch.cat([changed, base[..., width:]], dim=-1)
    if push.mode == "append":
        changed = torch.cat([base, changed], dim=1)
    return as_before(changed, tokens)


def pushed_pooled(pooled: Tensor, push: Push) -> Tensor:
    """Return a pooled output (B, width) with the push applied, (max(B, F), width)."""
    base = cycled(pooled.float(), max(len(pooled), len(push.vectors)))[:, None]  # one token each
    everything = torch.ones(base.shape[:2], dtype=torch.bool, device=base.device)
    return as_before(_pushed(base, everything, push)[:, 0], pooled)


def _pushed(base: Tensor, acting: Tensor, push: Push) -> Tensor:
    """Return tokens (R, T, W) with the push applied where the mask `acting` (R, T) is True."""
    rows = len(base)
    vectors, neutral = (cycled(some.to(base), rows)[:, None] for some in (push.vectors, push.neutral))  # (R, 1, W)
    seen = cycled(push.seen.to(base.device), rows)[:, None]  # (R, 1)
    scale: Tensor | float = 1.0
    if push.match_norm:
        scale = typical_length(base, acting) / vectors.norm(dim=-1, keepdim=True).clamp_min(1 / LARGEST)
    delta = (vectors - neutral) * scale if push.mode == "steer" else vectors * scale - base
    return torch.where((acting & seen)[..., None], torch.add(base, delta, alpha=push.strength), base)


def typical_length(tokens: Tensor, acting: Tensor) -> Tensor:
    """Return the mean length (R, 1, 1) of the tokens (R, T, W) that are in the mask (R, T)."""
    lengths = tokens.clamp(-LARGEST, LARGEST).norm(dim=-1)  # (R, T)
    counts = acting.sum(dim=1).clamp_min(1)
    mean: Tensor = (lengths * acting).sum(dim=1) / counts
    return mean[:, None, None]


def not_bos(tokens: Tensor) -> Tensor:
    """Return a mask (1, T) bool that is False for the first token of every block."""
    first: Tensor = torch.arange(tokens.shape[1], device=tokens.device) % _block(tokens) == 0
    return ~first[None]


def text_end(tokens: Tensor, pooled: Tensor | None) -> Tensor:
    """Return a mask (R, T) bool of the end of the text and the padding after it.

    The tokens are (R, T, W), their pooled output is (B, W). In a block without a token that equals the pooled output,
    it is every token but BOS.
    """
    tail = not_bos(tokens).expand(len(tokens), -1)
    if pooled is None or pooled.shape[-1] != tokens.shape[-1]:
        return tail
    ends = cycled(pooled.to(tokens), len(tokens))[:, None]  # (R, 1, W)
    matches = (tokens - ends).norm(dim=-1) <= SAME * ends.norm(dim=-1)
    blocks = matches.unflatten(1, (-1, _block(tokens)))  # (R, blocks, 77)
    behind = (blocks.cumsum(dim=2) > 0) | ~blocks.any(dim=2, keepdim=True)
    end: Tensor = behind.flatten(1) & tail
    return end


def _block(tokens: Tensor) -> int:
    """Return the number of tokens in a block: BLOCK, or all tokens if they do not form whole blocks."""
    count = tokens.shape[1]
    return BLOCK if count % BLOCK == 0 else count


def cycled(tensor: Tensor, rows: int) -> Tensor:
    """Return `rows` rows of the tensor, repeated from the start."""
    if len(tensor) == 1 or len(tensor) == rows:
        return tensor.expand(rows, *tensor.shape[1:])
    return tensor[torch.arange(rows, device=tensor.device) % len(tensor)]


def as_before(changed: Tensor, original: Tensor) -> Tensor:
    """Return `changed`, which is overwritten, clamped and converted to the dtype of `original`."""
    limits = torch.finfo(original.dtype)
    return changed.clamp_(limits.min, limits.max).to(original.dtype)


def scheduled(before: Entry, after: Entry, start: float, end: float) -> list[list[Any]]:
    """Return `after` from start to end and `before` around it, within the entry's own range; dicts are copied."""
    options = before[1]
    first, last = options.get("start_percent", 0.0), options.get("end_percent", 1.0)
    start, end = max(start, first), min(end, last)
    if after is before or start >= end:
        return [[before[0], dict(options)]]
    if (start, end) == (first, last):  # the whole range: add no keys
        return [[after[0], dict(after[1])]]
    return [
        [tokens, {**kept, "start_percent": begin, "end_percent": finish}]
        for (tokens, kept), begin, finish in ((before, first, start), (after, start, end), (before, end, last))
        if begin < finish
    ]
