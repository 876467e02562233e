"""The result of inspecting a dataset: counts, origins, balance, near-duplicates, outliers, and the issues found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Issue:
    """A problem to know before training."""

    blocking: bool  # training is impossible or pointless until this is fixed
    text: str


@dataclass(frozen=True)
class Origin:
    """The models and libraries that created the samples."""

    encoder: str
    has_fingerprint: bool
    space: str
    has_subject: bool  # whether all prompts have the subject's vectors
    landmarker: str
    emotion_model: str
    versions: dict[str, str]  # of the file format, and of the libraries that wrote it, if recorded


@dataclass(frozen=True)
class Sizes:
    """The sizes of the pictures, (height, width) in pixels."""

    known: int
    smallest: tuple[int, int]  # of the picture with the fewest pixels
    largest: tuple[int, int]


@dataclass(frozen=True)
class Scores:
    """The confidence scores of the detector."""

    known: int
    filled_in: int  # faces with score 0: not detected, but filled in from adjacent pictures
    lowest: float | None
    median: float | None


@dataclass(frozen=True)
class Balance:
    """The most and the least frequent label (or prompt if there are no labels)."""

    most: tuple[str, int]
    least: tuple[str, int]

    @property
    def ratio(self) -> float:
        return self.most[1] / self.least[1]


@dataclass(frozen=True)
class NearDuplicates:
    """Faces that occur more than once in the dataset. Near-duplicates form a cluster around its first sample."""

    perceptions: int  # number of distinct perceptions
    repeated: int  # samples that repeat an earlier perception exactly, with another prompt
    near: int  # near-duplicates of an earlier perception: copies of a photo, adjacent video frames
    contradicting: int  # samples in clusters with different labels
    straddling: int  # samples in clusters that the training split can separate
    contradictions: list[tuple[str, str]]  # pairs of sources, some of each kind
    leaks: list[tuple[str, str]]


@dataclass(frozen=True)
class Outliers:
    """Faces that look invalid."""

    count: int
    limit: float  # outlier score above which a face is an outlier; a typical photo has 1
    examples: list[tuple[str, float]]  # source and outlier score of some, the highest first


@dataclass(frozen=True)
class Inspection:
    """The contents and problems of a dataset. Counts are by text, the most frequent first."""

    path: str
    file_bytes: int
    samples: int
    origin: Origin | None  # None while there are no samples
    labels: dict[str, int]
    prompts: dict[str, int]
    groups: dict[str, int]
    splits: dict[str, int]
    sizes: Sizes | None  # None: unknown
    scores: Scores
    balance: Balance | None  # None: fewer than two labels
    near_duplicates: NearDuplicates
    outliers: Outliers
    near_duplicate_prompts: list[tuple[str, str]]
    issues: list[Issue] = field(default_factory=list)  # what prevents training or should be checked

    def as_dict(self) -> dict[str, Any]:
        """Return the content for JSON."""
        return asdict(self)
