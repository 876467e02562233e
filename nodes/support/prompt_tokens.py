"""The tokens of a prompt, from a graph's CLIP, and which of them are its subject."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ...common.errors import InputError
from ...projection.subjects import (
    SEPARATOR,
    WORD_END,
    Blocks,
    Token,
    occurrences,
    phrases_of,
    read_nouns,
    roles_of,
    words_of,
)
from ...projection.where import Roles

ENCODERS = {"l": 768, "g": 1280}  # CLIP-L and CLIP-G: the width of their tokens, in the order of SDXL's conditioning


@dataclass(frozen=True)
class PromptTokens:
    """What the tokens of a prompt are."""

    roles: list[Roles]  # for each text encoder
    subject: tuple[str, ...]  # the subject's words that the prompt contains
    missing: tuple[str, ...]  # the words that the user named but the prompt does not contain


def prompt_tokens(clip: Any, text: str, subject: str) -> PromptTokens:
    """Return what the tokens of a text are for a CLIP of Stable Diffusion 1.5 or XL.

    `subject` lists words of the text, separated by commas; if it is empty, the subject is found by its nouns (see
    projection/subjects.py). Raises InputError with the remedy if the text contains none of the listed words.
    """
    prompts = _encoders(clip, text)
    if named := _listed(subject):
        positions = _find(clip, prompts, named)
        if not positions:
            raise InputError(
                f"{not_contained(named)}. Write the words of subject as they are in the text, separated by commas, or "
                "clear subject to find the person by a noun such as 'woman'"
            )
    else:
        kinds = (_find(clip, prompts, nouns) for nouns in read_nouns().values())
        positions = next(filter(None, kinds), {})
    roles = [
        roles_of(blocks, set().union(*(of_encoders[encoder] for of_encoders in positions.values())))
        for encoder, blocks in enumerate(prompts)
    ]
    return PromptTokens(roles, tuple(positions), tuple(name for name in named if name not in positions))


def not_contained(names: Sequence[str]) -> str:
    """Return a sentence about words that are not in the text."""
    return f"the text does not contain {' or '.join(f'{name!r:.60}' for name in names)}"


def _listed(text: str) -> list[str]:
    """Return the phrases in a list that is separated by commas."""
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]


def _find(clip: Any, prompts: Sequence[Blocks], names: Sequence[str]) -> dict[str, list[set[int]]]:
    """Return the positions of those phrases that occur in a prompt, for each text encoder, in the prompt's order."""
    listed = _encoders(clip, f" {SEPARATOR} ".join(names))
    found: dict[str, list[set[int]]] = {name: [] for name in names}
    for blocks, phrases in zip(prompts, map(phrases_of, listed), strict=True):
        words = words_of(blocks)
        for name, phrase in zip(names, phrases, strict=True):
            found[name].append(occurrences(words, phrase))
    starts = {name: min(set().union(*positions)) for name, positions in found.items() if any(positions)}
    return {name: found[name] for name in sorted(starts, key=starts.__getitem__)}


def _encoders(clip: Any, text: str) -> list[Blocks]:
    """Return the tokens of a text for each text encoder."""
    tokenized = clip.tokenize(text, return_word_ids=True)
    return [
        [_spelled(clip, block, width) for block in tokenized[name]]
        for name, width in ENCODERS.items()
        if name in tokenized
    ]


def _spelled(clip: Any, block: Sequence[tuple[Any, float, int]], width: int) -> list[Token]:
    """Return the tokens of a block as its encoder sees them: it leaves out embeddings of another width.

    A vector of a textual-inversion embedding is spelled as a word that no text contains, but that is the same wherever
    the vector occurs.
    """
    spelled: list[Token] = []
    for token, _, word in block:
        if not word:
            spelled.append(None)
        elif isinstance(token, Integral):
            spelled.append(clip.tokenizer.untokenize([(token, 1.0)])[0][1])
        elif token.shape[-1] == width:
            numbers = token.detach().float().cpu().numpy()  # some files contain parameters of a training
            spelled.append(f"embedding {hashlib.sha256(numbers.tobytes()).hexdigest()}{WORD_END}")
    return spelled + [None] * (len(block) - len(spelled))
