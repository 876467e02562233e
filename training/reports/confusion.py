"""Which prompts a projection takes for which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evaluation.evaluation import Evaluation
from ..inspection.survey import Numbers
from .numbers import Doubles

MOST = 24  # prompts with a row of their own
OTHERS = "all other prompts"


@dataclass(frozen=True)
class Confusion:
    """K prompts, the most frequent first; the last is `OTHERS` where there are more of them."""

    names: list[str]  # (K,)
    counts: Numbers  # (K,) held-out rows
    shares: Doubles  # (K, K), 0…1: of the rows whose own prompt is i, how many are nearest to j; rows of 0 without any


def confusion(evaluation: Evaluation, most: int = MOST) -> Confusion:
    """Count which prompt each held-out row has and which it is nearest to; all but `most` prompts become one."""
    own, chosen = evaluation.member.cpu().numpy(), evaluation.chosen.cpu().numpy()
    frequent = by_frequency(own, len(evaluation.names))[:most]
    place = np.full(len(evaluation.names), len(frequent))
    place[frequent] = np.arange(len(frequent))
    names = [evaluation.names[number] for number in frequent.tolist()]
    if (place[own] == len(frequent)).any() or (place[chosen] == len(frequent)).any():
        names.append(OTHERS)
    numbers = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(numbers, (place[own], place[chosen]), 1)
    counts = numbers.sum(axis=1)
    return Confusion(names, counts, numbers / counts.clip(min=1)[:, None])


def by_frequency(member: Numbers, count: int) -> Numbers:
    """The numbers below `count` that occur, the most frequent first, and of equal ones the lower."""
    numbers = np.bincount(member, minlength=count)
    order = np.argsort(-numbers, kind="stable")
    return order[numbers[order] > 0]
