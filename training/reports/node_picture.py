"""Pictures of training for ComfyUI, drawn with Pillow alone as matplotlib may be missing: the learning curves, and the
scores of the projection compared with those of the baselines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ...common.words import counted
from ...perception.drawing.canvas import Canvas, cut, wrapped
from ...perception.drawing.panels import BRIGHT, DIMMED, Color, text_width
from ..evaluation.metrics import Interval
from ..learning.run import Epoch, best_epoch

Scores = Mapping[str, Mapping[str, Interval]]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

GRID = (52, 58, 70)
# Colors for a dark background that color-blind people can tell apart too, after Okabe and Ito (2008).
ORANGE, BLUE, GREEN = (240, 160, 50), (96, 185, 240), (60, 200, 150)
CURVES: dict[str, tuple[str, Color]] = {
    "centered_cosine": ("centered cosine", BLUE),
    "recall_at_1": ("recall@1", GREEN),
}
OWN = "projection"

SMALL, NORMAL, LARGE = 13, 17, 26  # height of the letters, pixels
LINE, ROW = 24, 28  # pixels from one line of text, and from one row of the table, to the next
MARGIN, GAP = 24, 18
WIDTH = 1024
CURVES_HEIGHT = 300
TICKS = 5  # approximate count of numbers on an axis
LONGEST = 6  # digits of a number on an axis


@dataclass(frozen=True)
class Curve:
    """One line of a plot; values that are not finite are skipped."""

    name: str
    color: Color
    points: list[tuple[float, float]]  # epoch, value


def curve_picture(history: Sequence[Epoch], width: int = 480, height: int = 360) -> Image.Image:
    """Return an RGB image of that size, at least 320 × 200: loss and validation by epoch, with the best epoch marked.

    One plot is above the other, or next to it if the picture is at least twice as wide as high.
    """
    canvas = Canvas(width, height)
    _curves(canvas, history, (0, 0, width, height))
    return canvas.finished()


def result_picture(metrics: Mapping[str, Any], history: Sequence[Epoch] = ()) -> Image.Image:
    """Return an RGB image of the verdict, every method's headline metrics with intervals, and any learning curves.

    `metrics` are those in a checkpoint's metadata (`all_metrics`). The image is 1024 pixels wide and, with curves,
    about 768 high, depending on the length of the verdict.

    Raises KeyError, TypeError or ValueError for metrics that training did not write.
    """
    scores = {
        method: {metric: Interval(*map(float, of_method[metric])) for metric in CURVES}
        for method, of_method in metrics["scores"].items()
    }
    lines = [line for text in metrics["verdict"] for line in wrapped(str(text), NORMAL, WIDTH - 2 * MARGIN)]
    table = 2 * MARGIN + 44 + LINE * len(lines)
    curves = table + 3 * LINE + ROW * len(scores) + GAP
    canvas = Canvas(WIDTH, curves + (CURVES_HEIGHT if history else 0))
    heading, color = ("Ready to use", GREEN) if metrics["ready"] else ("Not ready yet", ORANGE)
    canvas.write(MARGIN, MARGIN + LARGE // 2, heading, LARGE, color)
    for number, line in enumerate(lines):
        canvas.write(MARGIN, MARGIN + 44 + LINE // 2 + LINE * number, line, NORMAL, BRIGHT)
    _table(canvas, scores, int(metrics["prompts"]), table)
    rows, groups = counted(metrics["evaluated_rows"], "held-out row"), counted(metrics["evaluated_groups"], "group")
    note = f"dot: mean; line: 95% bootstrap interval; {rows} from {groups}"
    canvas.write(WIDTH - MARGIN, table + 2 * LINE + ROW * len(scores) + LINE // 2, note, SMALL, DIMMED, align=1)
    if history:
        _curves(canvas, history, (MARGIN // 2, curves, WIDTH - MARGIN // 2, canvas.height - MARGIN // 2))
    return canvas.finished()


def _table(canvas: Canvas, scores: Scores, prompts: int, top: int) -> None:
    """Draw a row for each method and a column for each headline metric, with an axis below the rows."""
    names, numbers = 190, 150  # pixels for a method's name, and for a value with its interval
    column = (WIDTH - 2 * MARGIN - names) // 2
    bottom = top + LINE + ROW * len(scores)
    titles = {"centered_cosine": "mean-centered cosine", "recall_at_1": f"recall@1 of {counted(prompts, 'prompt')}"}
    for row, method in enumerate(scores):
        y, color = top + LINE + ROW * row + ROW // 2, BRIGHT if method == OWN else DIMMED
        canvas.write(MARGIN, y, cut(method, NORMAL, names - GAP), NORMAL, color)
    for place, (metric, title) in enumerate(titles.items()):
        left = MARGIN + names + place * column
        right = left + column - numbers - GAP
        canvas.write(left, top + LINE // 2, title, NORMAL, CURVES[metric][1])
        intervals = {method: of_method[metric] for method, of_method in scores.items()}
        low, high = _range([0.0, *(end for i in intervals.values() for end in (i.low, i.high, i.value))])
        for value in ticks(low, high):
            x = _scaled(value, low, high, left, right)
            canvas.line([(x, top + LINE), (x, bottom)], GRID, 1)
            canvas.write(x, bottom + LINE // 2, number(value, high - low), SMALL, DIMMED, align=0.5)
        for row, (method, interval) in enumerate(intervals.items()):
            y, own = top + LINE + ROW * row + ROW // 2, method == OWN
            color = CURVES[metric][1] if own else DIMMED
            ends = [(_scaled(end, low, high, left, right), y) for end in (interval.low, interval.high)]
            canvas.line(ends, color, 3)
            canvas.dot(_scaled(interval.value, low, high, left, right), y, 6 if own else 5, color)
            text = f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            canvas.write(right + GAP, y, text, SMALL, BRIGHT if own else DIMMED)


# --- curves ------------------------------------------------------------------------------------------------------


def _curves(canvas: Canvas, history: Sequence[Epoch], box: Box) -> None:
    left, top, right, bottom = box
    if right - left >= 2 * (bottom - top):
        middle = (left + right) // 2
        boxes = [(left, top, middle, bottom), (middle, top, right, bottom)]
    else:
        middle = (top + bottom) // 2
        boxes = [(left, top, right, middle), (left, middle, right, bottom)]
    loss = Curve("training loss", ORANGE, [(epoch.number, epoch.loss) for epoch in history])
    validation = [
        Curve(name, color, [(e.number, e.validation[metric]) for e in history if metric in e.validation])
        for metric, (name, color) in CURVES.items()
    ]
    kept = best_epoch(history)
    best = None if kept is None else kept.number
    _plot(canvas, boxes[0], [loss], best)
    _plot(canvas, boxes[1], validation, best)


def _plot(canvas: Canvas, box: Box, curves: Sequence[Curve], best: int | None) -> None:
    """Draw curves by epoch with their names above, and a line at the best epoch."""
    left, top, right, bottom = box[0] + 58, box[1] + 34, box[2] - 16, box[3] - 28
    x = box[0] + 16
    for curve in curves:
        canvas.dot(x + 5, box[1] + 18, 5, curve.color)
        canvas.write(x + 16, box[1] + 18, curve.name, SMALL, BRIGHT)
        x += round(text_width(curve.name, SMALL)) + 34
    drawn = [[point for point in curve.points if math.isfinite(point[1])] for curve in curves]
    values = [value for points in drawn for _, value in points]
    if not values:
        canvas.write((left + right) / 2, (top + bottom) / 2, "no epochs yet", SMALL, DIMMED, align=0.5)
        return
    epochs = [epoch for points in drawn for epoch, _ in points]
    first, last = min(epochs), max(max(epochs), min(epochs) + 1)
    low, high = _range(values)
    for value in ticks(low, high):
        y = _scaled(value, low, high, bottom, top)
        canvas.line([(left, y), (right, y)], GRID, 1)
        canvas.write(left - 8, y, number(value, high - low), SMALL, DIMMED, align=1)
    canvas.write(left - 8, bottom + 15, "epoch", SMALL, DIMMED, align=1)
    for epoch in ticks(first, last, whole=True):
        at = _scaled(epoch, first, last, left, right)
        canvas.line([(at, bottom), (at, bottom + 4)], DIMMED, 1)
        canvas.write(at, bottom + 15, f"{epoch:.0f}", SMALL, DIMMED, align=0.5)
    if best is not None and first <= best <= last:
        at, words = _scaled(best, first, last, left, right), f"best: epoch {best}"
        canvas.line([(at, top), (at, bottom)], BRIGHT, 1)
        canvas.write(right, box[1] + 18, words, SMALL, BRIGHT, align=1)
    for curve, points in zip(curves, drawn, strict=True):
        placed = [(_scaled(e, first, last, left, right), _scaled(v, low, high, bottom, top)) for e, v in points]
        canvas.line(placed, curve.color, 2)
        for (epoch, _), place in zip(points, placed, strict=True):
            if epoch == best or len(points) == 1:
                canvas.dot(*place, 4, curve.color)


# --- numbers -------------------------------------------------------------------------------------------------


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return about `TICKS` round numbers from `low` to `high`, 1, 2 or 5 times a power of 10 apart."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    start, end = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * count for count in range(start, end + 1)]


def number(value: float, span: float) -> str:
    """Return a number as text for an axis of that span, with just enough digits to tell its ticks apart."""
    if not 1e-3 <= span < 1e5:
        digits = 2 if value == 0 else max(2, math.ceil(math.log10(abs(value) / (span / TICKS))) + 1)
        return f"{value + 0.0:.{min(digits, LONGEST)}g}"
    return f"{value:,.{max(0, math.ceil(-math.log10(span / TICKS)))}f}"


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, with some room on both sides."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.1 * abs(low) or 0.1
    return low - room, high + room


def _scaled(value: float, low: float, high: float, start: float, end: float) -> float:
    """Return the position of a value between the pixels `start` and `end`."""
    return start + (value - low) / (high - low) * (end - start)
