"""Held-out rows: people and clips never straddle the splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .samples import SPLITS

VALIDATION_SHARE = 0.1  # chooses when to stop
TEST_SHARE = 0.1  # judges the result; training never sees it
FREE = -1  # a group without a hint
FEWEST = 3  # rows, and groups for a split by group: one for each part


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, each (n,) int64 and ascending."""

    train: Tensor
    validation: Tensor
    test: Tensor
    groups: list[str]  # each row's group; rows without one, and all if `by_group` is False, have one of their own
    by_group: bool  # False: too few groups, so rows were split and similar faces lie on both sides


def split_rows(
    groups: Sequence[str] | None, count: int, seed: int = 0, *, splits: Sequence[str] | None = None
) -> Split:
    """Split `count` rows into train (80 %), validation and test, keeping the rows of a group together.

    Rows with an empty group name, and all rows where `groups` is None, are a group of their own each.
    With fewer than three groups the rows are split instead, and `by_group` is False.

    `splits` holds a hint for each row, the part that it belongs to, "" for none. A group goes where the hint of any
    of its rows says; the groups without a hint are split as ever, except that a part which the hints have filled
    need not get one of them.

    Raises ValueError for fewer than three rows, for a group whose rows have different hints, and if the hints
    leave a part empty.
    """
    if count < FEWEST:
        raise ValueError(
            f"the dataset has {count} samples; {FEWEST} are the least, a few hundred are enough. "
            "Add samples with `python -m training build` or the Dataset Writer node"
        )
    own = [f"\0row {row}" for row in range(count)]  # no name that a user gave begins like this
    names = own if groups is None else [str(name) or own[row] for row, name in enumerate(groups)]
    hints = {} if splits is None else _hints(names, splits)
    by_group = len(set(names)) >= FEWEST
    if not by_group:
        hints = {own[row]: hints[name] for row, name in enumerate(names) if name in hints}
        names = own
    unique, members = np.unique(np.array(names), return_inverse=True)  # members (count,): group numbers, sorted
    part_of_group = np.array([SPLITS.index(hints[name]) if name in hints else FREE for name in unique.tolist()])
    free = (part_of_group == FREE).nonzero()[0]
    order = free[np.random.default_rng(seed).permutation(len(free))]
    part_of_group[free] = 0
    for part, share in ((2, TEST_SHARE), (1, VALIDATION_SHARE)):
        fewest = 0 if SPLITS[part] in hints.values() else 1
        drawn, order = np.split(order, [max(fewest, round(len(free) * share))])
        part_of_group[drawn] = part
    parts = torch.from_numpy(part_of_group[members])
    train, held, judged = ((parts == part).nonzero()[:, 0] for part in range(3))
    for name, rows in zip(SPLITS, (train, held, judged), strict=True):
        if not len(rows):
            raise ValueError(f"the dataset's split hints leave nothing for {name}; give some rows this hint, or none")
    return Split(train=train, validation=held, test=judged, groups=names, by_group=by_group)


def _hints(names: Sequence[str], splits: Sequence[str]) -> dict[str, str]:
    """The parts of the groups that have one."""
    hints: dict[str, str] = {}
    for name, split in zip(names, splits, strict=True):
        if split and hints.setdefault(name, split) != split:
            raise ValueError(
                f"the rows of the group {name!r} are hinted at both {hints[name]} and {split}, but similar faces must "
                "not lie on both sides: give the group one split, or its rows several groups"
            )
    return hints
