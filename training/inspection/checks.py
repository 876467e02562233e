"""Inspect the contents and quality of a dataset: counts, balance, duplicates, outliers, leakage.

`findings_of` describes in words what prevents training or should be checked before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...common.words import counted
from ..dataset.samples import UNKNOWN
from ..learning.split import FEWEST

if TYPE_CHECKING:
    pass
from collections.abc import Callable
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.opening import open_dataset, versions_of
from ..dataset.samples import Floats
from ..learning.split import split_rows
from .duplicates import near_duplicates
from .outliers import outlier_limit
from .survey import Numbers, Survey, survey

ENOUGH_SAMPLES, ENOUGH_PROMPTS = 300, 20
UNBALANCED = 5  # ratio of samples

Mask = NDArray[np.bool_]
ALIKE = 0.99  # cosine above which the vectors of two prompts are practically the same target
EXAMPLES = 10  # number of pairs and outliers that are named


@dataclass(frozen=True)
class Finding:
    """A finding to know before training."""

    stops: bool  # training is impossible or pointless until this is fixed
    text: str


def findings_of(inspection: Inspection | None) -> list[Finding]:
    """Return all problems of a dataset; None is a dataset without samples."""
    if inspection is None or inspection.origin is None:
        return [
            Finding(
                True,
                "the dataset contains no samples: add some with `python -m training build` or the Dataset Writer node",
            )
        ]
    stops = [Finding(True, text) for text in (*_amount(inspection),)]
    looks = (
        *_variety(inspection),
        *_groups(inspection),
        *_origin(inspection),
        *_faces(inspection),
        *_twins(inspection),
    )
    return [*stops, *(Finding(False, text) for text in looks)]


def times(ratio: float) -> str:
    """Return a ratio as text, such as `9 times` or `1.5 times`."""
    return f"{ratio:.1f} times" if ratio < 3 else f"{ratio:.0f} times"


def near_copies(count: int) -> str:
    return counted(count, "sample has a near-duplicate", "samples have near-duplicates")


def _amount(held: Inspection) -> list[str]:
    found = []
    if held.samples < FEWEST:
        found.append(
            f"the dataset has only {counted(held.samples, 'sample')}; at least {FEWEST} are needed, and a few hundred "
            "are recommended"
        )
    if len(held.prompts) < 2:
        found.append("all samples have the same prompt, so there is nothing to learn: add faces with other prompts")
    return found


def _variety(held: Inspection) -> list[str]:
    found = []
    if FEWEST <= held.samples < ENOUGH_SAMPLES:
        found.append(f"the dataset has only {counted(held.samples, 'sample')}; a few hundred are recommended")
    if 1 < len(held.prompts) < ENOUGH_PROMPTS:
        found.append(
            f"the dataset has only {counted(len(held.prompts), 'prompt')}, so all faces map to the same number of "
            "points: add more with `relabel --templates` or `build --prompts-per-picture`"
        )
    if held.balance is not None and held.balance.ratio >= UNBALANCED and held.labels:
        (most, many), (least, few) = held.balance.most, held.balance.least
        found.append(
            f"{most!r} has {times(held.balance.ratio)} as many samples as {least!r} ({many:,} and {few:,}): add "
            "samples of the latter, or reduce the former with `filter`"
        )
    if held.alike_prompts:
        one, other = held.alike_prompts[0]
        pairs = counted(len(held.alike_prompts), "prompt has", "prompts have")
        found.append(
            f"{pairs} nearly the same vector as another prompt, such as {other!r} and {one!r}: use wordings that "
            "differ more"
        )
    return found


def _groups(held: Inspection) -> list[str]:
    named = sum(held.groups.values())
    alone = held.samples - named
    if sum(held.splits.values()) == held.samples:  # the source has split it
        return []
    if not named:
        return ["no sample has a group, so the same person may be used for training and evaluation: set groups"]
    if len(held.groups) + alone < FEWEST:
        return [
            f"the dataset has fewer than {FEWEST} groups ({len(held.groups)}), so single samples are held out and "
            "similar faces are in both training and evaluation: add other people or clips"
        ]
    return (
        [f"{counted(alone, 'sample has', 'samples have')} no group, and each counts as a separate group"]
        if alone
        else []
    )


def _origin(held: Inspection) -> list[str]:
    found = []
    assert held.origin is not None
    if "stand-in" in held.origin.encoder:
        found.append(
            "its text vectors are from a placeholder encoder with random weights and mean nothing to Stable Diffusion"
        )
    elif held.origin.encoder == UNKNOWN or not held.origin.has_fingerprint:
        found.append("the text encoder of its vectors is unknown, so a mismatch cannot be detected later")
    if held.sizes is None:
        found.append(
            "the sizes of its pictures are unknown, so they count as square; faces in other pictures look stretched"
        )
    return found


def _faces(held: Inspection) -> list[str]:
    found = []
    if held.outliers is not None and held.outliers.count:
        name = held.outliers.strangest[0][0] or "one without a source"
        found.append(
            f"{counted(held.outliers.count, 'face looks', 'faces look')} invalid, such as {name!r}: "
            "check the source, or remove such faces with `filter --drop-outliers`"
        )
    if held.scores is not None and held.scores.filled_in:
        found.append(
            f"{counted(held.scores.filled_in, 'face was', 'faces were')} not detected but filled in from adjacent "
            "pictures: remove them with `filter --min-score 0.01`"
        )
    return found


def _twins(held: Inspection) -> list[str]:
    found: list[str] = []
    twins = held.duplicates
    if twins is None:
        return found
    if twins.straddling:
        found.append(
            f"{near_copies(twins.straddling)} in another group or split, so the evaluation uses faces from training"
            f"{_such_as(twins.leaks)}: remove them with `filter --drop-duplicates`"
        )
    if twins.contradicting:
        found.append(
            f"{counted(twins.contradicting, 'sample is a near-duplicate', 'samples are near-duplicates')} with "
            f"different labels{_such_as(twins.contradictions)}: check which label is right"
        )
    return found


def _such_as(pairs: list[tuple[str, str]]) -> str:
    named = [pair for pair in pairs if all(pair)]
    return f", such as {named[0][0]} and {named[0][1]}" if named else ""


@dataclass(frozen=True)
class Origin:
    """The models and libraries that created the samples."""

    encoder: str
    has_fingerprint: bool
    space: str
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
class Duplicates:
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
    limit: float  # strangeness above which a face is an outlier; a typical photo has 1
    strangest: list[tuple[str, float]]  # source and strangeness of some


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect_file`. Counts are by text, the most frequent first."""

    path: str
    file_bytes: int
    samples: int
    origin: Origin | None  # None while there are no samples
    labels: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    sizes: Sizes | None = None
    scores: Scores | None = None
    balance: Balance | None = None
    duplicates: Duplicates | None = None
    outliers: Outliers | None = None
    alike_prompts: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)  # what prevents training or should be checked

    def as_dict(self) -> dict[str, Any]:
        """Return the content for JSON."""
        return asdict(self)


def inspect_file(path: Path, progress: Callable[[int], object] | None = None) -> Inspection:
    """Return the inspection of a .db, in its current state, or an .npz.

    It needs about 350 bytes of memory per sample, plus the texts. `progress`, if given, is called with the number of
    samples just read. Raises StoreError or DatasetError if the file is not a dataset.
    """
    path = Path(path)
    with open_dataset(path) as rows:
        seen = survey(rows, progress)
        versions = versions_of(rows)
    return inspect_survey(seen, path, versions)


def inspect_survey(seen: Survey, path: Path, versions: dict[str, str]) -> Inspection:
    """Return the inspection of a survey of the file `path`; `versions` are those recorded in the file."""
    size = path.stat().st_size
    if seen.provenance is None or not len(seen):
        return Inspection(str(path), size, 0, None, findings=findings_of(None))
    provenance = seen.provenance
    inspection = Inspection(
        path=str(path),
        file_bytes=size,
        samples=len(seen),
        origin=Origin(
            encoder=provenance.encoder,
            has_fingerprint=provenance.fingerprint is not None,
            space=provenance.space,
            landmarker=provenance.landmarker,
            emotion_model=provenance.emotion_model,
            versions=versions,
        ),
        labels=seen.labels.counts(),
        prompts=seen.prompts.counts(),
        groups=seen.groups.counts(),
        splits=seen.splits.counts(),
        sizes=_sizes(seen),
        scores=_scores(seen.scores),
        balance=_balance(seen),
        duplicates=_duplicates(seen),
        outliers=_outliers(seen),
        alike_prompts=_alike(seen.prompts.texts, seen.vectors),
    )
    inspection.findings.extend([*findings_of(inspection), *_splitting(seen)])
    inspection.findings.sort(key=lambda finding: not finding.stops)  # what prevents training comes first
    return inspection


def clusters_of(seen: Survey, among: Mask | None = None) -> Numbers:
    """Return, for each sample (N,), the first sample of its cluster: an identical or near-duplicate perception.

    With `among` (N,), only those samples are clustered; each of the others keeps its own number.
    """
    held = np.arange(len(seen)) if among is None else np.flatnonzero(among)
    first = np.full(len(seen), len(seen))  # by the first sample with a perception: the first one in `among`
    np.minimum.at(first, seen.first[held], held)
    earliest = first[seen.first[held]]  # (H,)
    distinct = held[earliest == held]
    leader = np.empty(len(seen), np.int64)
    leader[distinct] = distinct[near_duplicates(seen.components[distinct])]
    clusters = np.arange(len(seen))
    clusters[held] = leader[earliest]
    return clusters


def _splitting(seen: Survey) -> list[Finding]:
    """Return the error of the split that training would create, if any."""
    if len(seen) < FEWEST:
        return []  # reported already
    groups, splits = ([column.texts[code] for code in column.codes.tolist()] for column in (seen.groups, seen.splits))
    try:
        split_rows(groups, len(seen), splits=splits)
    except ValueError as error:
        return [Finding(True, str(error))]
    return []


def _sizes(seen: Survey) -> Sizes | None:
    known = seen.image_sizes[seen.image_sizes[:, 0] > 0].astype(np.int64)
    if not len(known):
        return None
    areas = known.prod(axis=1)
    smallest, largest = (tuple(known[row].tolist()) for row in (areas.argmin(), areas.argmax()))
    return Sizes(known=len(known), smallest=smallest, largest=largest)


def _scores(scores: Floats) -> Scores:
    known = scores[~np.isnan(scores)]
    return Scores(
        known=len(known),
        filled_in=int((known == 0).sum()),
        lowest=round(float(known.min()), 4) if len(known) else None,
        median=round(float(np.median(known)), 4) if len(known) else None,
    )


def _balance(seen: Survey) -> Balance | None:
    counts = list((seen.labels.counts() or seen.prompts.counts()).items())
    return Balance(most=counts[0], least=counts[-1]) if len(counts) > 1 else None


def _duplicates(seen: Survey) -> Duplicates:
    rows, cluster = np.arange(len(seen)), clusters_of(seen)
    distinct = seen.first == rows
    labels = np.where(seen.labels.empty, -1, seen.labels.codes)
    contradicting = _varied(cluster, labels, counted=labels >= 0)
    # Training keeps a group together; a sample without one is its own group. The split of the source takes precedence.
    groups = np.where(seen.groups.empty, -1 - rows, seen.groups.codes)
    unsplit = np.zeros(len(seen), dtype=np.bool_)
    unsplit[cluster[seen.splits.empty]] = True
    apart = _varied(cluster, seen.splits.codes, counted=~seen.splits.empty)
    straddling = np.where(unsplit[cluster], _varied(cluster, groups, counted=np.ones_like(apart)), apart)
    return Duplicates(
        perceptions=int(distinct.sum()),
        repeated=int((~distinct).sum()),
        near=int((distinct & (cluster != rows)).sum()),
        contradicting=int(contradicting.sum()),
        straddling=int(straddling.sum()),
        contradictions=_pairs(seen, cluster, labels, contradicting),
        leaks=_pairs(seen, cluster, np.where(unsplit[cluster], groups, seen.splits.codes), straddling),
    )


def _varied(cluster: Numbers, values: Numbers, counted: Mask) -> Mask:
    """Return (N,) bool: whether the counted samples in each sample's cluster have different values."""
    low, high = np.full(len(cluster), np.iinfo(np.int64).max), np.full(len(cluster), np.iinfo(np.int64).min)
    np.minimum.at(low, cluster[counted], values[counted])
    np.maximum.at(high, cluster[counted], values[counted])
    varied: Mask = (low < high)[cluster]
    return varied


def _pairs(seen: Survey, cluster: Numbers, values: Numbers, where: Mask) -> list[tuple[str, str]]:
    """Return the sources of two samples with different values, for some clusters."""
    pairs: dict[int, tuple[str, str]] = {}
    for row in np.flatnonzero(where).tolist():
        first = int(cluster[row])
        if first not in pairs and values[row] != values[first]:
            pairs[first] = (seen.sources[first], seen.sources[row])
            if len(pairs) == EXAMPLES:
                break
    return list(pairs.values())


def _outliers(seen: Survey) -> Outliers:
    limit = outlier_limit(seen.strangeness)
    order = np.argsort(-seen.strangeness, kind="stable")[:EXAMPLES].tolist()
    strangest = [(seen.sources[row], round(float(seen.strangeness[row]), 1)) for row in order]
    return Outliers(
        count=int((seen.strangeness > limit).sum()),
        limit=round(limit, 2),
        strangest=[pair for row, pair in zip(order, strangest, strict=True) if seen.strangeness[row] > limit],
    )


def _alike(prompts: list[str], vectors: Floats) -> list[tuple[str, str]]:
    """Return pairs of prompts with practically the same vector."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    pairs = []
    for row in range(1, len(units)):
        near = np.flatnonzero(units[:row] @ units[row] > ALIKE)
        if len(near):
            pairs.append((prompts[int(near[0])], prompts[row]))
    return pairs
