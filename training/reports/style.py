"""The look of a report's pictures: size, colors, text that always fits, bars and histograms.

The colors are those of Okabe and Ito (2008), "Color universal design", which color-blind people can tell apart too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...common.words import wrapped
from ...perception.topology import CLOSED_LINES, IRISES, OPEN_LINES

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "p")  # one for each color
BLUE, GRAY, FAINT, DARK = COLORS[0], "#AAAAAA", "#DDDDDD", "#333333"
FACE_LINES = (*((*line, line[0]) for line in CLOSED_LINES), *OPEN_LINES, *((*rim, rim[0]) for _, rim in IRISES))
WIDTH = 1240  # pixels of a picture in a report
DPI = 100
SMALL, NORMAL = 9, 11  # points
BLANK = 0.005  # shares below this round to 0 %
MISSING_GLYPH = "\u25a1"  # replaces characters that the font does not have


def has_matplotlib() -> bool:
    """Return whether pictures can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def new_figure(width: int, height: float) -> Figure:
    """Return an empty figure of a width and a height in pixels, drawn without a display or a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)  # inches
    figure = Figure(figsize=(width / DPI, height / DPI), layout=layout, dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def fitted(text: str, width: float, size: float, lines: int = 1) -> str:
    """Return a text on at most `lines` lines of a width in pixels, for letters of a size in points.

    What does not fit is cut off. Characters missing from the font become boxes, line breaks and the like spaces.
    """
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    rest = "".join(mark if _advance(mark) is not None else MISSING_GLYPH for mark in plain) or "(empty)"
    return "\n".join(wrapped(rest, width * 72 / DPI / size, _width, lines))


def _width(text: str) -> float:
    """Return the width of a text in letter heights."""
    return sum(_advance(mark) or 0.0 for mark in text)


@lru_cache(maxsize=4096)
def _advance(mark: str) -> float | None:
    """Return a character's width in letter heights, or None if the font does not have it."""
    font = _font()
    if ord(mark) not in font.get_charmap():
        return None
    return float(font.load_char(ord(mark)).linearHoriAdvance) / 65536 / 10


@lru_cache(maxsize=1)
def _font() -> Any:
    """Return a copy of matplotlib's font, as its size is set here."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    font = FT2Font(font_manager.findfont(font_manager.FontProperties()))
    font.set_size(10, 72)
    return font


def title(axes: Axes, text: str) -> None:
    """Set the heading of one part of a figure; `$` is a dollar sign."""
    axes.set_title(text, fontsize=NORMAL, color=DARK, parse_math=False)


def name_rows(axes: Axes, names: Sequence[str], width: float, lines: int = 1) -> None:
    """Label the rows at 0, 1, … from the top, each within a width in pixels."""
    axes.set_yticks(np.arange(len(names)), [fitted(name, width, SMALL, lines) for name in names], fontsize=SMALL)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=0, labelcolor=DARK)
    axes.set_ylim(max(len(names), 8) - 0.5, -0.5)  # a bar alone would be a wall


def bars(axes: Axes, names: Sequence[str], counts: Sequence[int], width: float, grayed: int = 0) -> None:
    """Draw a bar with its number for each name, the first on top, the last `grayed` in gray."""
    colors = [BLUE] * (len(names) - grayed) + [GRAY] * grayed
    drawn = axes.barh(range(len(names)), counts, color=colors, height=0.7)
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3, fontsize=SMALL, color=DARK)
    axes.set_xlim(0, max(counts) * 1.2)
    axes.set_xticks([])
    name_rows(axes, names, width)
    tidy(axes, hidden=("top", "right", "bottom"))


def histogram(axes: Axes, values: NDArray[np.number], edges: NDArray[np.number], label: str) -> None:
    """Draw how many of the values lie between each two edges; `label` names the values."""
    from matplotlib.ticker import MaxNLocator

    numbers, _ = np.histogram(values, edges)
    axes.stairs(numbers, edges, fill=True, color=BLUE, linewidth=0)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(numbers.max(), 1) * 1.08)
    axes.set_xlabel(label, fontsize=SMALL, color=DARK)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    tidy(axes, grid="y")


def shaded_table(axes: Axes, shares: NDArray[np.floating], columns: Sequence[str], highest: float = 1.0) -> None:
    """Draw shares (R, C), 0…1, as percentages on cells that are darker the larger they are, with column names on top.

    Shares that round to 0 % are left blank. Shares above 0.6 × `highest` have white letters.
    """
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=highest, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if share >= BLANK:
            color = "white" if share > 0.6 * highest else DARK
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=NORMAL, color=color)
    axes.set_xticks(np.arange(len(columns)), columns, fontsize=NORMAL, color=DARK)
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)


def face_grid(count: int, across: int, height: int, extra: int, shared: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure and axes for `count` faces, `across` in a row of `height` pixels, and `extra` pixels more.

    If they are `shared`, all faces have the same scale.
    """
    down = -(-count // across)
    figure = new_figure(width=WIDTH, height=height * down + extra)
    grid = figure.subplots(down, across, squeeze=False, sharex=shared, sharey=shared).reshape(-1).tolist()
    for axes in grid:
        axes.axis("off")
    return figure, grid


def draw_face(axes: Axes, face: NDArray[np.floating], color: str, width: float) -> None:
    """Draw the lines of a face (478, 2 or more), y down, in any unit."""
    for line in FACE_LINES:
        axes.plot(face[list(line), 0], -face[list(line), 1], color=color, linewidth=width, solid_capstyle="round")
    axes.set_aspect("equal")


def map_axes(axes: Axes, shares: NDArray[np.floating], size: float) -> None:
    """Label the axes of a map on two principal components with each one's share of the variance (2,)."""
    for axis, which, share in zip((axes.xaxis, axes.yaxis), ("first", "second"), shares.tolist(), strict=True):
        axis.set_ticks([])
        axis.set_label_text(f"{which} principal component: {100 * share:.0f}% of the variance", fontsize=size)
        axis.label.set_color(DARK)
    axes.margins(0.06)
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_color(FAINT)


def empty_figure(text: str) -> Figure:
    """Return a low figure with only a text."""
    figure = new_figure(width=WIDTH, height=160)
    nothing(figure.subplots(), text)
    return figure


def nothing(axes: Axes, text: str) -> None:
    """Show a text in place of a part of a figure that has nothing to show."""
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=NORMAL, color=GRAY, transform=axes.transAxes)


def legend(
    figure: Figure,
    handles: Sequence[Artist],
    names: Sequence[str],
    columns: int,
    heading: str | None = None,
    markerscale: float = 1,
) -> None:
    """Draw a legend below all parts of a figure; `$` is a dollar sign."""
    drawn = figure.legend(
        handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=NORMAL, labelcolor=DARK,
        title=heading, title_fontsize=NORMAL, markerscale=markerscale,
    )  # fmt: skip
    for text in drawn.get_texts():
        text.set_parse_math(False)


def tidy(axes: Axes, hidden: Sequence[str] = ("top", "right"), grid: Literal["x", "y"] | None = None) -> None:
    """Hide some edges, make the others gray, and draw faint grid lines at the ticks of the axis `grid`."""
    axes.spines[:].set_color(GRAY)
    axes.spines[list(hidden)].set_visible(False)
    if grid is not None:
        axes.tick_params(labelsize=SMALL, color=GRAY)
        axes.grid(axis=grid, color=FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
