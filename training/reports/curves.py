"""The picture of how training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..learning.run import Epoch, best_epoch
from .style import BLUE, COLOURS, DARK, FAINT, GREY, SMALL, WIDTH, new_figure, nothing, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORANGE = COLOURS[1]
FEW = 30  # epochs: each has a mark of its own


def learning_curves(history: Sequence[Epoch]) -> Figure:
    """Loss, validation metrics and learning rate of each epoch; a line marks the epoch that was kept.

    It is drawn without a display, for a report as well as for a node's preview. No epochs give a picture that says so.
    """
    figure = new_figure(width=WIDTH, height=360)
    if not history:
        nothing(figure.subplots(), "no epochs: nothing was trained")
        return figure
    loss, cosine, recall, rate = figure.subplots(1, 4, width_ratios=[1, 1, 1, 0.8])
    numbers = [epoch.number for epoch in history]
    kept = best_epoch(history)
    _line(loss, numbers, [epoch.loss for epoch in history], "Training loss", GREY, kept)
    for axes, metric, heading in (
        (cosine, "centred_cosine", "Validation: centred cosine"),
        (recall, "recall_at_1", "Validation: recall@1"),
    ):
        values = [epoch.validation.get(metric, float("nan")) for epoch in history]
        _line(axes, numbers, values, heading, BLUE, kept)
    _line(rate, numbers, [epoch.learning_rate for epoch in history], "Learning rate", GREY, kept, named=False)
    rate.set_ylim(bottom=0)
    return figure


def _line(
    axes: Axes,
    numbers: Sequence[int],
    values: Sequence[float],
    heading: str,
    colour: str,
    kept: Epoch | None,
    named: bool = True,
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot(numbers, values, color=colour, linewidth=1.8, marker="o" if len(numbers) <= FEW else "", markersize=4)
    if kept is not None:
        axes.axvline(kept.number, color=ORANGE, linewidth=1.2, linestyle="--", zorder=0)
        here = [value for number, value in zip(numbers, values, strict=True) if number == kept.number][-1]
        axes.plot([kept.number], [here], color=ORANGE, marker="D", markersize=7, linestyle="")
        heading += f"\nepoch {kept.number} was kept: {here:.3f}" if named else ""
    title(axes, heading)
    if len(numbers) == 1:  # alone, it would be at the edge of a scale of fractions
        axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    axes.set_xlabel("epoch", fontsize=SMALL, color=DARK)
    axes.tick_params(labelsize=SMALL, color=GREY)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(GREY)
