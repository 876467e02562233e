"""Split rows into training, validation and test, so that no person or clip is in more than one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.samples import SPLITS

HELD_OUT = 0.2  # share of the groups: half for early stopping, half for the evaluation
FREE = -1  # part number of a group without a hint
DONORS = {1: (0, 2), 2: (0, 1), 0: (1, 2)}  # part without rows → parts that can give some, the first that is able to
FEWEST = 3  # minimum number of rows, and of groups for a split by group: one for each part

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """The row numbers of the three parts, each (n,) int64 and ascending."""

    train: Tensor
    validation: Tensor  # for early stopping
    test: Tensor  # for the evaluation; not used in training
    groups: list[str]  # of each row; rows without one, and all rows if `by_group` is False, are separate groups
    by_group: bool  # False: too few groups, so single rows were split and similar faces may be in several parts
    notes: list[str] = field(default_factory=list)  # what was taken from another part because the hints left none


def split_rows(
    groups: Sequence[str] | None,
    count: int,
    seed: int = 0,
    *,
    splits: Sequence[str] | None = None,
    prompts: Sequence[int] | None = None,
    share: float = HELD_OUT,
) -> Split:
    """Return a split of `count` rows into train, validation and test that keeps the rows of a group together.

    Validation and test each get half of `share`. Rows with an empty group name, and all rows if `groups` is None, are
    separate groups. With fewer than three groups, single rows are split instead and `by_group` is False. `prompts` are
    numbers that identify the prompt of each row: the groups of each prompt are then distributed over the parts in
    proportion. A group belongs to the most frequent prompt of its rows.

    `splits` contains a hint for each row, the part that it belongs to, or "" for none. A group is put into the part
    that any of its rows hints at; groups without a hint are split as usual, except that a part with hinted groups may
    get none of them. If that leaves a part without rows, it gets groups of another part, as `notes` reports.

    Raises ValueError for fewer than three rows, for a group whose rows have different hints, and if a part is empty.
    """
    if count < FEWEST:
        raise InputError(
            f"the dataset has only {counted(count, 'sample')}; at least {FEWEST} are needed, and a few hundred are "
            "recommended. Add samples with `python -m training build` or the Dataset Writer node"
        )
    if not 0 <= share <= 1:
        raise InputError(f"the held-out share (val_split) is {share}; use a number from 0.05 to 0.5")
    single = [f"\0row {row}" for row in range(count)]  # no name given by a user starts like this
    names = single if groups is None else [str(name) or single[row] for row, name in enumerate(groups)]
    hints = {} if splits is None else _hints(names, splits)
    by_group = len(set(names)) >= FEWEST
    if not by_group:
        hints = {single[row]: hints[name] for row, name in enumerate(names) if name in hints}
        names = single
    unique, members = np.unique(np.array(names), return_inverse=True)  # members (count,): group numbers, sorted
    part_of_group = np.array([SPLITS.index(hints[name]) if name in hints else FREE for name in unique.tolist()])
    free = (part_of_group == FREE).nonzero()[0]
    rng = np.random.default_rng(seed)
    order = _by_prompt(free, members, prompts, rng)
    part_of_group[free] = 0
    fewest = [0 if part in hints.values() else 1 for part in SPLITS]
    validation, test = (max(fewest[part], round(len(free) * share / 2)) for part in (1, 2))
    held_out = _evenly(order, min(validation + test, len(free)), rng)
    part_of_group[held_out] = 1
    part_of_group[_evenly(held_out, min(test, len(held_out)), rng)] = 2
    notes = _fill(part_of_group, members, prompts, share, rng) if hints else []
    part_of_row = torch.from_numpy(part_of_group[members])
    rows_of = {name: (part_of_row == part).nonzero()[:, 0] for part, name in enumerate(SPLITS)}
    for name, rows in rows_of.items():
        if not len(rows):
            raise InputError(
                f"the held-out share is so large that nothing is left for {name}; choose a smaller one (--val-split)"
            )
    return Split(rows_of["train"], rows_of["validation"], rows_of["test"], names, by_group, notes)


def _fill(
    part_of_group: Numbers, members: Numbers, prompts: Sequence[int] | None, share: float, rng: np.random.Generator
) -> list[str]:
    """Move groups to the parts that have none, each from another part, and return what was done.

    Validation and test get half of `share` of the other part's groups, and train gets the rest of them.
    """
    notes = []
    for part in (part for part in DONORS if not (part_of_group == part).any()):
        able = [donor for donor in DONORS[part] if (part_of_group == donor).sum() > 1]
        if part == 0:
            able.sort(key=lambda donor: -(part_of_group == donor).sum())
        if not able:
            continue
        groups = (part_of_group == able[0]).nonzero()[0]
        few = min(max(1, round(len(groups) * share / 2)), len(groups) - 1)
        count = few if part else len(groups) - few
        part_of_group[_evenly(_by_prompt(groups, members, prompts, rng), count, rng)] = part
        notes.append(
            f"the splits of the dataset leave nothing for {SPLITS[part]}, so it gets {count:,} of the "
            f"{counted(len(groups), 'group')} of {SPLITS[able[0]]}"
        )
    return notes


def _by_prompt(groups: Numbers, members: Numbers, prompts: Sequence[int] | None, rng: np.random.Generator) -> Numbers:
    """Return group numbers in random order, but with those of one prompt next to each other."""
    order = rng.permutation(groups)
    if prompts is None:
        return order
    pairs, rows = np.unique(np.stack([members, np.asarray(prompts)]), axis=1, return_counts=True)
    prompt_of = np.zeros(members.max() + 1, dtype=np.int64)
    for index in np.argsort(rows, kind="stable").tolist():  # the most frequent comes last and stays
        prompt_of[pairs[0, index]] = pairs[1, index]
    common = np.bincount(prompt_of[groups], minlength=prompt_of.max() + 1) > 1
    key = np.where(common[prompt_of], prompt_of, -1)  # prompts with a single group stay mixed
    return order[np.argsort(key[order], kind="stable")]


def _evenly(order: Numbers, count: int, rng: np.random.Generator) -> Numbers:
    """Return `count` of these, one from each of `count` equal sections, at the same random position in each."""
    if count == 0:
        return order[:0]
    chosen: Numbers = order[((np.arange(count) + rng.random()) * len(order) / count).astype(np.int64)]
    return chosen


def _hints(names: Sequence[str], splits: Sequence[str]) -> dict[str, str]:
    """Return the parts of the groups that have a hint."""
    hints: dict[str, str] = {}
    for name, split in zip(names, splits, strict=True):
        if split and hints.setdefault(name, split) != split:
            raise InputError(
                f"the rows of the group {name!r} have different splits, {hints[name]} and {split}, but similar faces "
                "must be in the same part: give the group one split, divide its rows into several groups, or ignore "
                "the splits (--ignore-splits)"
            )
    return hints
