"""Draw the pictures of a sweep in a row, with the curves of gain and match below them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from ..comparison.sweep import Sweep
from .canvas import Canvas, wrapped
from .panels import BAR_BACKGROUND, BRIGHT, DIMMED

MARGIN, AXIS = 20, 44  # pixels: around everything; left of the curves, for their numbers
TITLE_SIZE, FONT_SIZE, SMALL = 22, 17, 15  # height of the letters, pixels
LINE, GAP = 26, 8  # pixels from a line of text to the next; between pictures
ROW_WIDTH, SMALLEST, LARGEST = 1200, 80, 260  # pixels: of all pictures together; of one
CURVES = 220  # pixels: the height of the curves
GAIN, MATCH, WARNING = (255, 213, 79), (96, 185, 240), (240, 160, 50)


def sweep_chart(sweep: Sweep, pictures: Sequence[Image.Image]) -> Image.Image:
    """Return an RGB picture: the pictures (RGB, one for each strength), and their gain and match, joined by lines."""
    count = len(pictures)
    side = min(max(ROW_WIDTH // count - GAP, SMALLEST), LARGEST)
    tile_height = max(round(side * picture.height / picture.width) for picture in pictures)
    width = max(2 * MARGIN + AXIS + count * (side + GAP), 640)
    notes = [line for note in sweep.comparison.notes for line in wrapped(f"! {note}", FONT_SIZE, width - 2 * MARGIN)]
    title = wrapped(f"recommended strength {sweep.recommended:g}: {sweep.reason}", TITLE_SIZE, width - 2 * MARGIN)
    top = MARGIN + LINE * (len(title) + len(notes)) + GAP
    canvas = Canvas(width, top + tile_height + 2 * LINE + CURVES + 2 * LINE + MARGIN)
    y = MARGIN + LINE / 2
    for text, size, color in (
        *((text, TITLE_SIZE, BRIGHT) for text in title),
        *((text, FONT_SIZE, WARNING) for text in notes),
    ):
        canvas.write(MARGIN, y, text, size, color)
        y += LINE
    columns = [MARGIN + AXIS + index * (side + GAP) + side / 2 for index in range(count)]
    y = top + tile_height + LINE / 2 + GAP / 2
    for x, strength, face in zip(columns, sweep.strengths, sweep.seen, strict=True):
        canvas.write(x, y, f"{strength:g}", FONT_SIZE, BRIGHT, align=0.5)
        if not face:
            canvas.write(x, y + LINE * 0.8, "no face", SMALL, WARNING, align=0.5)
    _curves(canvas, sweep, columns, top + tile_height + 2 * LINE)
    chart = canvas.finished()
    for x, picture in zip(columns, pictures, strict=True):
        tile = picture.resize((side, round(side * picture.height / picture.width)), Image.Resampling.LANCZOS)
        chart.paste(tile, (round(x - side / 2), top))
    return chart


def _curves(canvas: Canvas, sweep: Sweep, columns: Sequence[float], top: float) -> None:
    gains, matches = sweep.comparison.gains, sweep.comparison.matches
    low = min(-0.25, *(gain - 0.1 for gain in gains))
    high = max(1.25, *(gain + 0.1 for gain in gains))

    def height(value: float) -> float:
        return top + CURVES * (high - value) / (high - low)

    right = columns[-1] + (columns[-1] - MARGIN - AXIS) / max(2 * len(columns) - 1, 1)
    for value in (0.0, 0.5, 1.0):
        canvas.line([(MARGIN + AXIS, height(value)), (right, height(value))], BAR_BACKGROUND, 2 if value == 1 else 1)
        canvas.write(MARGIN + AXIS - 8, height(value), f"{value:g}", SMALL, DIMMED, align=1)
    strengths, places = zip(*sorted(zip(sweep.strengths, columns, strict=True)), strict=True)
    if strengths[0] <= sweep.recommended <= strengths[-1]:
        place = float(np.interp(sweep.recommended, strengths, places))
        canvas.line([(place, top), (place, top + CURVES)], DIMMED, 2)
        canvas.write(place, top + CURVES + 12, f"{sweep.recommended:g}", FONT_SIZE, BRIGHT, align=0.5)
    for values, color in ((matches, MATCH), (gains, GAIN)):
        points = [
            (x, height(value)) if face else None for x, value, face in zip(columns, values, sweep.seen, strict=True)
        ]
        for start, end in pairwise(points):
            if start is not None and end is not None:
                canvas.line([start, end], color, 3)
        for point in points:
            if point is not None:
                canvas.dot(*point, 5, color)
    y = top + CURVES + LINE + 10
    for x, color, text in ((0, GAIN, "gain: 1 is the target's expression"), (310, MATCH, "match: 1 is the same")):
        canvas.line([(MARGIN + AXIS + x, y), (MARGIN + AXIS + x + 24, y)], color, 4)
        canvas.write(MARGIN + AXIS + x + 34, y, text, SMALL, DIMMED)
