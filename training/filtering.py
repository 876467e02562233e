"""Which samples of a dataset to keep: by score, pose, texts, and by what inspecting it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..perception.expression import ExpressionModel
from ..perception.pose import AXES, head_pose
from ..perception.vector import split
from ..projection.checkpoint import SQUARE
from .inspection import clusters_of
from .outliers import outlier_limit
from .rows import Rows
from .samples import Samples
from .survey import survey

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Conditions:
    """What samples must be like; None and () ask for nothing. Of several texts, any will do."""

    min_score: float | None = None  # of the detector, 0…1; an unknown score does not reach it
    max_angles: tuple[float | None, float | None, float | None] = (None, None, None)  # yaw, pitch, roll; degrees
    prompts: tuple[str, ...] = ()
    prompt_parts: tuple[str, ...] = ()  # in upper or lower case
    labels: tuple[str, ...] = ()  # here and below, "" is for samples without one
    groups: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    drop_outliers: bool = False
    drop_duplicates: bool = False  # of faces that are nearly the same, only the first stays, with all of its prompts
    invert: bool = False  # keep those that fail any condition, and drop the others


class Filter:
    """Judges the samples of one dataset, batch by batch and in order; `refused` counts what each condition refuses."""

    def __init__(self, conditions: Conditions, rows: Rows, progress: Callable[[int], object] | None = None) -> None:
        """Outliers and duplicates take a pass over all rows before the first is judged."""
        self._conditions = conditions
        self._template = ExpressionModel.load().template
        self._found: dict[str, Mask] = {}  # condition → (N,) which rows meet it
        self._done = 0  # rows judged
        self.refused: Counter[str] = Counter()
        if conditions.drop_outliers or conditions.drop_duplicates:
            seen = survey(rows, progress)
            if conditions.drop_outliers:
                self._found["outliers"] = seen.strangeness <= outlier_limit(seen.strangeness)
            if conditions.drop_duplicates:
                self._found["duplicates"] = clusters_of(seen) == seen.first

    def __call__(self, samples: Samples) -> Mask:
        """Which of the next N samples to keep, (N,)."""
        rows = slice(self._done, self._done + len(samples))
        self._done += len(samples)
        met = self._by_score(samples) | self._by_pose(samples) | self._by_text(samples)
        met.update({name: mask[rows] for name, mask in self._found.items()})
        self.refused.update({name: int((~mask).sum()) for name, mask in met.items()})
        kept: Mask = np.logical_and.reduce([np.ones(len(samples), dtype=np.bool_), *met.values()])
        return ~kept if self._conditions.invert else kept

    def _by_score(self, samples: Samples) -> dict[str, Mask]:
        least = self._conditions.min_score
        if least is None:
            return {}
        unknown = np.isnan(samples.scores)
        return {f"score below {least:g}": ~(samples.scores < least), "score unknown": ~unknown}

    def _by_pose(self, samples: Samples) -> dict[str, Mask]:
        most = self._conditions.max_angles
        if all(limit is None for limit in most):
            return {}
        sizes = np.where(samples.image_sizes > 0, samples.image_sizes, np.array(SQUARE, dtype=np.int32))
        landmarks, _ = split(torch.tensor(samples.perceptions))
        angles = head_pose(landmarks, torch.from_numpy(sizes), self._template).abs().numpy()  # (N, 3)
        return {
            f"{axis} beyond {limit:g}°": angles[:, number] <= limit
            for number, (axis, limit) in enumerate(zip(AXES, most, strict=True))
            if limit is not None
        }

    def _by_text(self, samples: Samples) -> dict[str, Mask]:
        asked = self._conditions
        wanted = {
            "another prompt": (asked.prompts, samples.prompts),
            "another label": (asked.labels, samples.labels),
            "another group": (asked.groups, samples.groups),
            "another split": (asked.splits, samples.splits),
        }
        met = {
            name: np.array([text in choices for text in texts], dtype=np.bool_)
            for name, (choices, texts) in wanted.items()
            if choices
        }
        if asked.prompt_parts:
            parts = [part.casefold() for part in asked.prompt_parts]
            met["prompt without the words"] = np.array(
                [any(part in prompt.casefold() for part in parts) for prompt in samples.prompts], dtype=np.bool_
            )
        return met
