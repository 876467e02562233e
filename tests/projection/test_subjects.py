"""Words of a prompt among its tokens, spelled as in CLIP's vocabulary; tests/host does the same with real prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_clip.projection.subjects import Token, occurrences, phrases_of, read_nouns, roles_of, words_of


def block(*tokens: str, size: int = 12) -> list[Token]:
    """BOS, tokens, EOS and padding; a token ends a word unless it has a dash at its end."""
    spelled = [token.removesuffix("-") + ("" if token.endswith("-") else "</w>") for token in tokens]
    return [None, *spelled, *[None] * (size - 1 - len(spelled))]


def test_words_consist_of_tokens_also_across_blocks() -> None:
    blocks = [block("an", "old", "fisher-", size=5), block("man", "and", "a", "man")]
    assert [(word.text, word.positions) for word in words_of(blocks)] == [
        ("an</w>", (1,)),
        ("old</w>", (2,)),
        ("fisherman</w>", (3, 6)),  # the fourth token of the first block is EOS, the first of the second is BOS
        ("and</w>", (7,)),
        ("a</w>", (8,)),
        ("man</w>", (9,)),
    ]


def test_every_occurrence_counts_but_no_part_of_a_word() -> None:
    words = words_of([block("man", "old", "man", "hu-", "man", "old", ",", "man")])
    assert occurrences(words, ["man</w>"]) == {1, 3, 8}
    assert occurrences(words, ["old</w>", "man</w>"]) == {2, 3}
    assert occurrences(words, ["human</w>"]) == {4, 5}
    assert occurrences(words, ["woman</w>"]) == occurrences(words, []) == set()


def test_phrases_are_separated_by_commas() -> None:
    assert phrases_of([block("old", "man", ",", "gi-", "rl")]) == [("old</w>", "man</w>"), ("girl</w>",)]
    assert phrases_of([block()]) == [()]


def test_roles_are_those_of_each_block() -> None:
    roles = roles_of([block("a", "man", size=5), block("sad", size=4)], {2})
    assert roles.words.nonzero()[:, 0].tolist() == [1, 2, 6]
    assert roles.end.nonzero()[:, 0].tolist() == [3, 4, 7, 8]  # and neither at 0 nor at 5, the BOS
    assert roles.subject.nonzero()[:, 0].tolist() == [2]


def test_people_come_before_faces_and_no_noun_is_in_both(tmp_path: Path) -> None:
    nouns = read_nouns()
    assert list(nouns) == ["people", "faces"]
    assert {"person", "people", "man", "women", "girl", "child", "king"} <= set(nouns["people"])
    assert {"face", "portrait"} <= set(nouns["faces"])
    every = [noun for of_kind in nouns.values() for noun in of_kind]
    assert len(set(every)) == len(every) and all(noun == noun.lower().strip() for noun in every)
    own = tmp_path / "nouns.json"
    own.write_text(json.dumps({"robots": ["robot"]}))
    assert read_nouns(own) == {"robots": ["robot"]}


@pytest.mark.parametrize("text", ["{", "[]", '{"people": "man"}', '{"people": [1]}', '"man"', b"\xff\xfe"])
def test_a_damaged_list_of_nouns_is_named(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "nouns.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match="nouns.json.*correct it or reinstall the pack"):
        read_nouns(path)
