"""Held-out rows: people and clips never straddle the splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

VALIDATION_SHARE = 0.1  # chooses when to stop
TEST_SHARE = 0.1  # judges the result; training never sees it
FEWEST = 3  # rows, and groups for a split by group: one for each part


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, each (n,) int64 and ascending."""

    train: Tensor
    validation: Tensor
    test: Tensor
    groups: list[str]  # each row's group; rows without one, and all if `by_group` is False, have one of their own
    by_group: bool  # False: too few groups, so rows were split and similar faces lie on both sides


def split_rows(groups: Sequence[str] | None, count: int, seed: int = 0) -> Split:
    """Split `count` rows into train (80 %), validation and test, keeping the rows of a group together.

    Rows with an empty group name, and all rows where `groups` is None, are a group of their own each.
    With fewer than three groups the rows are split instead, and `by_group` is False.
    Raises ValueError for fewer than three rows.
    """
    if count < FEWEST:
        raise ValueError(
            f"the dataset has {count} samples; {FEWEST} are the least, a few hundred are enough. "
            "Add samples with `python -m training build` or the Dataset Writer node"
        )
    own = [f"\0row {row}" for row in range(count)]  # no name that a user gave begins like this
    names = own if groups is None else [str(name) or own[row] for row, name in enumerate(groups)]
    by_group = len(set(names)) >= FEWEST
    if not by_group:
        names = own
    _, members = np.unique(np.array(names), return_inverse=True)  # (count,) group numbers, in sorted order
    group_count = int(members.max()) + 1
    order = np.random.default_rng(seed).permutation(group_count)
    test = max(1, round(group_count * TEST_SHARE))
    validation = max(1, round(group_count * VALIDATION_SHARE))
    part_of_group = np.zeros(group_count, dtype=np.int64)
    part_of_group[order[:test]] = 2
    part_of_group[order[test : test + validation]] = 1
    parts = torch.from_numpy(part_of_group[members])
    train, held, judged = ((parts == part).nonzero()[:, 0] for part in range(3))
    return Split(train=train, validation=held, test=judged, groups=names, by_group=by_group)
