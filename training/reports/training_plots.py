"""Pictures of how good a projection is: beside the simple rules, by prompt, by emotion, and what it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from ...common.words import counted
from ..evaluation.evaluation import PROJECTION, Evaluation, Score
from ..evaluation.metrics import Interval
from .confusion import confusion
from .style import BLUE, DARK, FAINT, GREY, NORMAL, SMALL, WIDTH, fitted, name_rows, new_figure, nothing, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADLINES = {"centred_cosine": "centred cosine", "recall_at_1": "recall@1"}  # metric → its name
SHOWN = 20  # prompts of one column
ROW = 27  # pixels from a row to the next
CELL = 0.005  # shares below this are left blank
DARK_CELL = 0.6  # shares above this have white letters


def scores(evaluation: Evaluation) -> Figure:
    """Every method's centred cosine and recall@1, as a dot with its interval."""
    methods = list(evaluation.scores)
    figure = new_figure(width=WIDTH, height=ROW * max(len(methods), 5) + 110)
    for axes, (metric, name) in zip(figure.subplots(1, 2, sharey=True), HEADLINES.items(), strict=True):
        intervals = [evaluation.scores[method][metric] for method in methods]
        _dots(
            axes, methods, intervals, width=200, strong={methods.index(PROJECTION)} if PROJECTION in methods else set()
        )
        title(axes, f"{name[0].upper()}{name[1:]}: further right is better")
    return figure


def prompts(evaluation: Evaluation, shown: int = SHOWN) -> Figure:
    """Recall@1 of each prompt with held-out rows: of many, the `shown` worst and the `shown` best."""
    worst, best = extremes(evaluation.per_prompt, shown)
    if not worst:
        figure = new_figure(width=WIDTH, height=160)
        nothing(figure.subplots(), "no prompt has held-out samples")
        return figure
    columns = [part for part in (worst, best) if part]
    figure = new_figure(width=WIDTH, height=ROW * max(len(worst), 8) + 110)
    for axes, part in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        _bars(axes, [f"{fitted(score.name, 240, SMALL)} ({score.rows:,})" for score in part], part, "recall_at_1", 310)
        axes.set_ylim(max(len(worst), 8) - 0.5, -0.5)  # rows of both columns are alike
        axes.set_xlabel("recall@1", fontsize=SMALL, color=DARK)
        which = (
            f"The {len(part)} {'worst' if part is worst else 'best'} of {counted(len(evaluation.per_prompt), 'prompt')}"
        )
        title(axes, which if best else "All prompts, the worst first")
    return figure


def emotions(evaluation: Evaluation) -> Figure:
    """Centred cosine and recall@1 of the faces of each emotion."""
    part = evaluation.per_emotion
    figure = new_figure(width=WIDTH, height=ROW * 8 + 110)
    if not part:
        nothing(figure.subplots(), "no held-out samples")
        return figure
    names = [f"{score.name} ({score.rows:,})" for score in part]
    for axes, (metric, name) in zip(figure.subplots(1, 2, sharey=True), HEADLINES.items(), strict=True):
        _bars(axes, names, part, metric, width=200)
        title(axes, f"{name[0].upper()}{name[1:]} by the face's most probable emotion")
    return figure


def confusions(evaluation: Evaluation) -> Figure:
    """For each frequent prompt, which prompts its held-out faces were taken for, in %."""
    from matplotlib.patches import Rectangle

    table = confusion(evaluation)
    count, cell = len(table.names), 34
    across, down = max(count, 12), max(count, 4)  # a cell alone would be a wall
    figure = new_figure(width=470 + cell * across, height=cell * down + 130)
    axes = figure.subplots()
    axes.imshow(table.shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(table.shares):
        if share >= CELL:
            colour = "white" if share > DARK_CELL else DARK
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=SMALL, color=colour)
    named = zip(table.names, table.counts.tolist(), strict=True)
    name_rows(axes, [f"{fitted(name, 330, SMALL)} ({rows:,})" for name, rows in named], width=420)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.tick_params(axis="y", pad=26)
    axes.set_xticks(np.arange(count), [str(place + 1) for place in range(count)], fontsize=SMALL, color=DARK)
    axes.set_xlim(-0.5, across - 0.5)
    axes.set_ylim(down - 0.5, -0.5)
    for place in range(count):
        axes.annotate(
            str(place + 1), (0, place), (-6, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            ha="right", va="center", fontsize=SMALL, color=DARK,
        )  # fmt: skip
        axes.add_patch(Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor=DARK, linewidth=1, zorder=3))
    edges = np.arange(count + 1) - 0.5
    axes.hlines(edges, -0.5, count - 0.5, color=FAINT, linewidth=0.6)
    axes.vlines(edges, -0.5, count - 0.5, color=FAINT, linewidth=0.6)
    axes.set_xlabel("nearest prompt, by its number at the left", fontsize=SMALL, color=DARK, loc="left")
    axes.spines[:].set_visible(False)
    figure.suptitle("Of the faces of each prompt (row), how many % are nearest to which", fontsize=NORMAL, color=DARK)
    return figure


def extremes(per_prompt: Sequence[Score], shown: int = SHOWN) -> tuple[list[Score], list[Score]]:
    """The `shown` prompts of the lowest recall@1, worst first, and as many of the highest, best last.

    Of equal recall, that of the lower centred cosine counts as the worse. Up to twice as many prompts are halved.
    """
    order = sorted(
        per_prompt, key=lambda score: [score.metrics[metric].value for metric in ("recall_at_1", *HEADLINES)]
    )
    if len(order) <= shown:
        return order, []
    if len(order) <= 2 * shown:
        half = -(-len(order) // 2)
        return order[:half], order[half:]
    return order[:shown], order[-shown:]


def _dots(axes: Axes, names: Sequence[str], intervals: Sequence[Interval], width: float, strong: set[int]) -> None:
    for place, interval in enumerate(intervals):
        colour = BLUE if place in strong else GREY
        axes.plot([interval.low, interval.high], [place, place], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot([interval.value], [place], color=colour, marker="D" if place in strong else "o", markersize=8)
    for place in strong:
        axes.axvline(intervals[place].value, color=BLUE, linewidth=1, linestyle=":", zorder=0)
    name_rows(axes, names, width)
    axes.set_ylim(max(len(names), 5) - 0.5, -0.5)
    _scale(axes, intervals)


def _bars(axes: Axes, names: Sequence[str], part: Sequence[Score], metric: str, width: float) -> None:
    """A bar for each, and a line for its interval, which is not known of a single row."""
    intervals = [score.metrics[metric] for score in part]
    axes.barh(range(len(part)), [interval.value for interval in intervals], color="#9ecae1", height=0.72)
    for place, interval in enumerate(intervals):
        axes.plot([interval.low, interval.high], [place, place], color=DARK, linewidth=1.4)
        axes.plot([interval.value], [place], color=BLUE, marker="D", markersize=5)
    name_rows(axes, names, width)
    _scale(axes, intervals)
    if metric == "recall_at_1":
        axes.set_xlim(-0.02, 1.02)


def _scale(axes: Axes, intervals: Sequence[Interval]) -> None:
    ends = [end for interval in intervals for end in (interval.low, interval.value, interval.high) if isfinite(end)]
    low, high = min(0.0, *ends, 0.0), max(0.1, *ends, 0.1)
    pad = 0.04 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    axes.tick_params(axis="x", labelsize=SMALL, color=GREY)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines[:].set_color(GREY)
