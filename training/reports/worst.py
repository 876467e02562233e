"""The held-out samples that a projection gets most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...perception.alignment import true_proportions
from ...perception.vector import EMOTIONS, split
from ..dataset.samples import Floats
from ..evaluation.evaluation import Evaluation
from ..learning.cosine import centred_cosine
from ..learning.data import TrainingData

MOST = 12


@dataclass(frozen=True)
class Wrong:
    """One held-out sample."""

    row: int  # of the dataset, from 0
    source: str  # where it is from, "" where that is not known
    cosine: float  # centred, of the prediction and the own target
    own: str  # its prompt
    chosen: str  # the prompt that the prediction is nearest to
    emotion: str  # the most probable one
    probability: float
    face: Floats  # (478, 2) x and y in true proportions, y down


def most_wrong(
    evaluation: Evaluation, data: TrainingData, sources: Sequence[str] | None = None, most: int = MOST
) -> list[Wrong]:
    """The `most` held-out rows whose predictions have the lowest centred cosine with their own targets, worst first.

    `sources` (N,) say where the dataset's rows are from.
    """
    own = evaluation.candidates[evaluation.member]
    cosines = centred_cosine(evaluation.predicted, own, evaluation.centre).cpu()
    worst = cosines.argsort(stable=True)[:most]
    rows = evaluation.rows.cpu()[worst]
    landmarks, emotions = split(data.pick(data.vectors, rows).cpu())
    faces = true_proportions(landmarks, data.image_sizes[rows].cpu())[..., :2].numpy()
    probability, likeliest = emotions.max(dim=1)
    return [
        Wrong(
            row=row,
            source=str(sources[row]) if sources is not None else "",
            cosine=float(cosines[number]),
            own=evaluation.names[int(evaluation.member[number])],
            chosen=evaluation.names[int(evaluation.chosen[number])],
            emotion=EMOTIONS[int(likeliest[place])],
            probability=float(probability[place]),
            face=faces[place],
        )
        for place, (number, row) in enumerate(zip(worst.tolist(), rows.tolist(), strict=True))
    ]
