"""Format an evaluation as text tables for a terminal of 120 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...common.words import counted
from .evaluation import Evaluation, Score
from .metrics import Interval

NAME = 36  # columns for a method's or a prompt's name
COLUMN, NARROW = 26, {"held out": 14, "trained": 12, "guessing": 12}  # columns for values
EXTREMES = 5  # number of worst and of best prompts listed


def table(evaluation: Evaluation) -> str:
    """Return tables of all methods, the leads, the kinds of prompts, the emotions, the extreme prompts, and notes."""
    headlines = {
        "centered_cosine": "mean-centered cosine",
        "recall_at_1": f"recall@1 of {counted(len(evaluation.names), 'prompt')}",
        "recall_at_5": "recall@5",
    }
    further = {"reciprocal_rank": "mean reciprocal rank", "r_squared": "R²", "cosine": "raw cosine (misleading *)"}
    kinds = ((score.name, (f"{score.rows:,}", f"{score.guessing:.3f}", score.recall)) for score in evaluation.per_kind)
    blocks = [
        _methods("", evaluation.scores, headlines),
        _methods("lead over ", evaluation.lead, headlines)[1:],
        _methods("", evaluation.scores, further),
        _block("kind of prompt", ("held out", "guessing", "right, any wording"), kinds) if evaluation.per_kind else [],
        _scores("dominant emotion of the face", evaluation.per_emotion),
        *_extremes(evaluation.per_prompt),
        _notes(evaluation),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def shortened(text: str, most: int = NAME - 2) -> str:
    """Return `text` on one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _block(heading: str, titles: Sequence[str], rows: Iterable[tuple[str, Sequence[object]]]) -> list[str]:
    """Return the lines of a table: each row has a name and a cell for each title."""
    widths = [NARROW.get(title, COLUMN) for title in titles]
    return [
        f"{name:{NAME}}" + "".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, cells in [(heading, titles), *rows]
    ]


def _methods(start: str, methods: Mapping[str, Mapping[str, Interval]], columns: Mapping[str, str]) -> list[str]:
    """Return a table of methods, metric → title; of long names, only the end is shown: it distinguishes paths."""
    most = NAME - 10
    short = {name: name if len(name) <= most else "…" + name[1 - most :] for name in methods}
    rows = ((start + short[name], [metrics[metric] for metric in columns]) for name, metrics in methods.items())
    return _block("", list(columns.values()), rows)


def _scores(heading: str, scores: Sequence[Score]) -> list[str]:
    rows = (
        (
            shortened(score.name),
            (f"{score.rows:,}", f"{score.trained:,}", score.metrics["centered_cosine"], score.metrics["recall_at_1"]),
        )
        for score in scores
    )
    return _block(heading, ("held out", "trained", "mean-centered cosine", "recall@1"), rows)


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
