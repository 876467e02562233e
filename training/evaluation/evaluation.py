"""Evaluate a projection and compare it with the baselines that it has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...perception.vector import EMOTIONS
from ...projection.checkpoint import Checkpoint
from ...projection.face_vectors import FaceVectors
from ..learning.data import TrainingData, centered_cosine, sample
from ..learning.split import Split
from ..prompts.starter import Meaning
from .baselines import averages, baseline_predictions, emotions
from .kinds import KindScore, kind_scores
from .leakage import all_near_duplicates, near_duplicate_share
from .metrics import METRICS, EvaluatedPredictions, Interval, bootstrap, evaluate_predictions

MOST = 20_000  # maximum number of held-out rows evaluated, and of distinct prompts that recall chooses from
LISTED_PROMPTS = 200  # prompts in metrics.json, those with the most held-out rows
PROJECTION = "projection"
PART_METRICS = ("centered_cosine", "recall_at_1", "recall_at_5")


@dataclass(frozen=True)
class Score:
    """The metrics of the projection on a part of the held-out rows."""

    name: str  # prompt text or emotion
    rows: int  # its held-out rows
    trained: int  # its training rows
    metrics: dict[str, Interval]  # centered_cosine, recall_at_1, recall_at_5

    def as_dict(self) -> dict[str, Any]:
        """Return the content for metrics.json."""
        return {"name": self.name, "rows": self.rows, "trained": self.trained, **self.metrics}


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a projection on T rows that were not used in training, compared with those of the baselines."""

    scores: dict[str, dict[str, Interval]]  # method → metric; the projection first, then others, then baselines
    lead: dict[str, dict[str, Interval]]  # other method → metric → projection minus the method, paired
    per_prompt: list[Score]  # of prompts with held-out rows, most rows first
    per_emotion: list[Score]  # by the most probable emotion, in the order of EMOTIONS; only those that occur
    names: list[str]  # (P,) the distinct prompts that recall chooses from
    candidates: Tensor  # (P, 768) their vectors
    rows: Tensor  # (T,) int64: the evaluated row numbers of the dataset
    predicted: Tensor  # (T, 768) the projection's predictions
    target_index: Tensor  # (T,) int64: the index of each row's own candidate
    chosen: Tensor  # (T,) int64: the index of the candidate nearest to the prediction
    center: Tensor  # (768,) mean training target
    trained: int  # training rows
    trained_of: Tensor  # (P,) int64: training rows of each candidate
    groups: int  # that the evaluated rows come from
    held_out: int  # rows held out for evaluation, of which at most `MOST` were evaluated
    prompts: int  # distinct prompts of all rows that are used
    by_group: bool  # False: too few groups to hold any out, so the metrics are too optimistic
    near_duplicates: float  # 0…1: share of the evaluated rows that are near-duplicates of a training row
    all_near_duplicates: bool  # all training faces are the same
    subject: Interval | None = None  # centered cosine of the subject's vectors; None: not projected or not in the data
    per_kind: list[KindScore] = field(default_factory=list)  # of sampled faces; empty for others

    def as_dict(self) -> dict[str, Any]:
        """Return the content for metrics.json and the checkpoint's metadata."""
        return {
            "held_out_rows": self.held_out,
            "evaluated_rows": len(self.rows),
            "evaluated_groups": self.groups,
            "split_by_group": self.by_group,
            "near_duplicates_in_training": self.near_duplicates,
            "training_rows": self.trained,
            "prompts": len(self.names),
            "scores": self.scores,
            **({} if self.subject is None else {"subject": {"centered_cosine": self.subject}}),
            "projection_minus": self.lead,
            **({"per_kind": [asdict(score) for score in self.per_kind]} if self.per_kind else {}),
            "per_emotion": [score.as_dict() for score in self.per_emotion],
            "per_prompt": [score.as_dict() for score in self.per_prompt[:LISTED_PROMPTS]],
        }


def evaluate(
    checkpoint: Checkpoint,
    data: TrainingData,
    rows: Split,
    others: Mapping[str, Checkpoint] | None = None,
    meanings: Mapping[str, Meaning] | None = None,
) -> Evaluation:
    """Return the evaluation on the test rows, compared with `others` by name and with the baselines.

    `meanings` of prompts are for recall by kind. The baselines learn from the training rows. If there are more than
    `MOST` test rows, a random selection of whole groups with up to `MOST` rows is evaluated; if there are more than
    `MOST` distinct prompts, recall chooses from those of the evaluated rows. The dataset's file is read in chunks.
    Raises ValueError if a checkpoint projects into another width or onto numbers that are not finite.
    """
    evaluated = _evaluated_rows(rows)
    groups = [rows.groups[row] for row in evaluated.tolist()]
    average = averages(data, rows.train)
    prompts = torch.cat([data.target_index[part] for part in (rows.train, rows.validation, rows.test)]).unique()
    indices = prompts if len(prompts) <= MOST else data.target_index[evaluated].unique()
    candidates, target_index = data.unique_targets(indices), torch.searchsorted(indices, data.target_index[evaluated])
    truth = candidates[target_index]
    projected = _projected(PROJECTION, checkpoint, data, evaluated)
    predicted = projected.end
    projection = evaluate_predictions(predicted, truth, candidates, target_index, average.mean)
    values = {PROJECTION: projection.values}
    compared = chain(
        ((name, _projected(name, other, data, evaluated).end) for name, other in (others or {}).items()),
        baseline_predictions(data, rows, evaluated, _features(checkpoint, data), average),
    )
    for name, prediction in compared:
        values[name] = evaluate_predictions(prediction, truth, candidates, target_index, average.mean).values
    leads = {name: projection.values - other for name, other in values.items() if name != PROJECTION}
    trained_of = torch.bincount(data.target_index[rows.train], minlength=len(data.first_row))[indices]
    names = [data.prompts[index] for index in indices.tolist()]
    per_prompt = _parts(projection, groups, target_index, names, trained_of)
    emotion, trained_emotion = (emotions(data, part).argmax(dim=1) for part in (evaluated, rows.train))
    trained_of_emotion = torch.bincount(trained_emotion, minlength=len(EMOTIONS))
    return Evaluation(
        scores=_intervals(values, projection.weights, groups),
        lead=_intervals(leads, projection.weights, groups),
        per_prompt=sorted(per_prompt, key=lambda score: -score.rows),
        per_emotion=_parts(projection, groups, emotion, EMOTIONS, trained_of_emotion),
        names=names,
        candidates=candidates,
        rows=evaluated,
        predicted=predicted,
        target_index=target_index,
        chosen=projection.chosen,
        center=average.mean,
        trained=len(rows.train),
        trained_of=trained_of,
        groups=len(set(groups)),
        held_out=len(rows.test),
        prompts=len(prompts),
        by_group=rows.by_group,
        near_duplicates=near_duplicate_share(data, rows.train, evaluated),
        all_near_duplicates=all_near_duplicates(data, rows.train),
        subject=_subject(projected.subject, data, rows.train, evaluated, groups),
        per_kind=kind_scores(predicted, candidates, names, target_index, average.mean, groups, meanings or {}),
    )


def _evaluated_rows(rows: Split) -> Tensor:
    """Return the test rows, or randomly chosen whole groups with up to `MOST` rows; part of a group if it is huge."""
    if len(rows.test) <= MOST:
        return rows.test
    names, group_index = np.unique([rows.groups[row] for row in rows.test.tolist()], return_inverse=True)
    order = np.random.default_rng(0).permutation(len(names))
    kept = order[np.bincount(group_index)[order].cumsum() <= MOST]
    return rows.test[np.isin(group_index, kept)] if len(kept) else sample(rows.test, MOST)


def _features(checkpoint: Checkpoint, data: TrainingData) -> Callable[[Tensor], Tensor]:
    """Return a function from row numbers (n,) to the projection's features of these rows, (n, F) float32 on the CPU."""
    device = checkpoint.neutral.device

    @torch.inference_mode()
    def features(vectors: Tensor, sizes: Tensor) -> Tensor:
        measured: Tensor = checkpoint.network.features(vectors.to(device), checkpoint.sizes(sizes).to(device))
        return measured.cpu()

    return lambda rows: data.in_chunks(features, rows)


def _projected(name: str, checkpoint: Checkpoint, data: TrainingData, rows: Tensor) -> FaceVectors:
    """Return the vectors, float32, that a checkpoint projects the rows (n,) to."""
    joined = data.in_chunks(lambda vectors, sizes: checkpoint.project(vectors, sizes).joined, rows)
    projected = FaceVectors.split(joined, checkpoint.width)
    if projected.end.shape[1] != data.targets.shape[1]:
        raise InputError(
            f"{name} projects into {projected.end.shape[1]} dimensions, but the dataset's targets have "
            f"{data.targets.shape[1]}; evaluate it on a dataset for its text space"
        )
    bad = (~joined.isfinite().all(dim=1)).nonzero()[:, 0]
    if len(bad):
        raise InputError(
            f"{name} projects row {int(rows[bad[0]])} (counted from 0) and {len(bad) - 1} more onto numbers that are "
            "not finite; retrain it with a lower learning rate (--lr)"
        )
    return projected


def _subject(
    predicted: Tensor | None, data: TrainingData, train: Tensor, rows: Tensor, groups: list[str]
) -> Interval | None:
    """Return the centered cosine of the predicted subject's vectors (n, T) of rows (n,); None if some are unknown."""
    if predicted is None or data.subject is None:
        return None
    subject = replace(data, targets=data.subject)
    truth, center = subject.unique_targets(data.target_index[rows]), averages(subject, train).mean
    values = centered_cosine(predicted, truth, center)[:, None]
    [interval] = bootstrap(values, torch.ones_like(values), groups)
    return interval


def _intervals(values: Mapping[str, Tensor], weights: Tensor, groups: list[str]) -> dict[str, dict[str, Interval]]:
    """Return each metric of the values (T, 6) of each method, with its interval."""
    every = bootstrap(torch.cat(list(values.values()), dim=1), weights.repeat(1, len(values)), groups)
    starts = range(0, len(every), len(METRICS))
    return {name: dict(zip(METRICS, every[start:], strict=False)) for name, start in zip(values, starts, strict=True)}


def _parts(
    predictions: EvaluatedPredictions, groups: list[str], part_of: Tensor, names: Sequence[str], trained: Tensor
) -> list[Score]:
    """Return the score of each part that has rows, in the order of `names`; `part_of` (T,) has the part of each row."""
    columns = [METRICS.index(metric) for metric in PART_METRICS]
    values, weights = predictions.values[:, columns], predictions.weights[:, columns]
    scores = []
    for part in part_of.unique().tolist():
        rows = (part_of == part).nonzero()[:, 0]
        intervals = bootstrap(values[rows], weights[rows], [groups[row] for row in rows.tolist()])
        metrics = dict(zip(PART_METRICS, intervals, strict=True))
        scores.append(Score(names[part], rows=len(rows), trained=int(trained[part]), metrics=metrics))
    return scores
