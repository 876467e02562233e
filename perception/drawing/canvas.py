"""A dark picture for plots and text, drawn with Pillow only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw

from .panels import Color, text_width, write

BACKGROUND = (18, 22, 30)
ZOOM = 2  # lines are drawn so much larger, then reduced, so that they are smooth


class Canvas:
    """A dark picture. Lines and dots are kept until the end, as words go on top of them."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._shapes = Image.new("RGB", (width * ZOOM, height * ZOOM), BACKGROUND)
        self._draw = ImageDraw.Draw(self._shapes)
        self._words: list[tuple[float, float, str, int, Color, float]] = []

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: int) -> None:
        """Draw a line through points, `width` pixels wide."""
        self._draw.line([(x * ZOOM, y * ZOOM) for x, y in points], color, width * ZOOM, joint="curve")

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        self._draw.ellipse([(a * ZOOM) for a in (x - radius, y - radius, x + radius, y + radius)], color)

    def write(self, x: float, y: float, words: str, text: int, color: Color, align: float = 0) -> None:
        """Write words centered at height y; x is their left end (`align` 0), middle (0.5) or right end (1)."""
        self._words.append((x, y, words, text, color, align))

    def finished(self) -> Image.Image:
        picture = self._shapes.reduce(ZOOM).convert("RGBA")
        for x, y, words, text, color, align in self._words:
            write(picture, x, y, words, text, color, align)
        return picture.convert("RGB")


def wrapped(words: str, text: int, width: float) -> Iterator[str]:
    """Return lines of up to this many pixels; longer words are truncated, and Latin letters lose their accents."""
    line = ""
    for word in "".join(
        mark if mark.isprintable() else " " for mark in map(_plain, unicodedata.normalize("NFC", words))
    ).split():
        longer = f"{line} {word}".lstrip()
        if line and text_width(longer, text) > width:
            yield cut(line, text, width)
            longer = word
        line = longer
    yield cut(line, text, width)


def _plain(letter: str) -> str:
    """Return a Latin letter without its accent, which many fonts lack; other letters are unchanged."""
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return base if base.isascii() else letter


def cut(words: str, text: int, width: float) -> str:
    """Return the words, truncated with three dots to fit into this many pixels."""
    if text_width(words, text) <= width:
        return words
    end = len(words)
    while end and text_width(f"{words[:end]}…", text) > width:
        end -= 1
    return f"{words[:end].rstrip()}…"
