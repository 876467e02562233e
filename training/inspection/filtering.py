"""Choose which samples of a dataset to keep, by score, pose, texts, outliers and duplicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.geometry import AXES, head_pose
from ...perception.vector import split
from ...projection.checkpoint import SQUARE
from ..dataset.copying import SampleSource
from ..dataset.samples import Samples
from ..prompts.labels import label_key
from .checks import clusters_of
from .outliers import outlier_limit
from .scan import DatasetScan, scan_dataset

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Conditions:
    """Conditions for samples to meet; None and [] mean no condition. Any one of several texts suffices."""

    min_score: float | None = None  # of the detector, 0…1; an unknown score counts as lower
    max_yaw: float | None = None  # degrees, to either side
    max_pitch: float | None = None
    max_roll: float | None = None
    prompts: list[str] = field(default_factory=list)
    prompt_parts: list[str] = field(default_factory=list)  # case-insensitive
    labels: list[str] = field(default_factory=list)  # in any spelling; here and below, "" matches samples without one
    groups: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    drop_outliers: bool = False
    drop_near_duplicates: bool = False  # of near-duplicate faces, only one is kept, with all of its prompts
    invert: bool = False  # keep the samples that fail any condition and drop the others


@dataclass(frozen=True)
class Selection:
    """Which of N samples to keep."""

    kept: Mask  # (N,)
    failed: dict[str, int]  # condition, in words → number of samples that fail it; some fail several
    unknown_sizes: int  # samples whose pose was measured as if the picture were square


def select_samples(
    rows: SampleSource, conditions: Conditions, progress: Callable[[int], object] | None = None
) -> Selection:
    """Check every sample against the conditions, in one pass over `rows`, or two for outliers and duplicates.

    Of duplicates, the first that meets all other conditions is kept. `progress`, if given, is called with the number of
    samples just read.
    """
    template = ExpressionModel.load().template
    parts: dict[str, list[Mask]] = {}  # condition → the samples that meet it, batch by batch
    unknown_sizes = 0
    for samples in rows.samples():
        pose = _by_pose(samples, conditions, template)
        for name, met in {**_by_score(samples, conditions), **pose, **_by_text(samples, conditions)}.items():
            parts.setdefault(name, []).append(met)
        unknown_sizes += int((samples.image_sizes[:, 0] == 0).sum()) if pose else 0
        if progress is not None:
            progress(len(samples))
    masks = {name: np.concatenate(batches) for name, batches in parts.items()}
    if conditions.drop_outliers or conditions.drop_near_duplicates:
        scan = scan_dataset(rows, progress)
        if conditions.drop_outliers:
            masks["face looks invalid"] = scan.outlier_score <= outlier_limit(scan.outlier_score)
        if conditions.drop_near_duplicates:
            masks["near-duplicate of a kept sample"] = _by_near_duplicates(scan, among=_all(masks, len(rows)))
    kept = _all(masks, len(rows))
    return Selection(
        kept=~kept if conditions.invert else kept,
        failed={name: int((~met).sum()) for name, met in masks.items()},
        unknown_sizes=unknown_sizes,
    )


def _all(masks: dict[str, Mask], count: int) -> Mask:
    met: Mask = np.logical_and.reduce([np.ones(count, dtype=np.bool_), *masks.values()])
    return met


def _by_near_duplicates(scan: DatasetScan, among: Mask) -> Mask:
    """Return a mask without those of `among` that are near, but not identical, duplicates of their cluster's first."""
    met = ~among
    met[among] = scan.first_row[clusters_of(scan, among)[among]] == scan.first_row[among]
    return met


def _by_score(samples: Samples, conditions: Conditions) -> dict[str, Mask]:
    least = conditions.min_score
    if least is None:
        return {}
    return {
        f"score below {least:g}": ~(samples.scores < least),
        "unknown score, which counts as too low": ~np.isnan(samples.scores),
    }


def _by_pose(samples: Samples, conditions: Conditions, template: Tensor) -> dict[str, Mask]:
    most = conditions.max_yaw, conditions.max_pitch, conditions.max_roll
    if all(limit is None for limit in most):
        return {}
    sizes = np.where(samples.image_sizes > 0, samples.image_sizes, np.array(SQUARE, dtype=np.int32))
    landmarks, _ = split(torch.tensor(samples.perceptions))
    angles = head_pose(landmarks, torch.from_numpy(sizes), template).abs().numpy()  # (N, 3)
    return {
        f"{axis} beyond {limit:g}°": angles[:, number] <= limit
        for number, (axis, limit) in enumerate(zip(AXES, most, strict=True))
        if limit is not None
    }


def _by_text(samples: Samples, conditions: Conditions) -> dict[str, Mask]:
    wanted = {
        "another prompt": (conditions.prompts, samples.prompts),
        "another label": (
            [label_key(label) for label in conditions.labels],
            [label_key(label) for label in samples.labels],
        ),
        "another group": (conditions.groups, samples.groups),
        "another split": (conditions.splits, samples.splits),
    }
    met = {
        name: np.array([text in choices for text in texts], dtype=np.bool_)
        for name, (choices, texts) in wanted.items()
        if choices
    }
    if conditions.prompt_parts:
        parts = [part.casefold() for part in conditions.prompt_parts]
        met["prompt without the words"] = np.array(
            [any(part in prompt.casefold() for part in parts) for prompt in samples.prompts], dtype=np.bool_
        )
    return met
