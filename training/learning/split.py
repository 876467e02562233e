"""Split rows into training, validation and test, so that no person or clip is in more than one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.samples import SPLITS

HELD_OUT = 0.2  # share of the groups: half for early stopping, half for the evaluation
FREE = -1  # part number of a group without a hint
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
    get none of them.

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
    part_of_row = torch.from_numpy(part_of_group[members])
    rows_of = {name: (part_of_row == part).nonzero()[:, 0] for part, name in enumerate(SPLITS)}
    for name, rows in rows_of.items():
        if not len(rows):
            raise InputError(_empty(name, bool(hints)))
    return Split(rows_of["train"], rows_of["validation"], rows_of["test"], groups=names, by_group=by_group)


def _empty(part: str, hinted: bool) -> str:
    if hinted:
        return f"the split hints of the dataset leave nothing for {part}; give some rows this hint, or no hint"
    return f"the held-out share is so large that nothing is left for {part}; choose a smaller one (--val-split)"


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
                "must be in the same part: give the group one split, or divide its rows into several groups"
            )
    return hints
