"""The emotions and actions of compared faces, as rows of numbers and as text."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..actions.names import ACTIONS, BOTH, values_of
from ..vector import EMOTIONS
from .compare import Comparison

MOST_ACTIONS = 12  # in the table and the picture
SHOWN_FROM = 0.1  # of an action, in one of the faces
ONE_SIDED = 0.2  # difference between left and right from which both are listed


@dataclass(frozen=True)
class Row:
    """An emotion or an action of the compared faces."""

    name: str
    target: float
    result: float
    baseline: float | None

    @property
    def values(self) -> list[float]:
        """Return the numbers of all faces."""
        return [self.target, self.result, *([] if self.baseline is None else [self.baseline])]


def emotion_rows(comparison: Comparison) -> list[Row]:
    """Return the seven emotions of the faces shown; nothing without faces."""
    faces = [emotions.tolist() for _, emotions in _faces(comparison)]
    return [_row(name, [face[index] for face in faces]) for index, name in enumerate(EMOTIONS) if faces]


def action_rows(comparison: Comparison) -> list[Row]:
    """Return up to `MOST_ACTIONS` actions of the faces shown, those that differ most first; nothing without faces.

    Left and right are one row, except where a face does something on one side.
    """
    faces = [actions[None] for actions, _ in _faces(comparison)]
    names = [name for name in ACTIONS[1:] if not name.endswith(("Left", "Right")) or _side_only(name)]
    for both in BOTH:
        sides = [f"{both}Left", f"{both}Right"]
        uneven = any(float(abs(values_of(face, sides[0]) - values_of(face, sides[1]))) >= ONE_SIDED for face in faces)
        names += sides if uneven else [both]
    rows = [_row(name, [float(values_of(face, name)) for face in faces]) for name in names if faces]
    rows = [row for row in rows if max(row.values) >= SHOWN_FROM]
    return sorted(rows, key=lambda row: min(row.values) - max(row.values))[:MOST_ACTIONS]


def _side_only(name: str) -> bool:
    return name.removesuffix("Left").removesuffix("Right") not in BOTH


def _faces(comparison: Comparison) -> list[tuple[Tensor, Tensor]]:
    """Return the actions (52,) and emotions (7,) of target, result and, if there is one, baseline."""
    pairs = zip(comparison.expressions, comparison.shown or (), strict=False)
    return [
        (some.actions[index], some.emotions[index]) for some, index in pairs if some is not None and index is not None
    ]


def _row(name: str, values: list[float]) -> Row:
    return Row(name, values[0], values[1], values[2] if len(values) > 2 else None)


def comparison_table(comparison: Comparison) -> str:
    """Return match, gain, notes and both kinds of rows as Markdown."""
    lines = [f"match {comparison.match:.2f}, gain {comparison.gain:.2f}", *(f"⚠ {note}" for note in comparison.notes)]
    rows = [*emotion_rows(comparison), *action_rows(comparison)]
    if not rows:
        return "\n".join(lines)
    with_baseline = rows[0].baseline is not None
    lines += ["", "| | target | result |" + " baseline |" * with_baseline, "|---|---|---|" + "---|" * with_baseline]
    lines += ["| " + " | ".join([row.name, *(f"{value:.2f}" for value in row.values)]) + " |" for row in rows]
    return "\n".join(lines)
