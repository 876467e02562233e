"""What stands in the way of training on a dataset, or should be looked at first, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...common.words import counted
from ..dataset.samples import UNKNOWN
from ..learning.split import FEWEST

if TYPE_CHECKING:
    from .checks import Inspection

ENOUGH_SAMPLES, ENOUGH_PROMPTS = 300, 20
UNBALANCED = 5  # times as many samples


@dataclass(frozen=True)
class Finding:
    """One thing to know before training."""

    stops: bool  # training is impossible or pointless until this is mended
    text: str


def findings_of(inspection: Inspection | None) -> list[Finding]:
    """All that can be said against a dataset; of None, one without samples."""
    if inspection is None or inspection.origin is None:
        return [
            Finding(True, "it holds no samples: add some with `python -m training build` or the Dataset Writer node")
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
    """`9 times` or `1.5 times`."""
    return f"{ratio:.1f} times" if ratio < 3 else f"{ratio:.0f} times"


def near_copies(count: int) -> str:
    return counted(count, "sample has a near-copy", "samples have near-copies")


def _amount(held: Inspection) -> list[str]:
    found = []
    if held.samples < FEWEST:
        found.append(f"it has {counted(held.samples, 'sample')}; {FEWEST} are the least, a few hundred are enough")
    if len(held.prompts) < 2:
        found.append("all samples have one prompt, so there is nothing to tell apart: add faces with other prompts")
    return found


def _variety(held: Inspection) -> list[str]:
    found = []
    if FEWEST <= held.samples < ENOUGH_SAMPLES:
        found.append(f"it has only {counted(held.samples, 'sample')}; a few hundred are enough")
    if 1 < len(held.prompts) < ENOUGH_PROMPTS:
        found.append(
            f"it has only {counted(len(held.prompts), 'prompt')}, so that all faces map onto as many points: make "
            "more with "
            "`relabel --templates` or `build --prompts-per-picture`"
        )
    if held.balance is not None and held.balance.ratio >= UNBALANCED and held.labels:
        (most, many), (least, few) = held.balance.most, held.balance.least
        found.append(
            f"{most!r} has {times(held.balance.ratio)} as many samples as {least!r} ({many:,} and {few:,}): add some, "
            "or `filter` others out"
        )
    if held.alike_prompts:
        one, other = held.alike_prompts[0]
        pairs = counted(len(held.alike_prompts), "prompt has", "prompts have")
        found.append(f"{pairs} nearly the vector of another, such as {other!r} that of {one!r}: they are one target")
    return found


def _groups(held: Inspection) -> list[str]:
    named = sum(held.groups.values())
    alone = held.samples - named
    if sum(held.splits.values()) == held.samples:  # the source has split it
        return []
    if not named:
        return ["no sample has a group, so that faces of one person may be learnt from and judged by: name groups"]
    if len(held.groups) + alone < FEWEST:
        return [
            f"it has fewer than {FEWEST} groups ({len(held.groups)}), so samples are split one by one, and similar "
            "faces lie on both sides: add other people or clips"
        ]
    return (
        [f"{counted(alone, 'sample has', 'samples have')} no group, and each counts as one of its own"] if alone else []
    )


def _origin(held: Inspection) -> list[str]:
    found = []
    assert held.origin is not None
    if "stand-in" in held.origin.encoder:
        found.append("its text vectors are of a stand-in with random weights, which mean nothing to Stable Diffusion")
    elif held.origin.encoder == UNKNOWN or not held.origin.has_fingerprint:
        found.append("it does not say which text encoder made its vectors, so a mismatch cannot be noticed later")
    if held.sizes is None:
        found.append("its pictures' sizes are unknown, so they count as square; of others, faces look stretched")
    return found


def _faces(held: Inspection) -> list[str]:
    found = []
    if held.outliers is not None and held.outliers.count:
        name = held.outliers.strangest[0][0] or "one without source"
        found.append(
            f"{counted(held.outliers.count, 'face looks', 'faces look')} like no face, such as {name!r}: "
            "see what is there, or leave out such faces with `filter --drop-outliers`"
        )
    if held.scores is not None and held.scores.filled_in:
        found.append(
            f"{counted(held.scores.filled_in, 'face was', 'faces were')} not seen but filled in between others: "
            "leave them out with `filter --min-score 0.01`"
        )
    return found


def _twins(held: Inspection) -> list[str]:
    found: list[str] = []
    twins = held.duplicates
    if twins is None:
        return found
    if twins.straddling:
        found.append(
            f"{near_copies(twins.straddling)} in another group or split, so that training is judged by what it has "
            f"seen{_such_as(twins.leaks)}: `filter --drop-duplicates`"
        )
    if twins.contradicting:
        found.append(
            f"{counted(twins.contradicting, 'sample looks', 'samples look')} nearly the same as others with another "
            f"label{_such_as(twins.contradictions)}: see which one is right"
        )
    return found


def _such_as(pairs: list[tuple[str, str]]) -> str:
    named = [pair for pair in pairs if all(pair)]
    return f", such as {named[0][0]} and {named[0][1]}" if named else ""
