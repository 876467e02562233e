"""Compute the mean face of each label of a dataset, or of each prompt if there are no labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...perception.geometry import align, true_proportions
from ...perception.vector import LANDMARK_VALUES, PERCEPTION_DIM, split
from ..dataset.snapshot import Snapshot
from ..prompts.labels import LabelNames


@dataclass(frozen=True)
class MeanFaces:
    """K mean faces, the one with the most samples first."""

    names: list[str]  # labels or prompts
    counts: list[int]  # number of samples averaged in each
    vectors: Tensor  # (K, 1441) float32: landmarks in the template's frame and units, and the mean probabilities


def mean_faces(
    snapshot: Snapshot, template: Tensor, most: int, progress: Callable[[int], None] | None = None
) -> MeanFaces:
    """Return the mean faces of up to `most` labels or prompts, those with the most samples, in constant memory.

    `template` (478, 3) is the face that all are aligned with before averaging, so that pose, position and size do not
    blur them. `progress`, if given, is called with the number of samples just read; an exception from it ends the run.
    """
    column, name_of = "labels", LabelNames()
    counted = _count(snapshot, column, name_of)
    if not counted:
        column = "prompts"
        counted = _count(snapshot, column, str)
    common = counted.most_common(most)
    row_of = {name: row for row, (name, _) in enumerate(common)}
    sums = torch.zeros(len(common), PERCEPTION_DIM, dtype=torch.float64)
    for samples in snapshot.samples():
        names = [name_of(label) for label in samples.labels] if column == "labels" else samples.prompts
        chosen = [index for index, name in enumerate(names) if name in row_of]
        if chosen:
            rows = torch.tensor([row_of[names[index]] for index in chosen])
            landmarks, emotions = split(torch.from_numpy(samples.perceptions[chosen]))
            sizes = torch.from_numpy(samples.image_sizes[chosen]).clamp_min(1)  # unknown ones count as square
            points = align(true_proportions(landmarks, sizes), template).points
            sums.index_add_(0, rows, torch.cat([points.flatten(1), emotions], dim=1).double())
        if progress is not None:
            progress(len(samples))
    counts = [number for _, number in common]
    means = sums / torch.tensor(counts, dtype=torch.float64)[:, None]
    means[:, LANDMARK_VALUES:] /= means[:, LANDMARK_VALUES:].sum(dim=1, keepdim=True)
    return MeanFaces([name for name, _ in common], counts, means.float())


def _count(snapshot: Snapshot, column: str, name_of: Callable[[str], str]) -> Counter[str]:
    """Return the number of samples of each text that is not empty, by the text's name."""
    counted: Counter[str] = Counter()
    for texts in snapshot.column(column):
        counted.update(name_of(text) for text in texts if text)
    return counted
