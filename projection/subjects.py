"""Find the subject of a prompt among its tokens: the words that a face acts on.

Words are compared as the tokenizer spells them, so both the prompt and the words to find come from the same tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..common.errors import InputError
from .where import Roles

NOUNS_FILE = Path(__file__).with_name("subject_nouns.json")
WORD_END = "</w>"  # closes the last token of a word in CLIP's vocabulary
SEPARATOR = ","

Token = str | None  # as CLIP's vocabulary spells it; None for BOS, EOS and padding
Blocks = Sequence[Sequence[Token]]  # the blocks of a prompt, for one text encoder


@dataclass(frozen=True)
class Word:
    """A word of a prompt."""

    text: str
    positions: tuple[int, ...]  # of its tokens, counted over all blocks


def words_of(blocks: Blocks) -> list[Word]:
    """Return the words of a prompt; one that is cut by the end of a block continues in the next."""
    words, text, positions = [], "", []
    for position, token in enumerate(token for block in blocks for token in block):
        if token is None:
            continue
        text += token
        positions.append(position)
        if token.endswith(WORD_END):
            words.append(Word(text, tuple(positions)))
            text, positions = "", []
    return words


def phrases_of(blocks: Blocks) -> list[tuple[str, ...]]:
    """Return the words of each phrase in a list of phrases that is separated by commas."""
    phrases: list[tuple[str, ...]] = [()]
    for word in words_of(blocks):
        if word.text == SEPARATOR + WORD_END:
            phrases.append(())
        else:
            phrases[-1] += (word.text,)
    return phrases


def occurrences(words: Sequence[Word], phrase: Sequence[str]) -> set[int]:
    """Return the positions of the tokens of every occurrence of a phrase."""
    count = len(phrase)
    starts = [start for start in range(len(words)) if [word.text for word in words[start : start + count]] == [*phrase]]
    return {place for start in starts for word in words[start : start + count] for place in word.positions}


def roles_of(blocks: Blocks, subject: set[int]) -> Roles:
    """Return what the tokens of a prompt are, with those at the positions `subject` as its subject."""
    tokens = [token for block in blocks for token in block]
    starts = {sum(map(len, blocks[:index])) for index in range(len(blocks))}  # of BOS
    return Roles(
        words=torch.tensor([token is not None for token in tokens]),
        end=torch.tensor([token is None and place not in starts for place, token in enumerate(tokens)]),
        subject=torch.tensor([place in subject for place in range(len(tokens))]),
    )


def read_nouns(path: Path = NOUNS_FILE) -> Mapping[str, list[str]]:
    """Return the nouns that may be the subject of a prompt, by kind.

    If a prompt contains nouns of several kinds, those of the first kind in the file are its subject: "a portrait of a
    woman" is about the woman. Raises InputError with the remedy for a damaged file.
    """
    try:
        nouns = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}); correct it or reinstall the pack") from error
    lists = list(nouns.values()) if isinstance(nouns, dict) else [None]
    if not all(isinstance(of_kind, list) and all(isinstance(noun, str) for noun in of_kind) for of_kind in lists):
        raise InputError(f"{path} must contain a list of nouns for each kind; correct it or reinstall the pack")
    return dict(nouns)
