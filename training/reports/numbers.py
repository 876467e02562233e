"""The numbers behind a report's pictures: means, principal components, a sample of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.words import counted
from ..inspection.mean_faces import naming
from ..inspection.scan import Column, DatasetScan, Numbers

DRAWN = 20_000  # samples at most in a map
OTHERS = -1  # the rank of what has no color of its own

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """A map of n things on their first two principal components."""

    places: Doubles  # (n, 2)
    shares: Doubles  # (2,) of the variance that each component explains, 0…1
    ranks: Numbers  # (n,) which of `names`, or OTHERS
    names: list[str]  # the most frequent labels (or prompts)
    counts: Numbers  # (n,) samples behind each point
    of: int  # total number of things, drawn or not


def map_of_faces(scan: DatasetScan, colors: int, most: int = DRAWN) -> Points:
    """Map faces without pose and their emotions, weighted equally. The `colors` most frequent names have a rank."""
    column, _ = naming(scan)
    chosen = drawn(len(scan), most)
    parts = [_centered(scan.components[chosen]), _centered(scan.emotions[chosen])]
    places, shares = principal(np.hstack([part / max(float(np.linalg.norm(part)), 1e-12) for part in parts]))
    names, ranks = _ranks(column, colors)
    return Points(places, shares, ranks[column.codes[chosen]], names, np.ones(len(chosen), np.int64), len(scan))


def map_of_prompts(scan: DatasetScan, colors: int) -> Points:
    """Map the text vectors of the distinct prompts, each ranked by the label of most of its samples."""
    column, _ = naming(scan)
    count = len(scan.vectors)
    places, shares = principal(scan.vectors)
    names, ranks = _ranks(column, colors)
    pairs, numbers = np.unique(np.stack([scan.prompts.codes, column.codes]), axis=1, return_counts=True)
    label = np.zeros(len(scan.prompts.texts), dtype=np.int64)
    for index in np.argsort(numbers, kind="stable").tolist():  # the most frequent comes last and stays
        label[pairs[0, index]] = pairs[1, index]
    counts = np.bincount(scan.prompts.codes, minlength=count)[:count]
    return Points(places, shares, ranks[label[:count]], names, counts, len(scan.prompts.texts))


def principal(rows: NDArray[np.floating]) -> tuple[Doubles, Doubles]:
    """Return the first two principal components (n, 2) of rows (n, K), K ≥ 2, and their shares of the variance (2,).

    The largest weight of a component is positive, so that the same rows always produce the same picture.
    """
    centered = _centered(rows)
    variances, axes = np.linalg.eigh(centered.T @ centered)  # ascending
    axes = axes[:, :-3:-1]  # (K, 2)
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    variances = variances.clip(0)
    return centered @ axes, variances[:-3:-1] / max(float(variances.sum()), 1e-12)


def drawn(count: int, most: int = DRAWN) -> Numbers:
    """Return up to `most` of the numbers below `count` in order: a fixed random sample."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def shown_of(shown: int, total: int, what: str, how: str = "") -> str:
    """Return a text such as `40 of 95 faces` with `how` they were chosen, or `95 faces` if all are shown."""
    return counted(total, what) if shown == total else f"{shown:,} of {counted(total, what)}{how}"


def _ranks(column: Column, colors: int) -> tuple[list[str], Numbers]:
    """Return the most frequent texts of a column, and for each of its codes the rank among them, or OTHERS."""
    names = list(column.counts())[:colors]
    ranks = np.full(len(column.texts), OTHERS)
    for rank, name in enumerate(names):
        ranks[column.texts.index(name)] = rank
    return names, ranks


def _centered(rows: NDArray[np.floating]) -> Doubles:
    wide = rows.astype(np.float64)
    centered: Doubles = wide - wide.mean(axis=0)
    return centered
