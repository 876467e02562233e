"""A map of the text space: where the prompts lie, and where the projection puts the held-out faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..evaluation.evaluation import Evaluation
from ..inspection.survey import Numbers
from .confusion import by_frequency
from .numbers import OTHERS, Doubles, drawn, principal

COLOURED = 8  # prompts that have a colour of their own
PROMPTS = 500  # that are drawn, at most …
ROWS = 2000  # … and predictions
FEWEST = 3  # prompts that have a plane of their own


@dataclass(frozen=True)
class PromptMap:
    """Places on the first two principal components of the prompts' vectors."""

    targets: Doubles  # (p, 2) prompts
    target_ranks: Numbers  # (p,) which of `names`, or OTHERS
    predictions: Doubles  # (t, 2) held-out rows
    ranks: Numbers  # (t,) which of `names` is the row's own prompt, or OTHERS
    names: list[str]  # the prompts of the most held-out rows
    shares: Doubles  # (2,) of the prompts' variance that each component explains, 0…1
    prompts: int  # how many there are, drawn or not
    rows: int  # how many held-out rows there are, drawn or not


def prompt_map(evaluation: Evaluation, coloured: int = COLOURED) -> PromptMap:
    """Lay the prompts and the predictions (up to 500 and 2,000, drawn at random) onto one plane.

    The plane is that of the prompts. With fewer than three, which have none, it is that of prompts and predictions.
    """
    member = evaluation.member.cpu().numpy()
    frequent = by_frequency(member, len(evaluation.names))[:coloured]
    rank = np.full(len(evaluation.names), OTHERS)
    rank[frequent] = np.arange(len(frequent))
    shown = np.union1d(drawn(len(evaluation.names), PROMPTS), frequent)
    rows = drawn(len(member), ROWS)

    targets = (evaluation.candidates[torch.from_numpy(shown)] - evaluation.centre).cpu().double().numpy()
    predictions = (evaluation.predicted[torch.from_numpy(rows)] - evaluation.centre).cpu().double().numpy()
    basis = targets if len(targets) >= FEWEST else np.concatenate([targets, predictions])
    centre = basis.mean(axis=0)
    frame = np.linalg.qr((basis - centre).T)[0]  # (D, min(p, D)) orthonormal: few prompts span few directions
    places, shares = principal((basis - centre) @ frame)
    # The axes themselves (D, 2), from the places that they gave: axis = rowsᵀ · place / |place|².
    axes = (basis - centre).T @ places / np.maximum(np.square(places).sum(axis=0), 1e-12)
    return PromptMap(
        targets=(targets - centre) @ axes,
        target_ranks=rank[shown],
        predictions=(predictions - centre) @ axes,
        ranks=rank[member[rows]],
        names=[evaluation.names[number] for number in frequent.tolist()],
        shares=shares,
        prompts=len(evaluation.names),
        rows=len(member),
    )
