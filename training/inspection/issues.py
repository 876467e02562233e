"""Describe in words what prevents training on a dataset or should be checked before it."""

from __future__ import annotations

from collections.abc import Iterator

from ...common.words import counted
from ...projection.insight import PLACEHOLDER_ENCODER
from ..dataset.samples import UNKNOWN
from ..learning.split import FEWEST
from .inspection import Inspection, Issue, Pair

ENOUGH_SAMPLES, ENOUGH_PROMPTS = 300, 20
UNBALANCED = 5  # ratio of samples


def issues_of(inspection: Inspection) -> list[Issue]:
    """Return all issues of a dataset, those that prevent training first."""
    if not inspection.samples:
        return [
            Issue(
                True,
                "the dataset contains no samples: add some with `python -m training build` or the Dataset Writer node",
            )
        ]
    checks = (_variety, _groups, _origin, _faces, _near_duplicates)
    return [
        *(Issue(True, text) for text in _amount(inspection)),
        *(Issue(False, text) for check in checks for text in check(inspection)),
    ]


def times(ratio: float) -> str:
    """Return a ratio as text, such as `9 times` or `1.5 times`."""
    return f"{ratio:.1f} times" if ratio < 3 else f"{ratio:.0f} times"


def with_near_duplicates(count: int) -> str:
    return counted(count, "sample has a near-duplicate", "samples have near-duplicates")


def _amount(inspection: Inspection) -> Iterator[str]:
    if inspection.samples < FEWEST:
        yield (
            f"the dataset has only {counted(inspection.samples, 'sample')}; at least {FEWEST} are needed, and a few "
            "hundred are recommended"
        )
    if len(inspection.prompts) < 2:
        yield "all samples have the same prompt, so there is nothing to learn: add faces with other prompts"


def _variety(inspection: Inspection) -> Iterator[str]:
    if FEWEST <= inspection.samples < ENOUGH_SAMPLES:
        yield f"the dataset has only {counted(inspection.samples, 'sample')}; a few hundred are recommended"
    if 1 < len(inspection.prompts) < ENOUGH_PROMPTS:
        yield (
            f"the dataset has only {counted(len(inspection.prompts), 'prompt')}, so all faces map to the same number "
            "of points: add more with `relabel --templates` or `build --prompts-per-picture`"
        )
    if inspection.labels and inspection.balance is not None:
        (most, many), (least, few) = inspection.balance
        if many / few >= UNBALANCED:
            yield (
                f"{most!r} has {times(many / few)} as many samples as {least!r} ({many:,} and {few:,}): add samples of "
                "the latter, or reduce the former with `filter`"
            )
    if inspection.near_duplicate_prompts:
        one, other = inspection.near_duplicate_prompts[0]
        yield (
            f"{counted(len(inspection.near_duplicate_prompts), 'prompt has', 'prompts have')} nearly the same vector "
            f"as another prompt, such as {other!r} and {one!r}: use wordings that differ more"
        )


def _groups(inspection: Inspection) -> Iterator[str]:
    grouped = sum(inspection.groups.values())
    alone = inspection.samples - grouped
    if sum(inspection.splits.values()) == inspection.samples:  # the source has split it
        return
    if not grouped:
        yield "no sample has a group, so the same person may be used for training and evaluation: set groups"
    elif len(inspection.groups) + alone < FEWEST:
        yield (
            f"the dataset has fewer than {FEWEST} groups ({len(inspection.groups)}), so single samples are held out "
            "and similar faces are in both training and evaluation: add other people or clips"
        )
    elif alone:
        yield f"{counted(alone, 'sample has', 'samples have')} no group, and each counts as a separate group"


def _origin(inspection: Inspection) -> Iterator[str]:
    if inspection.encoder.startswith(PLACEHOLDER_ENCODER):
        yield "its text vectors are from a placeholder encoder with random weights and mean nothing to Stable Diffusion"
    elif inspection.encoder == UNKNOWN or not inspection.has_fingerprint:
        yield "the text encoder of its vectors is unknown, so a mismatch cannot be detected later"
    if not inspection.known_sizes:
        yield "the sizes of its pictures are unknown, so they count as square; faces in other pictures look stretched"


def _faces(inspection: Inspection) -> Iterator[str]:
    if inspection.outliers:
        name = inspection.outlier_examples[0][0] or "one without a source"
        yield (
            f"{counted(inspection.outliers, 'face looks', 'faces look')} invalid, such as {name!r}: check the source, "
            "or remove such faces with `filter --drop-outliers`"
        )
    if inspection.filled_in:
        yield (
            f"{counted(inspection.filled_in, 'face was', 'faces were')} not detected but filled in from adjacent "
            "pictures: remove them with `filter --min-score 0.01`"
        )


def _near_duplicates(inspection: Inspection) -> Iterator[str]:
    if inspection.straddling:
        yield (
            f"{with_near_duplicates(inspection.straddling)} in another group or split, so the evaluation uses faces "
            f"from training{_such_as(inspection.leaks)}: remove them with `filter --drop-near-duplicates`"
        )
    if inspection.contradicting:
        yield (
            f"{counted(inspection.contradicting, 'sample is a near-duplicate', 'samples are near-duplicates')} with "
            f"different labels{_such_as(inspection.contradictions)}: check which label is right"
        )


def _such_as(pairs: list[Pair]) -> str:
    complete = [pair for pair in pairs if all(pair)]
    return f", such as {complete[0][0]} and {complete[0][1]}" if complete else ""
