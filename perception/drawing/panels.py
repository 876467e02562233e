"""Draw the texts of an overlay: a panel with a bar per emotion, a tag with a track number, a line of text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw

from ...common.fonts import font_for
from ..vector import EMOTIONS

Color = tuple[int, int, int]

COLORS = {
    "angry": (255, 95, 95),
    "disgust": (150, 205, 85),
    "fear": (190, 145, 255),
    "happy": (255, 213, 79),
    "sad": (105, 180, 250),
    "surprise": (255, 160, 75),
    "neutral": (205, 216, 222),
}
BACKGROUND = (18, 22, 30, 205)
TRACK = (66, 72, 84)  # what a bar lies in
BRIGHT, DIM = (255, 255, 255), (176, 182, 192)

SMALLEST_TEXT = 9  # pixels; smaller letters cannot be read


@dataclass(frozen=True)
class Panel:
    """The panel of one face: the bars of all emotions, or only of the strongest (`short`)."""

    emotions: tuple[float, ...]  # 7 probabilities
    text: int  # height of the letters, pixels
    short: bool

    @property
    def strongest(self) -> int:
        return max(range(len(EMOTIONS)), key=self.emotions.__getitem__)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        text = self.text
        if self.short:
            # As wide as with the widest number, so that it does not change from picture to picture.
            widest = f"{EMOTIONS[self.strongest]} 100%"
            return round(text_width(widest, text) + 1.1 * text), round(2.1 * text)
        return round(label_width(text) + 9.8 * text), round((1.45 * len(EMOTIONS) + 0.85) * text)

    def render(self) -> Image.Image:
        """An RGBA picture of `size`."""
        text, (width, height) = self.text, self.size
        if self.short:
            share, name = self.emotions[self.strongest], EMOTIONS[self.strongest]
            picture = plate(width, height, text).copy()
            write(picture, width / 2, round(0.82 * text), f"{name} {share:.0%}", text, BRIGHT, align=0.5)
            edge = round(0.55 * text)
            for part, color in ((1.0, TRACK), (share, COLORS[name])):
                draw_bar(picture, edge, width - edge, round(1.65 * text), part, color, half=0.18 * text)
            return picture
        picture = empty_panel(text, width, height, self.strongest).copy()
        bar = bar_ends(text, width)
        for row, (name, share) in enumerate(zip(EMOTIONS, self.emotions, strict=True)):
            color = BRIGHT if row == self.strongest else DIM
            draw_bar(picture, *bar, row_middle(row, text), share, COLORS[name], half=0.26 * text)
            write(picture, width - 0.65 * text, row_middle(row, text), f"{share:.0%}", text, color, align=1)
        return picture


@dataclass(frozen=True)
class Tag:
    """A small plate with a few words."""

    words: str
    text: int  # height of the letters, pixels
    color: Color
    roomy: bool = False  # more space around the words

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        across, down = (1.6, 1.9) if self.roomy else (0.9, 1.45)
        return round(text_width(self.words, self.text) + across * self.text), round(down * self.text)

    def render(self) -> Image.Image:
        """An RGBA picture of `size`."""
        width, height = self.size
        picture = plate(width, height, self.text).copy()
        write(picture, width / 2, height / 2, self.words, self.text, self.color, align=0.5)
        return picture


# --- parts, kept for the next picture --------------------------------------------------------------------------


@lru_cache(maxsize=256)
def plate(width: int, height: int, text: int) -> Image.Image:
    """Return a rounded dark plate as a text background, RGBA."""
    zoom = enlargement(text)
    picture = Image.new("RGBA", (width * zoom, height * zoom), (*BACKGROUND[:3], 0))
    border = (0, 0, width * zoom - 1, height * zoom - 1)
    ImageDraw.Draw(picture).rounded_rectangle(border, 0.55 * text * zoom, BACKGROUND)
    return picture.reduce(zoom)


@lru_cache(maxsize=64)
def empty_panel(text: int, width: int, height: int, strongest: int) -> Image.Image:
    """Return a panel with the names of the emotions and empty bars, RGBA."""
    picture = plate(width, height, text).copy()
    for row, name in enumerate(EMOTIONS):
        color = BRIGHT if row == strongest else DIM
        write(picture, 0.65 * text, row_middle(row, text), name, text, color, align=0)
        left, right = bar_ends(text, width)
        draw_bar(picture, left, right, row_middle(row, text), 1, TRACK, half=0.26 * text)
    return picture


def row_middle(row: int, text: int) -> int:
    return round((0.45 + 1.45 * (row + 0.5)) * text)


def bar_ends(text: int, width: int) -> tuple[int, int]:
    return round(1.2 * text + label_width(text)), round(width - 3.4 * text)


def draw_bar(picture: Image.Image, left: int, right: int, y: int, share: float, color: Color, half: float) -> None:
    """Draw a horizontal bar filled to `share`, 0…1, at least a dot, centered at y; `half` is half its height."""
    half = max(1.0, half)
    mask = bar(round(4 * max(share * (right - left), 2 * half)), round(4 * half))
    picture.paste((*color, 255), (left, y - mask.height // 2), mask)


@lru_cache(maxsize=1024)
def bar(length: int, half: int) -> Image.Image:
    """A lying bar with round ends as a mask; length and half the height in quarters of a pixel."""
    height = -(-half // 4) * 2 + 2  # even, so that the middle is between pixels
    layer = Image.new("L", (-(-length // 4) * 4, height * 4))
    middle = height * 2
    ImageDraw.Draw(layer).rounded_rectangle((0, middle - half, max(length, 2 * half) - 1, middle + half - 1), half, 255)
    return layer.reduce(4)


def write(picture: Image.Image, x: float, y: float, words: str, text: int, color: Color, align: float) -> None:
    """Write words on an RGBA picture, centered at y; x is their left end (`align` 0), middle (0.5) or right end (1)."""
    mask = letters(words, text)
    corner = round(x - align * text_width(words, text)) - 1, round(y - mask.height / 2)
    picture.paste((*color, 255), corner, mask)


@lru_cache(maxsize=1024)
def letters(words: str, text: int) -> Image.Image:
    """Return words as a mask, drawn enlarged and then reduced, so that small letters keep their spacing."""
    zoom = enlargement(text)
    width, height = round(text_width(words, text)) + 3, 2 * round(0.75 * text)
    layer = Image.new("L", (width * zoom, height * zoom))
    ImageDraw.Draw(layer).text((zoom, height * zoom / 2), words, 255, font_for(words, text * zoom), anchor="lm")
    return layer.reduce(zoom)


def enlargement(text: int) -> int:
    return 4 if text < 24 else 2


def label_width(text: int) -> float:
    return max(text_width(name, text) for name in EMOTIONS)


@lru_cache(maxsize=1024)
def text_width(words: str, text: int) -> float:
    """Return the width in pixels at a text height of `text` pixels, measured at a large size to avoid rounding."""
    return float(font_for(words, 100).getlength(words)) * text / 100
