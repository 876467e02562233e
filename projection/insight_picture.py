"""Draw where faces project to, with a bar for each similar prompt."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..perception.drawing.canvas import Canvas, cut, wrapped
from ..perception.drawing.panels import BRIGHT, DIMMED
from .insight import Similarity

WIDTH, MARGIN = 1024, 24
HEADING_SIZE, FONT_SIZE = 20, 17  # height of the letters, pixels
LINE, ROW, GAP = 26, 27, 20  # pixels from a text line or a bar to the next; between faces
BAR, NUMBER = 260, 64  # pixels for the longest bar, and for its number
BAR_BACKGROUND, TOWARD, AWAY, WARNING = (52, 58, 70), (96, 185, 240), (240, 160, 50), (240, 160, 50)


def insight_picture(title: str, notes: Sequence[str], faces: Sequence[tuple[str, Sequence[Similarity]]]) -> Image.Image:
    """Return an RGB picture, 1024 pixels wide and as high as its content.

    Notes that start with ⚠ are highlighted. Each face has a heading and a bar for each prompt: its similarity −1…1,
    blue to the right of 0, orange to the left.
    """
    inside = WIDTH - 2 * MARGIN
    lines = [
        (line, note.startswith("⚠")) for note in notes for line in wrapped(note.replace("⚠", "!"), FONT_SIZE, inside)
    ]
    height = 2 * MARGIN + LINE * (1 + len(lines)) + sum(GAP + LINE + ROW * max(len(similar), 1) for _, similar in faces)
    canvas = Canvas(WIDTH, height)
    y = MARGIN + LINE // 2
    canvas.write(MARGIN, y, cut(title, HEADING_SIZE, inside), HEADING_SIZE, BRIGHT)
    for line, warns in lines:
        y += LINE
        canvas.write(MARGIN, y, line, FONT_SIZE, WARNING if warns else DIMMED)
    y += LINE // 2
    for heading, similar in faces:
        y += GAP + LINE // 2
        canvas.write(MARGIN, y, heading, HEADING_SIZE, BRIGHT)
        y += LINE // 2
        if not similar:
            canvas.write(MARGIN, y + ROW // 2, "the checkpoint contains no prompts", FONT_SIZE, DIMMED)
            y += ROW
        for prompt, value in similar:
            _bar(canvas, y + ROW // 2, prompt, value)
            y += ROW
    return canvas.finished()


def _bar(canvas: Canvas, y: int, prompt: str, value: float) -> None:
    left, middle = MARGIN, MARGIN + BAR / 2
    canvas.line([(left, y), (left + BAR, y)], BAR_BACKGROUND, 12)
    canvas.line([(middle, y), (middle + value * BAR / 2, y)], TOWARD if value >= 0 else AWAY, 12)
    canvas.line([(middle, y - 9), (middle, y + 9)], DIMMED, 1)
    canvas.write(left + BAR + NUMBER - 8, y, f"{value:.2f}", FONT_SIZE, BRIGHT, align=1)
    text_left = left + BAR + NUMBER + 8
    canvas.write(text_left, y, cut(prompt, FONT_SIZE, WIDTH - MARGIN - text_left), FONT_SIZE, BRIGHT)
