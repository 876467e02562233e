from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.training.split import split_rows


@given(
    groups=st.lists(st.sampled_from(["", "anna", "ben", "carl", "dora", "clip 1"]), min_size=3), seed=st.integers(0, 9)
)
def test_every_row_is_in_one_part_and_no_group_in_two(groups: list[str], seed: int) -> None:
    split = split_rows(groups, len(groups), seed)
    parts = [split.train.tolist(), split.validation.tolist(), split.test.tolist()]
    assert sorted(row for part in parts for row in part) == list(range(len(groups)))
    assert all(parts)
    assert split.by_group == (len({name or f"row {row}" for row, name in enumerate(groups)}) >= 3)
    if split.by_group:
        names = [{groups[row] for row in part} - {""} for part in parts]
        assert not (names[0] & names[1] or names[0] & names[2] or names[1] & names[2])


def test_shares_and_seeds() -> None:
    split = split_rows(None, 1000)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [800, 100, 100]
    assert split_rows(None, 1000).test.equal(split.test)
    assert not split_rows(None, 1000, seed=1).test.equal(split.test)


def test_too_few_groups_are_split_by_row_and_it_shows() -> None:
    split = split_rows(["anna"] * 20, 20)
    assert not split.by_group and len(split.train) == 16


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="2 samples"):
        split_rows(None, 2)
