"""Pictures of the training report: learning curves, scores, prompts and emotions, the text space, and faces."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from ...common.words import counted
from ...perception.emotions.expression import ExpressionModel
from ..evaluation.evaluation import PROJECTION, Evaluation, Score
from ..evaluation.metrics import HEADLINES, Interval
from ..learning.run import Epoch, best_epoch
from .analysis import Importance, PromptMap, WorstPrediction, confusion
from .numbers import OTHERS, shown_of
from .style import (
    BLUE,
    COLORS,
    DARK,
    FAINT,
    GRAY,
    MARKERS,
    NORMAL,
    SMALL,
    WIDTH,
    draw_face,
    empty_figure,
    face_grid,
    fitted,
    legend,
    map_axes,
    name_rows,
    new_figure,
    shaded_table,
    tidy,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORANGE = COLORS[1]
FEW = 30  # epochs: each has a mark of its own

ACROSS = 4  # faces in a row
SHOWN = 20  # prompts of one column
ROW = 27  # pixels from a row to the next


def learning_curves(history: Sequence[Epoch]) -> Figure:
    """Draw loss, validation metrics and learning rate by epoch, with a line at the epoch that was kept.

    Without any epochs, the picture says so.
    """
    if not history:
        return empty_figure("no epochs were trained")
    figure = new_figure(width=WIDTH, height=360)
    loss, cosine, recall, rate = figure.subplots(1, 4, width_ratios=[1, 1, 1, 0.8])
    numbers = [epoch.number for epoch in history]
    kept = best_epoch(history)
    _line(loss, numbers, [epoch.loss for epoch in history], "Training loss", GRAY, kept)
    for axes, metric, heading in (
        (cosine, "centered_cosine", "Validation: centered cosine"),
        (recall, "recall_at_1", "Validation: recall@1"),
    ):
        values = [epoch.validation.get(metric, float("nan")) for epoch in history]
        _line(axes, numbers, values, heading, BLUE, kept)
    _line(rate, numbers, [epoch.learning_rate for epoch in history], "Learning rate", GRAY, kept, named=False)
    rate.set_ylim(bottom=0)
    return figure


def _line(
    axes: Axes,
    numbers: Sequence[int],
    values: Sequence[float],
    heading: str,
    color: str,
    kept: Epoch | None,
    named: bool = True,
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot(numbers, values, color=color, linewidth=1.8, marker="o" if len(numbers) <= FEW else "", markersize=4)
    if kept is not None:
        axes.axvline(kept.number, color=ORANGE, linewidth=1.2, linestyle="--", zorder=0)
        here = [value for number, value in zip(numbers, values, strict=True) if number == kept.number][-1]
        axes.plot([kept.number], [here], color=ORANGE, marker="D", markersize=7, linestyle="")
        heading += f"\nepoch {kept.number} (kept): {here:.3f}" if named else ""
    title(axes, heading)
    if len(numbers) == 1:  # alone, it would be at the edge of a scale of fractions
        axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.set_xlabel("epoch", fontsize=SMALL, color=DARK)
    tidy(axes, grid="y")


def prompt_map(places: PromptMap) -> Figure:
    """Draw predictions as small marks in the color of their own prompt, and prompts as large ones."""
    figure = new_figure(width=WIDTH, height=780)
    axes = figure.subplots()
    size = float(np.clip(20_000 / max(len(places.predictions), 1), 10, 45))
    for rank in (OTHERS, *range(len(places.names))):
        color, marker = (GRAY, "o") if rank == OTHERS else (COLORS[rank], MARKERS[rank])
        here = places.predictions[places.ranks == rank]
        area, alpha = (size, 0.4) if rank == OTHERS else (2 * size, 0.85)
        axes.scatter(
            here[:, 0], here[:, 1], area, color=color, marker=marker, alpha=alpha, edgecolors=DARK, linewidths=0.3
        )
    handles = {}
    for rank in (OTHERS, *range(len(places.names))):
        color, marker, area = ("white", "o", 34) if rank == OTHERS else (COLORS[rank], MARKERS[rank], 260)
        here = places.targets[places.target_ranks == rank]
        handles[rank] = axes.scatter(
            here[:, 0], here[:, 1], area, color=color, marker=marker, edgecolors="black", linewidths=1.4
        )
    map_axes(axes, places.shares, SMALL)
    title(
        axes,
        f"{shown_of(len(places.targets), places.prompts, 'prompt')} (large, black outline) and the predictions for "
        f"{shown_of(len(places.predictions), places.rows, 'held-out face')} (small)",
    )
    names = {rank: fitted(name, 520, NORMAL) for rank, name in enumerate(places.names)}
    if (places.target_ranks == OTHERS).any():
        names[OTHERS] = "all other prompts (their faces in gray)"
    legend(figure, [handles[rank] for rank in names], list(names.values()), columns=2, markerscale=0.7)
    return figure


def worst(samples: Sequence[WorstPrediction]) -> Figure:
    """Draw the faces with the worst predictions, each as in its picture."""
    if not samples:
        return empty_figure("no held-out samples")
    figure, grid = face_grid(len(samples), ACROSS, height=380, extra=20)
    for axes, sample in zip(grid, samples, strict=False):
        draw_face(axes, sample.face, BLUE, width=1.2)
        width = WIDTH / ACROSS - 36
        of = f" · {sample.source}" if sample.source else ""
        title(
            axes,
            "\n".join(
                (
                    fitted(f"prompt: {sample.prompt}", width, SMALL, 2),
                    fitted(f"closest: {sample.closest}", width, SMALL, 2),
                    f"cosine {sample.cosine:.2f}".replace("-", "−") + f" · {sample.emotion} ({sample.probability:.0%})",
                    _from_the_end(f"row {sample.row:,}", of, width),
                )
            ),
        )
        axes.title.set_fontsize(SMALL)
        axes.title.set_linespacing(1.3)
    return figure


def regions(importance: Importance) -> Figure:
    """Draw the template face with landmarks darker and larger the more they matter, and bars of the shares."""
    if not any(importance.regions.values()):
        return empty_figure("no landmark affects the result")
    figure = new_figure(width=WIDTH, height=620)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    face = ExpressionModel.load().template.numpy()
    share = (importance.landmarks / importance.landmarks.max().clamp_min(1e-12)).double().numpy()
    draw_face(left, face[:, :2], GRAY, width=0.9)
    order = share.argsort()  # what matters lies on top
    points = left.scatter(
        face[order, 0], -face[order, 1], 6 + 90 * share[order], c=share[order], cmap="viridis_r", vmin=0, vmax=1,
        linewidths=0, zorder=3,
    )  # fmt: skip
    left.axis("off")
    title(left, "Effect of each landmark on the result")
    bar = figure.colorbar(points, ax=left, orientation="horizontal", shrink=0.7, aspect=32, pad=0.02)
    bar.set_ticks([0, 0.5, 1], labels=["none", "half of the largest", "largest"], fontsize=SMALL, color=DARK)
    bar.outline.set_visible(False)
    _shares(right, importance)
    return figure


def _shares(axes: Axes, importance: Importance) -> None:
    """Draw bars for the parts and, below them, for the regions of the face shape, the largest first."""
    groups = [sorted(shares.items(), key=lambda item: -item[1]) for shares in (importance.parts, importance.regions)]
    rows = [item for group in groups for item in group]
    places = [place + (place >= len(groups[0])) for place in range(len(rows))]
    colors = [GRAY] * len(groups[0]) + [BLUE] * len(groups[1])
    drawn = axes.barh(places, [value for _, value in rows], color=colors, height=0.7)
    axes.bar_label(drawn, [f"{value:.0%}" for _, value in rows], padding=3, fontsize=SMALL, color=DARK)
    name_rows(axes, [name for name, _ in rows], width=190)
    axes.set_yticks(places, [name for name, _ in rows])  # with a gap between the groups
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlim(0, 1.12 * max(value for _, value in rows))
    axes.set_xticks([])
    tidy(axes, hidden=("top", "right", "bottom"))
    title(axes, "Share by part (gray) and by region of the face shape (blue)")


def _from_the_end(start: str, rest: str, width: float) -> str:
    """Return both texts in one line; of a `rest` that is too long, such as a file's path, only the end is kept."""
    whole = start + rest
    while len(rest) > 4 and fitted(whole, width, SMALL).endswith("…"):
        rest = f" · …{rest.removeprefix(' · ').removeprefix('…')[1:]}"
        whole = start + rest
    return fitted(whole, width, SMALL)


def scores(evaluation: Evaluation) -> Figure:
    """Draw every method's centered cosine and recall@1 as a dot with its interval."""
    methods = list(evaluation.scores)
    figure = new_figure(width=WIDTH, height=ROW * max(len(methods), 5) + 110)
    for axes, (metric, name) in zip(figure.subplots(1, 2, sharey=True), HEADLINES.items(), strict=True):
        intervals = [evaluation.scores[method][metric] for method in methods]
        _dots(axes, methods, intervals, width=200)
        title(axes, f"{name[0].upper()}{name[1:]} (higher is better)")
    return figure


def prompts(evaluation: Evaluation, shown: int = SHOWN) -> Figure:
    """Draw recall@1 of each prompt with held-out rows; if there are many, the `shown` worst and `shown` best."""
    worst, best = extremes(evaluation.per_prompt, shown)
    if not worst:
        return empty_figure("no prompt has held-out samples")
    columns = [part for part in (worst, best) if part]
    figure = new_figure(width=WIDTH, height=ROW * max(len(worst), 8) + 110)
    for axes, part in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        _bars(axes, [f"{fitted(score.name, 240, SMALL)} ({score.rows:,})" for score in part], part, "recall_at_1", 310)
        axes.set_ylim(max(len(worst), 8) - 0.5, -0.5)  # rows of both columns are alike
        axes.set_xlabel("recall@1", fontsize=SMALL, color=DARK)
        which = (
            f"The {len(part)} {'worst' if part is worst else 'best'} of {counted(len(evaluation.per_prompt), 'prompt')}"
        )
        title(axes, which if best else "All prompts, worst first")
    return figure


def emotions(evaluation: Evaluation) -> Figure:
    """Draw centered cosine and recall@1 by emotion."""
    part = evaluation.per_emotion
    if not part:
        return empty_figure("no held-out samples")
    figure = new_figure(width=WIDTH, height=ROW * 8 + 110)
    names = [f"{score.name} ({score.rows:,})" for score in part]
    for axes, (metric, name) in zip(figure.subplots(1, 2, sharey=True), HEADLINES.items(), strict=True):
        _bars(axes, names, part, metric, width=200)
        title(axes, f"{name[0].upper()}{name[1:]} by most probable emotion")
    return figure


def confusions(evaluation: Evaluation) -> Figure:
    """Draw, for each frequent prompt, which prompts the predictions for its held-out faces are closest to, in %."""
    from matplotlib.patches import Rectangle

    table = confusion(evaluation)
    count, cell = len(table.names), 34
    across, down = max(count, 12), max(count, 4)  # a cell alone would be a wall
    figure = new_figure(width=470 + cell * across, height=cell * down + 130)
    axes = figure.subplots()
    shaded_table(axes, table.shares, [str(place + 1) for place in range(count)])
    named = zip(table.names, table.counts.tolist(), strict=True)
    name_rows(axes, [f"{fitted(name, 330, SMALL)} ({rows:,})" for name, rows in named], width=420)
    axes.tick_params(axis="y", pad=26)
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
    axes.set_xlabel("closest prompt, numbered like the rows", fontsize=SMALL, color=DARK, loc="left")
    figure.suptitle("Percentage of each prompt's faces (row) by closest prompt (column)", fontsize=NORMAL, color=DARK)
    return figure


def extremes(per_prompt: Sequence[Score], shown: int = SHOWN) -> tuple[list[Score], list[Score]]:
    """Return the `shown` prompts with the lowest recall@1, worst first, and as many with the highest, best last.

    Equal recall is ordered by centered cosine. Up to twice `shown` prompts are split in half.
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


def _dots(axes: Axes, names: Sequence[str], intervals: Sequence[Interval], width: float) -> None:
    """Draw a dot for each method, and a line for its interval; the projection stands out."""
    for place, (name, interval) in enumerate(zip(names, intervals, strict=True)):
        color, marker = (BLUE, "D") if name == PROJECTION else (GRAY, "o")
        axes.hlines(place, interval.low, interval.high, color=color, linewidth=3)
        axes.plot(interval.value, place, color=color, marker=marker, markersize=8)
        if name == PROJECTION:
            axes.axvline(interval.value, color=BLUE, linewidth=1, linestyle=":", zorder=0)
    name_rows(axes, names, width)
    axes.set_ylim(max(len(names), 5) - 0.5, -0.5)
    _scale(axes, intervals)


def _bars(axes: Axes, names: Sequence[str], part: Sequence[Score], metric: str, width: float) -> None:
    """Draw a bar for each score, and a line for its interval."""
    intervals = [score.metrics[metric] for score in part]
    axes.barh(range(len(part)), [interval.value for interval in intervals], color="#9ecae1", height=0.72)
    places = range(len(part))
    axes.hlines(places, [i.low for i in intervals], [i.high for i in intervals], color=DARK, linewidth=1.4)
    axes.plot([i.value for i in intervals], places, color=BLUE, marker="D", markersize=5, linestyle="")
    name_rows(axes, names, width)
    _scale(axes, intervals)
    if metric == "recall_at_1":
        axes.set_xlim(-0.02, 1.02)


def _scale(axes: Axes, intervals: Sequence[Interval]) -> None:
    ends = [end for interval in intervals for end in (interval.low, interval.value, interval.high) if isfinite(end)]
    low, high = min(0.0, *ends, 0.0), max(0.1, *ends, 0.1)
    pad = 0.04 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.axvline(0, color=GRAY, linewidth=0.8, zorder=0)
    tidy(axes, hidden=("top", "right", "left"), grid="x")
