"""Common beginnings and ends of prompts fall onto each other, whatever is between them."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.projection.alignment import longest_text, positions_of_states, positions_of_tokens

START, END, PAD = 100, 101, 102
middles = st.lists(st.lists(st.integers(0, 50), max_size=9), min_size=2, max_size=5)
edges = st.lists(st.integers(60, 90), max_size=5)


def placed(prompts: list[list[int]]) -> list[list[int]]:
    positions = positions_of_tokens(prompts)
    return [[prompt[place] for place in places.tolist()] for prompt, places in zip(prompts, positions, strict=True)]


def test_t5_ends_before_its_padding() -> None:
    assert placed([[7, 8, 1, 0, 0, 0, 0], [7, 3, 4, 5, 1, 0, 0]]) == [[7, 8, 8, 8, 1, 0, 0], [7, 3, 4, 5, 1, 0, 0]]


def test_a_chat_template_closes_after_the_text() -> None:
    long, short = [90, 91, 5, 6, 7, 80, 81], [90, 91, 4, 80, 81]
    assert placed([short, long]) == [[90, 91, 4, 4, 4, 80, 81], long]
    assert placed([[90, 91, 80, 81], long]) == [[90, 91, 91, 91, 91, 80, 81], long]


def test_clip_in_one_and_two_blocks() -> None:
    one = [START, 1, 2, END, END, END]
    two = [START, 1, 2, 3, 4, END, START, 5, END, END, END, END]
    assert placed([one, two]) == [[START, 1, 2, 2, 2, 2, 2, 2, END, END, END, END], two]


@given(edges, middles, edges, st.integers(1, 4), st.booleans())
def test_what_is_common_falls_onto_each_other(
    start: list[int], texts: list[list[int]], end: list[int], padding: int, padded: bool
) -> None:
    length = max(map(len, texts)) if padded else 0
    prompts = [
        [START, *start, *text, *end, END, *[PAD] * (padding + max(length - len(text), 0) if padded else 1)]
        for text in texts
    ]
    result = placed(prompts)
    longest = longest_text(prompts)
    assert result[longest] == prompts[longest]
    assert {len(prompt) for prompt in result} == {len(prompts[longest])}
    for column in range(len(start) + 1):
        assert {prompt[column] for prompt in result} == {[START, *start][column]}
    closing = [*end, END, PAD]
    at = len(prompts[longest]) - (padding if padded else 1) - 1 - len(end)
    assert all(prompt[at : at + len(closing)] == closing for prompt in result)
    for prompt, text in zip(result, texts, strict=True):  # all that a prompt says is there, in its order
        said = prompt[1 + len(start) : at]
        assert [token for index, token in enumerate(said) if index < len(text)] == text


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 6), st.integers(0, 6), st.integers(0, 99))
def test_states_show_where_the_gap_is(start: int, end: int, longer: int, text: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    beginning, closing, first, second = (
        torch.randn(count, 32, generator=generator) for count in (start, end, text + longer, text)
    )
    massive = torch.zeros(32)
    massive[7] = 1000.0  # as large language models have it
    noise = [0.3 * torch.randn(end, 32, generator=generator) for _ in range(2)]  # the end has read the text before it
    long = torch.cat([beginning, first, closing + noise[0]]) + massive
    short = torch.cat([beginning, second, closing + noise[1]]) + massive
    if not len(short):
        return
    whole, places = positions_of_states([long, short])
    assert whole.tolist() == list(range(len(long)))
    assert places[:start].tolist() == list(range(start))
    assert places[len(long) - end :].tolist() == list(range(len(short) - end, len(short)))
