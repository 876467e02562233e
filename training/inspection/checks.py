"""Inspect the contents and quality of a dataset: counts, balance, near-duplicates, outliers, leakage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset.samples import Floats
from ..learning.split import FEWEST, split_rows
from .inspection import Inspection, Issue, Pair
from .issues import issues_of
from .near_duplicates import near_duplicates
from .outliers import outlier_limit
from .scan import DatasetScan, Numbers

SAME_TARGET = 0.99  # cosine above which the vectors of two prompts are practically the same target
EXAMPLES = 10  # number of pairs and outliers that are named

Mask = NDArray[np.bool_]


def inspect_scan(scan: DatasetScan, path: Path) -> Inspection:
    """Return the inspection of a scan of the file `path`."""
    made_with = scan.provenance
    sizes = scan.image_sizes[scan.image_sizes[:, 0] > 0].astype(np.int64)
    by_area = np.argsort(sizes.prod(axis=1), kind="stable")
    smallest, largest = (tuple(sizes[by_area[end]].tolist()) if len(sizes) else None for end in (0, -1))
    scores = scan.scores[~np.isnan(scan.scores)]
    limit = outlier_limit(scan.outlier_score)
    strangest = np.argsort(-scan.outlier_score, kind="stable")[:EXAMPLES].tolist()
    inspection = Inspection(
        path=str(path),
        file_bytes=path.stat().st_size,
        samples=len(scan),
        encoder=made_with.encoder if made_with else "",
        has_fingerprint=made_with is not None and made_with.fingerprint is not None,
        space=made_with.space if made_with else "",
        has_subject=scan.has_subject,
        landmarker=made_with.landmarker if made_with else "",
        emotion_model=made_with.emotion_model if made_with else "",
        versions=scan.versions,
        labels=scan.labels.counts(),
        prompts=scan.prompts.counts(),
        groups=scan.groups.counts(),
        splits=scan.splits.counts(),
        known_sizes=len(sizes),
        smallest_picture=smallest,
        largest_picture=largest,
        known_scores=len(scores),
        filled_in=int((scores == 0).sum()),
        lowest_score=round(float(scores.min()), 4) if len(scores) else None,
        median_score=round(float(np.median(scores)), 4) if len(scores) else None,
        **_near_duplicates(scan),
        near_duplicate_prompts=_near_duplicate_prompts(scan.prompts.texts, scan.vectors),
        outliers=int((scan.outlier_score > limit).sum()),
        outlier_limit=round(limit, 2),
        outlier_examples=[
            (scan.sources[row], round(float(scan.outlier_score[row]), 1))
            for row in strangest
            if scan.outlier_score[row] > limit
        ],
    )
    issues = [*issues_of(inspection), *_splitting(scan)]
    return replace(inspection, issues=sorted(issues, key=lambda issue: not issue.blocking))


def clusters_of(scan: DatasetScan, among: Mask | None = None) -> Numbers:
    """Return, for each sample (N,), the first sample of its cluster: an identical or near-duplicate perception.

    With `among` (N,), only those samples are clustered; each of the others keeps its own number.
    """
    rows = np.arange(len(scan)) if among is None else np.flatnonzero(among)  # (n,)
    first = np.full(len(scan), len(scan))
    np.minimum.at(first, scan.first_row[rows], rows)
    identical = first[scan.first_row[rows]]  # (n,) the first of these rows with the same perception
    distinct = rows[identical == rows]
    clusters = np.arange(len(scan))
    clusters[distinct] = distinct[near_duplicates(scan.components[distinct])]
    clusters[rows] = clusters[identical]
    return clusters


def _splitting(scan: DatasetScan) -> list[Issue]:
    """Return the error of the split that training would create, if any, else what it takes from other parts."""
    if len(scan) < FEWEST:
        return []  # reported already
    groups, splits = ([column.texts[code] for code in column.codes.tolist()] for column in (scan.groups, scan.splits))
    try:
        split = split_rows(groups, len(scan), splits=splits)
    except ValueError as error:
        return [Issue(True, str(error))]
    return [Issue(False, note) for note in split.notes]


def _near_duplicates(scan: DatasetScan) -> dict[str, Any]:
    """Return the fields of Inspection about faces that occur more than once."""
    rows, cluster = np.arange(len(scan)), clusters_of(scan)
    distinct = scan.first_row == rows
    labels = np.where(scan.labels.empty, -1, scan.labels.codes)
    contradicting = _varied(cluster, labels, counted=labels >= 0)
    # Training keeps a group together; a sample without one is its own group. The split of the source takes precedence.
    groups = np.where(scan.groups.empty, -1 - rows, scan.groups.codes)
    unsplit = np.zeros(len(scan), dtype=np.bool_)
    unsplit[cluster[scan.splits.empty]] = True
    apart = _varied(cluster, scan.splits.codes, counted=~scan.splits.empty)
    straddling = np.where(unsplit[cluster], _varied(cluster, groups, counted=np.ones_like(apart)), apart)
    return {
        "perceptions": int(distinct.sum()),
        "repeated": int((~distinct).sum()),
        "near_duplicates": int((distinct & (cluster != rows)).sum()),
        "contradicting": int(contradicting.sum()),
        "straddling": int(straddling.sum()),
        "contradictions": _pairs(scan, cluster, labels, contradicting),
        "leaks": _pairs(scan, cluster, np.where(unsplit[cluster], groups, scan.splits.codes), straddling),
    }


def _varied(cluster: Numbers, values: Numbers, counted: Mask) -> Mask:
    """Return (N,) bool: whether the counted samples in each sample's cluster have different values."""
    low, high = np.full(len(cluster), np.iinfo(np.int64).max), np.full(len(cluster), np.iinfo(np.int64).min)
    np.minimum.at(low, cluster[counted], values[counted])
    np.maximum.at(high, cluster[counted], values[counted])
    varied: Mask = (low < high)[cluster]
    return varied


def _pairs(scan: DatasetScan, cluster: Numbers, values: Numbers, where: Mask) -> list[Pair]:
    """Return the sources of two samples with different values, for some clusters."""
    pairs: dict[int, Pair] = {}
    for row in np.flatnonzero(where).tolist():
        first = int(cluster[row])
        if first not in pairs and values[row] != values[first]:
            pairs[first] = (scan.sources[first], scan.sources[row])
            if len(pairs) == EXAMPLES:
                break
    return list(pairs.values())


def _near_duplicate_prompts(prompts: list[str], vectors: Floats) -> list[Pair]:
    """Return pairs of prompts with practically the same vector."""
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    pairs = []
    for row in range(1, len(units)):
        near = np.flatnonzero(units[:row] @ units[row] > SAME_TARGET)
        if len(near):
            pairs.append((prompts[int(near[0])], prompts[row]))
    return pairs
