"""Compute the mean face of each label of a dataset, or of each prompt if there are no labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dataset.samples import Floats
from .outliers import FaceSpace
from .scan import Column, DatasetScan


@dataclass(frozen=True)
class MeanFaces:
    """The means of the K most frequent labels (or prompts), and of all samples."""

    kind: str  # "label" or "prompt"
    names: list[str]  # the most frequent one first
    counts: list[int]  # number of samples averaged in each
    hidden: int  # number of further labels
    faces: Floats  # (K, 478, 3) without pose, in the template's frame and units
    emotions: Floats  # (K, 7) probabilities
    face: Floats  # (478, 3): the mean of all samples
    emotion: Floats  # (7,)


def naming(scan: DatasetScan) -> tuple[Column, str]:
    """Return the column that names samples, and its kind: labels, or prompts if there are no labels."""
    return (scan.labels, "label") if scan.labels.counts() else (scan.prompts, "prompt")


def mean_faces(scan: DatasetScan, most: int) -> MeanFaces:
    """Return the mean faces of up to `most` labels (or prompts) of a dataset with at least one sample.

    A dataset without any texts has one mean, that of all samples, named "".
    """
    column, kind = naming(scan)
    counts = column.counts() or {"": len(scan)}
    names = list(counts)[:most]
    rows = [*(np.flatnonzero(column.codes == column.texts.index(name)) for name in names), np.arange(len(scan))]
    space = FaceSpace()
    faces = np.stack([space.face(scan.components[chosen].mean(axis=0, dtype=np.float64)) for chosen in rows])
    emotions = np.stack([scan.emotions[chosen].mean(axis=0, dtype=np.float64) for chosen in rows]).astype(np.float32)
    return MeanFaces(
        kind=kind,
        names=names,
        counts=[counts[name] for name in names],
        hidden=len(counts) - len(names),
        faces=faces[:-1],
        emotions=emotions[:-1],
        face=faces[-1],
        emotion=emotions[-1],
    )
