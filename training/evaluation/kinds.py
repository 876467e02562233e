"""How often a projection gets right what prompts of one kind describe, whatever their wording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..prompts.starter import KINDS, Meaning
from .metrics import Interval, bootstrap


@dataclass(frozen=True)
class KindScore:
    """The recall of one kind of prompts."""

    name: str  # one of KINDS
    rows: int  # held-out rows whose prompt is of this kind
    categories: int  # what the prompts of this kind can describe
    recall: Interval  # share of the rows whose nearest prompt of this kind describes the same as their own

    @property
    def guessing(self) -> float:
        """Return the recall of guessing."""
        return 1 / self.categories


def kind_scores(
    predicted: Tensor,
    candidates: Tensor,
    names: Sequence[str],
    target_index: Tensor,
    center: Tensor,
    groups: Sequence[str],
    meanings: Mapping[str, Meaning],
) -> list[KindScore]:
    """Return the score of each kind that has rows, in the order of KINDS.

    Predictions (T, D) are ranked by their centered cosine with the candidates (P, D), whose prompts are `names`;
    target_index (T,) is each row's own. Prompts without a meaning are left out.
    """
    directions, aimed = normalize(candidates - center, dim=1), normalize(predicted - center, dim=1)
    kinds = [meanings[name].kind if name in meanings else "" for name in names]
    categories = [meanings[name].category if name in meanings else "" for name in names]
    number = {category: index for index, category in enumerate(dict.fromkeys(categories))}
    category = torch.tensor([number[name] for name in categories])
    scores = []
    for kind in KINDS:
        prompts = torch.tensor([index for index, name in enumerate(kinds) if name == kind], dtype=torch.int64)
        rows = torch.isin(target_index, prompts).nonzero()[:, 0]
        if len(rows):
            nearest = prompts[(aimed[rows] @ directions[prompts].T).argmax(dim=1)]
            right = (category[nearest] == category[target_index[rows]])[:, None].double()
            [recall] = bootstrap(right, torch.ones_like(right), [groups[row] for row in rows.tolist()])
            scores.append(KindScore(kind, len(rows), len(category[prompts].unique()), recall))
    return scores
