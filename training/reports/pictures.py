"""Pictures of faces and of the text space: the map of prompts, the most wrong samples, the regions that matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...common.words import counted
from ...perception.emotions.expression import ExpressionModel
from .numbers import OTHERS
from .prompt_map import PromptMap
from .regions import Importance
from .style import (
    BLUE,
    COLOURS,
    DARK,
    GREY,
    MARKERS,
    NORMAL,
    SMALL,
    WIDTH,
    draw_face,
    fitted,
    map_axes,
    name_rows,
    new_figure,
    nothing,
    title,
)
from .worst import Wrong

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4  # faces in a row


def prompt_map(places: PromptMap) -> Figure:
    """Predictions as small marks in the colour of their own prompt, prompts as large ones."""
    figure = new_figure(width=WIDTH, height=780)
    axes = figure.subplots()
    size = float(np.clip(20_000 / max(len(places.predictions), 1), 10, 45))
    for rank in (OTHERS, *range(len(places.names))):
        colour, marker = (GREY, "o") if rank == OTHERS else (COLOURS[rank], MARKERS[rank])
        here = places.predictions[places.ranks == rank]
        area, alpha = (size, 0.4) if rank == OTHERS else (2 * size, 0.85)
        axes.scatter(
            here[:, 0], here[:, 1], area, color=colour, marker=marker, alpha=alpha, edgecolors=DARK, linewidths=0.3
        )
    for rank in (OTHERS, *range(len(places.names))):
        large = 34 if rank == OTHERS else 260
        colour, marker = ("white", "o") if rank == OTHERS else (COLOURS[rank], MARKERS[rank])
        here = places.targets[places.target_ranks == rank]
        axes.scatter(here[:, 0], here[:, 1], large, color=colour, marker=marker, edgecolors="black", linewidths=1.4)
    map_axes(axes, places.shares, SMALL)
    title(
        axes,
        f"{_some(len(places.targets), places.prompts, 'prompt')} (large, black edge) and where "
        f"{_some(len(places.predictions), places.rows, 'held-out face')} {_are(len(places.predictions))} put (small)",
    )
    _legend(figure, axes, places)
    return figure


def worst(samples: Sequence[Wrong]) -> Figure:
    """The faces that the projection gets most wrong, each as in its picture."""
    if not samples:
        figure = new_figure(width=WIDTH, height=160)
        nothing(figure.subplots(), "no held-out samples")
        return figure
    down = -(-len(samples) // ACROSS)
    figure = new_figure(width=WIDTH, height=380 * down + 20)
    grid = figure.subplots(down, ACROSS, squeeze=False).reshape(-1)
    for axes in grid:
        axes.axis("off")
    for axes, sample in zip(grid, samples, strict=False):
        draw_face(axes, sample.face, BLUE, width=1.2)
        width = WIDTH / ACROSS - 36
        of = f" · {sample.source}" if sample.source else ""
        title(
            axes,
            "\n".join(
                (
                    fitted(f"is: {sample.own}", width, SMALL, 2),
                    fitted(f"taken for: {sample.chosen}", width, SMALL, 2),
                    f"cosine {_minus(sample.cosine)} · looks {sample.emotion} ({sample.probability:.0%})",
                    _from_the_end(f"row {sample.row:,}", of, width),
                )
            ),
        )
        axes.title.set_fontsize(SMALL)
        axes.title.set_linespacing(1.3)
    return figure


def regions(found: Importance) -> Figure:
    """Landmarks on the template face, the darker and larger the more they matter, and bars of the regions' shares."""
    figure = new_figure(width=WIDTH, height=620 if any(found.regions.values()) else 160)
    if not any(found.regions.values()):
        nothing(figure.subplots(), "no landmark changes the answer")
        return figure
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    face = ExpressionModel.load().template.numpy()
    share = (found.landmarks / found.landmarks.max().clamp_min(1e-12)).double().numpy()
    draw_face(left, face[:, :2], GREY, width=0.9)
    order = share.argsort()  # what matters lies on top
    points = left.scatter(
        face[order, 0], -face[order, 1], 6 + 90 * share[order], c=share[order], cmap="viridis_r", vmin=0, vmax=1,
        linewidths=0, zorder=3,
    )  # fmt: skip
    left.axis("off")
    title(left, "What each landmark does to the answer, from face to face")
    bar = figure.colorbar(points, ax=left, orientation="horizontal", shrink=0.7, aspect=32, pad=0.02)
    bar.set_ticks([0, 0.5, 1], labels=["nothing", "half of the most", "the most"], fontsize=SMALL, color=DARK)
    bar.outline.set_visible(False)
    _shares(right, found)
    return figure


def _shares(axes: Axes, found: Importance) -> None:
    """Bars of what counts at all, and below them those of the shape's regions; the largest first."""
    groups = [sorted(shares.items(), key=lambda item: -item[1]) for shares in (found.parts, found.regions)]
    rows = [item for group in groups for item in group]
    places = [place + (place >= len(groups[0])) for place in range(len(rows))]
    axes.barh(places, [value for _, value in rows], color=[GREY] * len(groups[0]) + [BLUE] * len(groups[1]), height=0.7)
    for place, (_, value) in zip(places, rows, strict=True):
        axes.text(value, place, f" {100 * value:.0f} %", va="center", fontsize=SMALL, color=DARK)
    name_rows(axes, [name for name, _ in rows], width=190)
    axes.set_yticks(places, [name for name, _ in rows])  # with a gap between the groups
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlim(0, 1.12 * max(value for _, value in rows))
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(GREY)
    title(axes, "Shares of what counts (grey), and of the regions within the shape (blue)")


def _legend(figure: Figure, axes: Axes, places: PromptMap) -> None:
    handles = [
        axes.scatter([], [], 120, color=COLOURS[rank], marker=MARKERS[rank], edgecolors="black", linewidths=1.2)
        for rank in range(len(places.names))
    ]
    names = [fitted(name, 520, NORMAL) for name in places.names]
    if (places.target_ranks == OTHERS).any():
        handles.append(axes.scatter([], [], 34, color="white", marker="o", edgecolors="black", linewidths=1.4))
        names.append("all other prompts (their faces in grey)")
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=NORMAL, labelcolor=DARK
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _minus(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")


def _from_the_end(start: str, rest: str, width: float) -> str:
    """A text in which of a long `rest`, such as a file's path, the end is kept."""
    whole = start + rest
    while len(rest) > 4 and fitted(whole, width, SMALL).endswith("…"):
        rest = f" · …{rest.removeprefix(' · ').removeprefix('…')[1:]}"
        whole = start + rest
    return fitted(whole, width, SMALL)


def _some(drawn: int, of: int, what: str) -> str:
    return counted(of, what) if drawn == of else f"{drawn:,} of {counted(of, what)}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
