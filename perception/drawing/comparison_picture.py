"""Draw compared faces side by side, with a pair of bars for each emotion and action."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from ...common.words import counted
from ..comparison.compare import Comparison
from ..comparison.table import Row, action_rows, emotion_rows
from ..vector import Perceptions
from .canvas import Canvas, wrapped
from .contact_sheet import contact_sheet
from .panels import BRIGHT, DIMMED

TITLE_SIZE, FONT_SIZE, SMALL = 24, 17, 15  # height of the letters, pixels
MARGIN, LINE, ROW, GAP = 24, 24, 32, 18  # pixels: around everything; between lines, bars and groups
LABEL, BAR, NUMBER = 150, 190, 40  # pixels: before the bars, the longest bar, a bar's number
COLUMN = LABEL + BAR + NUMBER
WIDTH = 3 * MARGIN + 2 * COLUMN
THICK = 9  # pixels of a bar
TARGET, RESULT, BASELINE, WARNING = (96, 185, 240), (255, 213, 79), (205, 216, 222), (240, 160, 50)


def comparison_picture(
    comparison: Comparison, target: Perceptions, result: Perceptions, baseline: Perceptions | None
) -> Image.Image:
    """Return an RGB picture of the first picture that was compared: its faces, their emotions and their actions.

    Bars are blue for the target and yellow for the result; a mark shows the baseline.
    """
    notes = [line for note in comparison.notes for line in wrapped(f"! {note}", FONT_SIZE, WIDTH - 2 * MARGIN)]
    sheet = _sheet(comparison, [faces for faces in (target, result, baseline) if faces is not None])
    emotions, actions = emotion_rows(comparison), action_rows(comparison)
    height = 2 * MARGIN + LINE * (1 + len(notes))
    if sheet is not None:
        height += GAP + sheet.height + GAP + LINE + ROW * max(len(emotions), len(actions))
    canvas = Canvas(WIDTH, height)
    y = MARGIN + LINE / 2
    canvas.write(MARGIN, y, f"match {comparison.match:.2f}     gain {comparison.gain:.2f}", TITLE_SIZE, BRIGHT)
    if len(comparison.matches) > 1:
        text = f"mean of {counted(len(comparison.matches), 'picture')}"
        canvas.write(WIDTH - MARGIN, y, text, FONT_SIZE, DIMMED, align=1)
    for note in notes:
        y += LINE
        canvas.write(MARGIN, y, note, FONT_SIZE, WARNING)
    if sheet is None:
        return canvas.finished()
    top = round(y + LINE / 2 + GAP)
    y = top + sheet.height + GAP
    _legend(canvas, y, with_baseline=baseline is not None)
    for left, rows in ((MARGIN, emotions), (2 * MARGIN + COLUMN, actions)):
        _bars(canvas, left, y + LINE, rows)
    picture = canvas.finished()
    picture.paste(sheet, ((WIDTH - sheet.width) // 2, top))
    return picture


def _sheet(comparison: Comparison, sources: Sequence[Perceptions]) -> Image.Image | None:
    """Return the faces side by side; None if no picture has all of them."""
    if comparison.shown is None:
        return None
    faces = [some[index] for some, index in zip(sources, comparison.shown, strict=False) if index is not None]
    vectors = torch.stack([face.vector for face in faces])
    sizes = torch.tensor([face.image_size for face in faces])
    return Image.fromarray(contact_sheet(vectors, sizes, ["target", "result", "baseline"][: len(faces)]).numpy())


def _legend(canvas: Canvas, y: float, *, with_baseline: bool) -> None:
    entries = [("target", TARGET), ("result", RESULT), *([("baseline", BASELINE)] if with_baseline else [])]
    for index, (name, color) in enumerate(entries):
        x = MARGIN + 110 * index
        canvas.line([(x, y), (x + 22, y)], color, THICK if color != BASELINE else 2)
        canvas.write(x + 30, y, name, SMALL, DIMMED)


def _bars(canvas: Canvas, left: float, top: float, rows: Sequence[Row]) -> None:
    start = left + LABEL
    for index, row in enumerate(rows):
        y = top + ROW * (index + 0.5)
        canvas.write(start - 10, y, row.name, FONT_SIZE, BRIGHT, align=1)
        for value, color, offset in ((row.target, TARGET, -THICK / 2 - 1), (row.result, RESULT, THICK / 2 + 1)):
            canvas.bar(start, y + offset, BAR, value, color, THICK)
            canvas.write(start + BAR + 8, y + offset * 1.4, f"{value:.2f}", SMALL - 1, DIMMED)
        if row.baseline is not None:
            x = start + row.baseline * BAR
            canvas.line([(x, y - THICK - 3), (x, y + THICK + 3)], BASELINE, 2)
