"""A dark picture for plots and text, drawn with Pillow only."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import partial

from PIL import Image, ImageDraw

from ...common import words
from .panels import BAR_BACKGROUND, Color, text_width, write

BACKGROUND = (18, 22, 30)
ZOOM = 2  # lines are drawn so much larger, then reduced, so that they are smooth


class Canvas:
    """A dark picture. Lines and dots are kept until the end, as text goes on top of them."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._shapes = Image.new("RGB", (width * ZOOM, height * ZOOM), BACKGROUND)
        self._draw = ImageDraw.Draw(self._shapes)
        self._texts: list[tuple[float, float, str, int, Color, float]] = []

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: int) -> None:
        """Draw a line through points, `width` pixels wide."""
        self._draw.line([(x * ZOOM, y * ZOOM) for x, y in points], color, width * ZOOM, joint="curve")

    def bar(self, x: float, y: float, length: float, value: float, color: Color, width: int) -> None:
        """Draw a bar of a value in 0…1 from x to the right, or to the left if `length`, that of 1, is negative."""
        for share, shade in ((1.0, BAR_BACKGROUND), (value, color)):
            if share * abs(length) >= 1:
                self.line([(x, y), (x + share * length, y)], shade, width)

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        """Draw a filled circle."""
        self._draw.ellipse([(a * ZOOM) for a in (x - radius, y - radius, x + radius, y + radius)], color)

    def write(self, x: float, y: float, text: str, font_size: int, color: Color, align: float = 0) -> None:
        """Write text centered at height y; x is its left end (`align` 0), middle (0.5) or right end (1)."""
        self._texts.append((x, y, text, font_size, color, align))

    def finished(self) -> Image.Image:
        """Return the RGB picture, with the text on top."""
        picture = self._shapes.reduce(ZOOM).convert("RGBA")
        for x, y, text, font_size, color, align in self._texts:
            write(picture, x, y, text, font_size, color, align)
        return picture.convert("RGB")


def wrapped(text: str, font_size: int, width: float, most: int = 0) -> list[str]:
    """Return lines of up to `width` pixels, in which Latin letters lose their accents; see common/words.py."""
    letters = (letter if letter.isprintable() else " " for letter in map(_plain, unicodedata.normalize("NFC", text)))
    return words.wrapped(" ".join("".join(letters).split()), width, partial(text_width, font_size=font_size), most)


def _plain(letter: str) -> str:
    """Return a Latin letter without its accent, which many fonts lack; other letters are unchanged."""
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    return base if base.isascii() else letter


def cut(text: str, font_size: int, width: float) -> str:
    """Return the text, truncated with three dots to fit into this many pixels."""
    return words.wrapped(text, width, partial(text_width, font_size=font_size), most=1)[0]
