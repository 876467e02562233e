"""Read a dataset once and keep what the inspection needs: 350 bytes per sample and its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...perception.vector import EMOTIONS, LANDMARK_VALUES
from ...projection.spaces import EMBEDDING
from ..dataset.copying import SampleSource
from ..dataset.opening import versions_of
from ..dataset.samples import Floats, Provenance
from ..dataset.snapshot import BATCH
from ..prompts.labels import LabelNames
from .outliers import COMPONENTS, FaceSpace

MOST_PROMPTS = 4096  # number of prompts whose vectors are kept: 12 MB

Numbers = NDArray[np.int64]


class Column:
    """One text per sample, stored as indices of the distinct texts."""

    def __init__(self, count: int) -> None:
        self.texts: list[str] = []  # the distinct texts, in order of appearance
        self.codes = np.empty(count, np.int64)  # (N,) indices into `texts`
        self._code_of: dict[str, int] = {}

    def add(self, start: int, texts: list[str]) -> None:
        """Set the texts of the samples from `start` on."""
        for row, text in enumerate(texts, start):
            code = self._code_of.setdefault(text, len(self.texts))
            if code == len(self.texts):
                self.texts.append(text)
            self.codes[row] = code

    def counts(self) -> dict[str, int]:
        """Return every text except the empty one with its number of samples, the most frequent first."""
        numbers = np.bincount(self.codes, minlength=len(self.texts)).tolist()
        order = sorted(range(len(self.texts)), key=lambda code: -numbers[code])
        return {self.texts[code]: numbers[code] for code in order if self.texts[code]}

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Return a mask (N,) of the samples without a text."""
        code = self.texts.index("") if "" in self.texts else -1
        empty: NDArray[np.bool_] = self.codes == code
        return empty


@dataclass(frozen=True)
class DatasetScan:
    """The data kept about N samples."""

    provenance: Provenance | None
    versions: dict[str, str]  # of the file format, and of the libraries that wrote it, if recorded
    has_subject: bool
    components: Floats  # (N, 64): the pose-free face (training/inspection/outliers.py)
    outlier_score: Floats  # (N,)
    poses: Floats  # (N, 3) yaw, pitch and roll, degrees
    emotions: Floats  # (N, 7) probabilities
    scores: Floats  # (N,); NaN where unknown
    image_sizes: NDArray[np.int32]  # (N, 2); zeros where unknown
    first_row: Numbers  # (N,) the first sample with the identical perception
    prompts: Column
    labels: Column
    groups: Column
    splits: Column
    sources: list[str]
    vectors: Floats  # (P, 768): of the first P ≤ MOST_PROMPTS distinct prompts

    def __len__(self) -> int:
        return len(self.sources)


def scan_dataset(rows: SampleSource, progress: Callable[[int], object] | None = None) -> DatasetScan:
    """Read all samples once. `progress`, if given, is called with the number of samples just read.

    An exception from it ends the scan.
    """
    count, space = len(rows), FaceSpace()
    components, emotions = np.empty((count, COMPONENTS), np.float32), np.empty((count, len(EMOTIONS)), np.float32)
    outlier_score, scores, poses = (np.empty(shape, np.float32) for shape in (count, count, (count, 3)))
    sizes, first_row = np.empty((count, 2), np.int32), np.empty(count, np.int64)
    columns = {name: Column(count) for name in ("prompts", "labels", "groups", "splits")}
    sources: list[str] = []
    label_name = LabelNames()
    vectors: list[Floats] = []
    first_rows: dict[int, int] = {}
    for samples in rows.samples(BATCH):
        start = len(sources)
        part = slice(start, start + len(samples))
        components[part], outlier_score[part], poses[part] = space.measure(samples.perceptions, samples.image_sizes)
        emotions[part] = samples.perceptions[:, LANDMARK_VALUES:]
        scores[part], sizes[part] = samples.scores, samples.image_sizes
        for row, perception in enumerate(samples.perceptions, start):
            first_row[row] = first_rows.setdefault(hash(perception.tobytes()), row)
        for name, column in columns.items():
            texts = getattr(samples, name)
            column.add(start, [label_name(text) for text in texts] if name == "labels" else texts)
        while len(vectors) < min(len(columns["prompts"].texts), MOST_PROMPTS):
            vectors.append(samples.embeddings[samples.prompts.index(columns["prompts"].texts[len(vectors)])])
        sources.extend(samples.sources)
        if progress is not None:
            progress(len(samples))
    return DatasetScan(
        provenance=rows.provenance,
        versions=versions_of(rows),
        has_subject=rows.has_subject,
        components=components,
        outlier_score=outlier_score,
        poses=poses,
        emotions=emotions,
        scores=scores,
        image_sizes=sizes,
        first_row=first_row,
        **columns,
        sources=sources,
        vectors=np.array(vectors, dtype=np.float32).reshape(len(vectors), EMBEDDING),
    )
