"""The strengths of a sweep, and the one that the measured gains recommend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from ...common.errors import InputError
from ...common.words import counted
from ..vector import Perceptions
from .compare import Comparison, compare, first_rows
from .expressions import ExpressionReader

FALL = 0.1  # a gain this much below the highest so far has stopped rising; less is noise
NO_EFFECT = 0.1  # the highest gain below which nothing is recommended
GRID = 0.05  # of recommended strengths, as on the widgets


@dataclass(frozen=True)
class Sweep:
    """Pictures that differ in strength only, compared with the target."""

    strengths: tuple[float, ...]
    comparison: Comparison
    seen: tuple[bool, ...]  # whether each picture has a face
    recommended: float
    reason: str


def even_strengths(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return `count` strengths from first to last, at equal distances. Raises ValueError for fewer than 2."""
    if count < 2:
        raise InputError(f"a sweep needs at least 2 pictures, not {count}")
    return tuple(round(first + (last - first) * index / (count - 1), 6) for index in range(count))


def strengths_text(strengths: Sequence[float]) -> str:
    """Return strengths as text, such as `0, 0.5, 1`."""
    return ", ".join(f"{strength:g}" for strength in strengths)


def parse(text: str) -> tuple[float, ...]:
    """Return the strengths in a text such as `0, 0.5, 1`. Raises ValueError for anything else."""
    try:
        strengths = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        strengths = ()
    if not strengths or not all(map(math.isfinite, strengths)):
        raise InputError(
            f"strengths must be numbers separated by commas, such as 0, 0.5, 1, not {text!r}; connect the strengths "
            "output of Strength Sweep"
        )
    return strengths


def measure_sweep(
    target: Perceptions, result: Perceptions, strengths: Sequence[float], reader: ExpressionReader
) -> Sweep:
    """Return the pictures of a sweep, one for each strength, compared with the target.

    The baseline is the picture at strength 0, if there is one with a face; otherwise the average neutral face. Raises
    ValueError if there is not one picture for each strength.
    """
    if result.frame_count != len(strengths):
        raise InputError(
            f"result has {counted(result.frame_count, 'picture')}, but there are {len(strengths)} strengths; "
            "connect all pictures of the sweep to Face Perception"
        )
    rows = first_rows(result)
    starts = [row for row, strength in zip(rows, strengths, strict=True) if strength == 0 and row is not None]
    baseline = None
    if starts:
        baseline = replace(result.select(starts[:1]), frames=torch.tensor([0]), frame_count=1)
    comparison = compare(target, result, baseline, reader)
    seen = tuple(row is not None for row in rows)
    recommended, reason = recommend(strengths, comparison.gains, seen)
    return Sweep(tuple(strengths), comparison, seen, recommended, reason)


def recommend(strengths: Sequence[float], gains: Sequence[float], seen: Sequence[bool]) -> tuple[float, str]:
    """Return the strength to use, and why.

    From strength 0 upward, gains count as long as every picture above 0 has a face and the gain is not `FALL` below the
    highest so far: beyond, a higher strength damages the picture. Where the gain passes 1, the strength is
    interpolated; otherwise it is that of the highest gain. It is 0 if no gain reaches `NO_EFFECT`.
    """
    if max(strengths) <= 0:
        return 0.0, "there is no picture at a strength above 0"
    usable: list[tuple[float, float]] = []
    highest, stop = 0.0, ""
    for strength, gain, face in sorted(zip(strengths, gains, seen, strict=True)):
        if strength < 0 or (strength == 0 and not face):  # without a face at 0, gains start at the average neutral face
            continue
        if not face:
            stop = f"; no face at {strength:g}"
            break
        if gain < highest - FALL:
            stop = f"; the gain falls from {strength:g} on"
            break
        highest = max(highest, gain)
        usable.append((strength, gain))
    if highest < NO_EFFECT:
        return 0.0, f"no effect: the gain stays below {NO_EFFECT:g}{stop}"
    if usable[0][1] >= 1:
        return on_grid(usable[0][0]), f"the gain is {usable[0][1]:.2f} at the lowest strength; try lower ones"
    for (before, low), (after, high) in pairwise(usable):
        if low < 1 <= high:
            return on_grid(before + (after - before) * (1 - low) / (high - low)), "where the gain reaches 1"
    strength, gain = max(usable, key=lambda pair: pair[1])
    return on_grid(strength), f"the highest gain is {gain:.2f}{stop}"


def on_grid(strength: float) -> float:
    """Return the nearest strength that the widgets can have."""
    return round(round(strength / GRID) * GRID, 2)


def sweep_table(sweep: Sweep) -> str:
    """Return strength, gain and match of each picture as a Markdown table, with the recommendation."""
    lines = [f"recommended strength {sweep.recommended:g}: {sweep.reason}"]
    lines += [f"⚠ {note}" for note in sweep.comparison.notes]
    lines += ["", "| strength | gain | match |", "|---|---|---|"]
    for strength, gain, match, face in zip(
        sweep.strengths, sweep.comparison.gains, sweep.comparison.matches, sweep.seen, strict=True
    ):
        lines.append(f"| {strength:g} | {gain:.2f} | {match:.2f} |" if face else f"| {strength:g} | no face | |")
    return "\n".join(lines)
