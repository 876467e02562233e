"""Format an evaluation as text tables for a terminal of 120 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...common.words import counted
from .evaluation import Evaluation, Score
from .kinds import KindScore
from .metrics import Interval

NAME = 36  # columns for a method's or a prompt's name
COLUMN = 26
HEADLINES = ("centered_cosine", "recall_at_1", "recall_at_5")
FURTHER = ("reciprocal_rank", "r_squared", "cosine")
EXTREMES = 5  # number of worst and of best prompts listed


def table(evaluation: Evaluation) -> str:
    """Return tables of all methods, the leads, the kinds of prompts, the emotions, the extreme prompts, and notes."""
    titles = {
        "centered_cosine": "mean-centered cosine",
        "recall_at_1": f"recall@1 of {counted(len(evaluation.names), 'prompt')}",
        "recall_at_5": "recall@5",
        "reciprocal_rank": "mean reciprocal rank",
        "r_squared": "R²",
        "cosine": "raw cosine (misleading *)",
    }
    scores = {_tail(method): metrics for method, metrics in evaluation.scores.items()}
    leads = {f"lead over {_tail(method)}": metrics for method, metrics in evaluation.lead.items()}
    blocks = [
        _block(scores, {metric: titles[metric] for metric in HEADLINES}),
        _block(leads, {metric: titles[metric] for metric in HEADLINES})[1:],
        _block(scores, {metric: titles[metric] for metric in FURTHER}),
        _kinds(evaluation.per_kind),
        _scores("dominant emotion of the face", evaluation.per_emotion),
        *_extremes(evaluation.per_prompt),
        _notes(evaluation),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def shortened(text: str, most: int = NAME - 2) -> str:
    """Return `text` on one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _tail(name: str, most: int = NAME - 10) -> str:
    """Return the end of a long name, which is the distinctive part of a path."""
    return name if len(name) <= most else "…" + name[1 - most :]


def _block(rows: Mapping[str, Mapping[str, Interval]], columns: Mapping[str, str]) -> list[str]:
    lines = [" " * NAME + "".join(f"{title:>{COLUMN}}" for title in columns.values())]
    for name, metrics in rows.items():
        lines.append(f"{name:{NAME}}" + "".join(f"{metrics[metric]!s:>{COLUMN}}" for metric in columns))
    return lines


def _scores(heading: str, scores: Sequence[Score]) -> list[str]:
    columns = {"centered_cosine": "mean-centered cosine", "recall_at_1": "recall@1"}
    lines = [f"{heading:{NAME}}{'held out':>14}{'trained':>12}" + "".join(f"{t:>{COLUMN}}" for t in columns.values())]
    for score in scores:
        numbers = f"{score.rows:>14,}{score.trained:>12,}"
        intervals = "".join(f"{score.metrics[metric]!s:>{COLUMN}}" for metric in columns)
        lines.append(f"{shortened(score.name):{NAME}}{numbers}{intervals}")
    return lines


def _kinds(scores: Sequence[KindScore]) -> list[str]:
    if not scores:
        return []
    columns = f"{'held out':>14}{'guessing':>12}{'right, any wording':>{COLUMN}}"
    rows = [
        f"{score.name:{NAME}}{score.rows:>14,}{score.guessing:>12.3f}{score.recall!s:>{COLUMN}}" for score in scores
    ]
    return [f"{'kind of prompt':{NAME}}{columns}", *rows]


def _extremes(scores: Sequence[Score]) -> list[list[str]]:
    """Return the worst and the best prompts, or all prompts if there are few."""
    ranked = sorted(scores, key=lambda score: score.metrics["centered_cosine"].value)
    if len(ranked) <= 2 * EXTREMES:
        return [_scores("prompts, worst first", ranked)]
    return [_scores("the worst prompts", ranked[:EXTREMES]), _scores("the best prompts", ranked[: -EXTREMES - 1 : -1])]


def _notes(evaluation: Evaluation) -> list[str]:
    evaluated = len(evaluation.rows)
    rows = (
        counted(evaluated, "row")
        if evaluated == evaluation.held_out
        else f"{evaluated:,} of {counted(evaluation.held_out, 'held-out row')}"
    )
    kind = f"from {counted(evaluation.groups, 'group')} not used in training"
    if not evaluation.by_group:
        kind = "BUT there are too few groups to hold any out: similar faces were in training, so this is too optimistic"
    elif evaluation.groups == 1:
        kind = "from a single group, so the intervals are too narrow"
    fewer = ""
    if len(evaluation.names) < evaluation.prompts:
        fewer = (
            f"; recall uses the {counted(len(evaluation.names), 'prompt')} of these rows, out of {evaluation.prompts:,}"
        )
    subject = evaluation.subject
    return [
        *([] if subject is None else [f"Subject's vector: mean-centered cosine {str(subject).strip()}"]),
        "* All CLIP vectors are similar, so even the mean baseline has a high raw cosine.",
        f"(95 % bootstrap intervals over {rows} {kind}{fewer})",
    ]
