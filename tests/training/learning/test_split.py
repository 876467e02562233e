from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.training.learning.split import Split, split_rows


def parts(split: Split) -> list[torch.Tensor]:
    return [split.train, split.validation, split.test]


NAMES = st.sampled_from(["", "anna", "ben", "carl", "dora", "clip 1"])


@given(groups=st.lists(NAMES, min_size=3), seed=st.integers(0, 9))
def test_every_row_is_in_one_part_and_no_group_in_two(groups: list[str], seed: int) -> None:
    split = split_rows(groups, len(groups), seed)
    rows = [part.tolist() for part in parts(split)]
    assert sorted(row for part in rows for row in part) == list(range(len(groups))) and all(rows)
    hinted = split_rows(groups, len(groups), seed, splits=[""] * len(groups))  # empty hints change nothing
    assert [part.tolist() for part in parts(hinted)] == rows
    assert split.by_group == (len({name or f"row {row}" for row, name in enumerate(groups)}) >= 3)
    if split.by_group:
        names = [{groups[row] for row in part} - {""} for part in rows]
        assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])


def test_the_seed_decides_and_too_few_groups_are_split_by_row() -> None:
    split = split_rows(None, 1000)
    assert split_rows(None, 1000).test.equal(split.test)
    assert not split_rows(None, 1000, seed=1).test.equal(split.test)
    alone = split_rows(["anna"] * 20, 20)
    assert not alone.by_group and len(alone.train) == 16


def test_every_prompt_is_held_out_in_proportion() -> None:
    prompts = [0] * 700 + [1] * 200 + [2] * 80 + [3] * 20
    split = split_rows(None, 1000, seed=1, prompts=prompts)
    counts = [[sum(prompts[row] == number for row in part.tolist()) for number in range(4)] for part in parts(split)]
    for part in counts[1:]:
        assert all(abs(count - 0.1 * total) <= 1 for count, total in zip(part, (700, 200, 80, 20), strict=True))
    assert split_rows(None, 1000, seed=1, prompts=prompts).test.equal(split.test)


def test_a_group_counts_as_its_most_frequent_prompt() -> None:
    groups = [f"person {row // 10}" for row in range(1000)]
    prompts = [(row // 100) * (row % 10 > 2) for row in range(1000)]  # ten prompts; three rows of each person differ
    split = split_rows(groups, 1000, prompts=prompts)
    for part in (split.validation, split.test):
        assert sorted(int(row) // 100 for row in part[::10]) == list(range(10))  # one person of each prompt


@pytest.mark.parametrize(("share", "held"), [(0.5, 250), (0.2, 100), (0.1, 50), (1e-6, 1)])
def test_share(share: float, held: int) -> None:
    split = split_rows(None, 1000, share=share)
    assert [len(part) for part in parts(split)] == [1000 - 2 * held, held, held]


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(ValueError, match="nothing is left for train; choose a smaller one .--val-split"):
        split_rows(None, 10, share=0.999)
    with pytest.raises(ValueError, match="2 samples"):
        split_rows(None, 2)


@given(
    rows=st.lists(st.tuples(NAMES, st.sampled_from(["", "train", "validation", "test"])), min_size=3),
    seed=st.integers(0, 9),
)
def test_hints_are_followed_and_no_group_straddles(rows: list[tuple[str, str]], seed: int) -> None:
    groups, hints = [name for name, _ in rows], [hint for _, hint in rows]
    try:
        split = split_rows(groups, len(rows), seed, splits=hints)
    except ValueError as error:
        both = {name for name in groups if name and len({hint for n, hint in rows if n == name and hint}) > 1}
        assert any(repr(name) in str(error) for name in both)
        return
    part_of = {row: part for part in ("train", "validation", "test") for row in getattr(split, part).tolist()}
    assert sorted(part_of) == list(range(len(rows))) and set(part_of.values()) == {"train", "validation", "test"}
    moved = {row for row, hint in enumerate(hints) if hint and part_of[row] != hint}
    assert bool(moved) == bool(split.notes)
    assert {part_of[row] for row in moved} & set(hints) == set()  # only to parts without hints
    if split.by_group:
        for name in set(groups) - {""}:
            assert len({part_of[row] for row, group in enumerate(groups) if group == name}) == 1


def test_hints_leave_the_other_groups_their_shares() -> None:
    groups = [f"person {row // 10}" for row in range(1000)]
    hints = ["test"] * 100 + [""] * 900
    hints[105] = "validation"  # one row speaks for the other nine of its group
    split = split_rows(groups, 1000, splits=hints)
    assert split.test[:100].tolist() == list(range(100)) and len(split.test) == 100 + 90
    assert split.validation[:10].tolist() == list(range(100, 110)) and len(split.validation) == 10 + 90


def test_parts_that_are_hinted_need_no_more() -> None:
    hints = ["train", "train", "validation", "test", ""]
    split = split_rows(None, 5, splits=hints)
    assert (split.train.tolist(), split.validation.tolist(), split.test.tolist()) == ([0, 1, 4], [2], [3])


@pytest.mark.parametrize(
    ("hints", "sizes", "note"),
    [
        (["train"] * 80 + ["test"] * 20, [72, 8, 20], "nothing for validation, so it gets 8 of the 80 groups of train"),
        (["train"] * 80 + ["validation"] * 20, [72, 20, 8], "nothing for test, so it gets 8 of the 80 groups of train"),
        (["train"] + ["validation"] * 99, [1, 89, 10], "nothing for test, so it gets 10 of the 99 groups of valid"),
        (["test"] * 100, [81, 10, 9], "nothing for train"),
        (["validation", "test", "test"], [1, 1, 1], "nothing for train, so it gets 1 of the 2 groups of test"),
    ],
)
def test_missing_parts_are_taken_from_others_aloud(hints: list[str], sizes: list[int], note: str) -> None:
    groups = [f"person {row // 2}" for row in range(2 * len(hints))]
    both = [hint for hint in hints for _ in range(2)]
    split = split_rows(groups, len(both), splits=both)
    assert [len(part) // 2 for part in parts(split)] == sizes and any(note in each for each in split.notes)
    part_of = {row: number for number, part in enumerate(parts(split)) for row in part.tolist()}
    assert all(part_of[2 * person] == part_of[2 * person + 1] for person in range(len(hints)))


@pytest.mark.parametrize(
    ("groups", "hints", "message"),
    [
        (["anna", "ben", "anna", "carl"], ["train", "", "test", ""], "'anna' have different splits, train and test"),
        (["anna", "anna", "anna"], ["train", "validation", "test"], "group 'anna' .* several groups"),
    ],
)
def test_hints_that_cannot_be_followed(groups: list[str] | None, hints: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_rows(groups, len(hints), splits=hints)
