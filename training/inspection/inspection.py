"""The result of inspecting a dataset: counts, origins, near-duplicates, outliers, and the issues found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Pair = tuple[str, str]


@dataclass(frozen=True)
class Issue:
    """A problem to know before training."""

    blocking: bool  # training is impossible or pointless until this is fixed
    text: str


@dataclass(frozen=True)
class Inspection:
    """The contents and problems of a dataset. Counts are by text, the most frequent first."""

    path: str
    file_bytes: int
    samples: int

    # The models and libraries that created the samples; empty while there are none.
    encoder: str
    has_fingerprint: bool
    space: str
    has_subject: bool  # whether all prompts have the subject's vectors
    landmarker: str
    emotion_model: str
    versions: dict[str, str]  # of the file format, and of the libraries that wrote it, if recorded

    labels: dict[str, int]
    prompts: dict[str, int]
    groups: dict[str, int]
    splits: dict[str, int]

    known_sizes: int  # pictures whose size is known
    smallest_picture: tuple[int, int] | None  # (height, width) of the one with the fewest pixels
    largest_picture: tuple[int, int] | None
    known_scores: int  # faces whose detection score is known
    filled_in: int  # faces with score 0: not detected, but filled in from adjacent pictures
    lowest_score: float | None
    median_score: float | None

    # Faces that occur more than once. Near-duplicates form a cluster around its first sample.
    perceptions: int  # number of distinct perceptions
    repeated: int  # samples that repeat an earlier perception exactly, with another prompt
    near_duplicates: int  # of an earlier perception: copies of a photo, adjacent video frames
    contradicting: int  # samples in clusters with different labels
    straddling: int  # samples in clusters that the training split can separate
    contradictions: list[Pair]  # pairs of sources, some of each kind
    leaks: list[Pair]
    near_duplicate_prompts: list[Pair]

    outliers: int  # faces that look invalid
    outlier_limit: float  # outlier score above which a face is an outlier; a typical photo has 1
    outlier_examples: list[tuple[str, float]]  # source and outlier score of some, the highest first

    issues: list[Issue] = field(default_factory=list)  # what prevents training or should be checked

    @property
    def balance(self) -> tuple[tuple[str, int], tuple[str, int]] | None:
        """Return the most and the least frequent label (or prompt if there are no labels), if there are two."""
        counts = list((self.labels or self.prompts).items())
        return (counts[0], counts[-1]) if len(counts) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """Return the content for JSON."""
        return asdict(self)
