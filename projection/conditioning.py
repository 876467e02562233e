"""Apply projected faces to ComfyUI's CONDITIONING, with pure functions: nothing is changed in place.

CONDITIONING is a list of [tokens (B, T, width), dict]. A Stable Diffusion prompt is one or more blocks of 77 tokens:
BOS, words, EOS, then padding, all of them live states. BOS is the same for every prompt and is never changed; where.py
selects the tokens that change. The `strength` of a conditioning cancels out when it is the only one, so strength scales
the embedding instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..common.errors import InputError
from .face_vectors import FaceVectors
from .spaces import SD15, SDXL, Space, title_of
from .where import ALL, END, SUBJECT, WHERE, WORDS, Roles, cycled, masks, usable

MODES = ("steer", "blend", "replace", "append")
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

    def columns(self, start: int, end: int) -> Push:
        """Return the push with these numbers of the vectors only."""
        return replace(self, vectors=self.vectors[:, start:end], neutral=self.neutral[:, start:end])


def inject(
    conditioning: Conditioning,
    vectors: FaceVectors,
    neutral: FaceVectors,
    *,
    space: Space = SD15,
    mode: str = "steer",
    where: str = ALL,
    roles: Sequence[Roles] | None = None,
    strength: float = 1.0,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    match_norm: bool = False,
    seen: Tensor | None = None,
    clip_l_only: bool = False,
) -> list[list[Any]]:
    """Return a conditioning with projected faces applied to every entry.

    With v the face, n the neutral face and s the strength, the tokens that `where` names become

    steer:   token + s × (v − n)
    replace: token + s × (v − token)
    append:  the unchanged prompt, followed by a copy of it with replace applied
    blend:   replace, always where the end of the text is

    The subject's tokens take v and n from `subject` of the vectors, all others from `end`. Stable Diffusion XL also
    reads `pooled_output`: there it is changed by the same formula, except with append. Everything else in an entry
    stays the same.

    Args:
        vectors: F faces in the space. Rows of tokens and of faces are paired; the shorter batch is repeated from the
            start, as ComfyUI does.
        neutral: the projection of one neutral face, or of F, one for each face.
        where: one of where.WHERE. The subject needs roles with a subject, and vectors for it; see where.usable.
        roles: what the tokens are, for each text encoder of the space. Without them, the end of the text is the token
            whose state equals the `pooled_output` of the entry, as far as there is one (where.end_is_known).
        strength: any finite number. 0 returns the tensors of the entries unchanged; negative values push away from the
            face.
        start_percent, end_percent: the part of the sampling during which the face is applied, 0…1. Outside it the
            unchanged entry is used.
        match_norm: multiply v and n by the mean length of the changed tokens ÷ the length of v.
        seen: (F,) bool, False for a row of `vectors` that is not a face: its row of the conditioning stays unchanged.
        clip_l_only: apply vectors of the sd15 space to the CLIP-L part of Stable Diffusion XL's tokens.

    Results are finite for finite input: they are clamped to the range of their dtype.

    Raises ValueError for an unknown mode or where, for a subject that is missing, for an invalid strength or range, and
    for tokens of another space.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    if where not in WHERE:
        raise InputError(f"where cannot be {where!r}; choose one of {', '.join(WHERE)}")
    if not math.isfinite(strength):
        raise InputError(f"strength must be a finite number, not {strength}")
    check_range(start_percent, end_percent)
    if mode == "blend":
        mode, where = "replace", END
    if missing := usable(where, vectors, roles)[1]:
        raise InputError(f"where cannot be {where}: {missing}")
    seen = torch.ones(len(vectors.end), dtype=torch.bool) if seen is None else seen

    def push(faces: Tensor, neutral_faces: Tensor) -> Push:
        v, n = (some.clamp(-LARGEST, LARGEST) for some in (faces, neutral_faces.expand_as(faces)))
        return Push(v, n, seen, mode, strength, match_norm)

    both = push(vectors.end, neutral.end)
    pushes = dict.fromkeys((END, WORDS, ALL), both.columns(0, space.tokens))
    pooled_push = both.columns(space.tokens, space.width)
    if vectors.subject is not None and neutral.subject is not None:
        pushes[SUBJECT] = push(vectors.subject, neutral.subject)
    result: list[list[Any]] = []
    for tokens, options in conditioning:
        check_width(tokens, space, clip_l_only)
        before: Entry = (tokens, options)
        after = before
        if strength != 0 and bool(seen.any()):
            pooled = options.get("pooled_output")
            after = pushed_tokens(tokens, pooled, where, pushes, space, roles), options
            if space.pooled and mode != "append" and pooled is not None and pooled.shape[-1] == space.pooled:
                after = after[0], {**options, "pooled_output": pushed_pooled(pooled, pooled_push)}
        result += scheduled(before, after, start_percent, end_percent)
    return result


def check_range(start_percent: float, end_percent: float) -> None:
    """Raise ValueError with the remedy unless 0 ≤ start_percent ≤ end_percent ≤ 1."""
    if not 0 <= start_percent <= end_percent <= 1:
        raise InputError(
            f"start_percent is {start_percent:g} and end_percent is {end_percent:g}; set both from 0 to 1, with "
            "start_percent no higher than end_percent"
        )


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
        remedies.insert(2, "clip_l_only of Perception→CLIP Projection, which changes only the CLIP-L part")
    raise InputError(
        f"the checkpoint targets {space.title} ({space.tokens} dimensions), but the conditioning has {width} "
        f"({title_of(width)}). Use one of these: {'; '.join(remedies)}"
    )


def pushed_tokens(
    tokens: Tensor,
    pooled: Tensor | None,
    where: str,
    pushes: Mapping[str, Push],
    space: Space,
    roles: Sequence[Roles] | None,
) -> Tensor:
    """Return tokens (B, T, width) with the pushes, one for each group of tokens, applied where `where` says.

    The result is (max(B, F), T, width), or (max(B, F), 2 T, width) for append. Dtype and device stay the same. If the
    tokens are wider than the space, only their first numbers change.
    """
    mode, faces = pushes[ALL].mode, len(pushes[ALL].vectors)
    base = cycled(tokens.float(), max(len(tokens), faces))
    parts, start = [], 0
    widths = (space.tokens,) if roles is None else space.token_parts
    for width, of_encoder in zip(widths, [None] if roles is None else roles, strict=True):
        end = start + width
        part = base[..., start:end]
        for group, acting in masks(where, part, pooled, of_encoder).items():
            part = _pushed(part, acting, pushes[group].columns(start, end))
        parts.append(part)
        start = end
    changed = torch.cat([*parts, base[..., start:]], dim=-1)
    return as_before(torch.cat([base, changed], dim=1) if mode == "append" else changed, tokens)


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


def as_before(changed: Tensor, original: Tensor) -> Tensor:
    """Return `changed`, which is overwritten, clamped and converted to the dtype of `original`."""
    limits = torch.finfo(original.dtype)
    return changed.clamp_(limits.min, limits.max).to(original.dtype)


def scheduled(before: Entry, after: Entry, start: float, end: float, *, around: bool = True) -> list[list[Any]]:
    """Return `after` from start to end and, if `around`, `before` for the rest of the entry's own range.

    Dicts are copied.
    """
    options = before[1]
    first, last = options.get("start_percent", 0.0), options.get("end_percent", 1.0)
    start, end = max(start, first), min(end, last)
    if after is before or start >= end:
        return [[before[0], dict(options)]] if around else []
    if (start, end) == (first, last):  # the whole range: add no keys
        return [[after[0], dict(after[1])]]
    return [
        [tokens, {**kept, "start_percent": begin, "end_percent": finish}]
        for (tokens, kept), begin, finish in ((before, first, start), (after, start, end), (before, end, last))
        if begin < finish and (around or begin == start)
    ]


def within(conditioning: Conditioning, start: float, end: float) -> list[Sequence[Any]]:
    """Return the entries that act during some of that part of the sampling, which are those that `inject` changes."""
    return [
        entry
        for entry in conditioning
        if max(start, entry[1].get("start_percent", 0.0)) < min(end, entry[1].get("end_percent", 1.0))
    ]
