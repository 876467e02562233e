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
BAR_BACKGROUND = (66, 72, 84)  # under the bars
BRIGHT, DIMMED = (255, 255, 255), (176, 182, 192)

SMALLEST_FONT = 9  # pixels; smaller letters cannot be read


@dataclass(frozen=True)
class Panel:
    """The panel of one face: the bars of all emotions, or only of the strongest (`short`)."""

    emotions: tuple[float, ...]  # 7 probabilities
    font_size: int  # height of the letters in pixels
    short: bool

    @property
    def strongest(self) -> int:
        """Return the index of the strongest emotion in `EMOTIONS`."""
        return self.emotions.index(max(self.emotions))

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        font_size = self.font_size
        if self.short:
            # As wide as with the widest number, so that it does not change from picture to picture.
            widest = f"{EMOTIONS[self.strongest]} 100%"
            return round(text_width(widest, font_size) + 1.1 * font_size), round(2.1 * font_size)
        return round(label_width(font_size) + 9.8 * font_size), round((1.45 * len(EMOTIONS) + 0.85) * font_size)

    def render(self) -> Image.Image:
        """Return an RGBA picture of `size`."""
        font_size, (width, height) = self.font_size, self.size
        if self.short:
            share, name = self.emotions[self.strongest], EMOTIONS[self.strongest]
            picture = plate(width, height, font_size).copy()
            write(picture, width / 2, round(0.82 * font_size), f"{name} {share:.0%}", font_size, BRIGHT, align=0.5)
            edge = round(0.55 * font_size)
            for part, color in ((1.0, BAR_BACKGROUND), (share, COLORS[name])):
                draw_bar(picture, edge, width - edge, round(1.65 * font_size), part, color, half=0.18 * font_size)
            return picture
        picture = empty_panel(font_size, width, height, self.strongest).copy()
        bar = bar_ends(font_size, width)
        for row, (name, share) in enumerate(zip(EMOTIONS, self.emotions, strict=True)):
            color = BRIGHT if row == self.strongest else DIMMED
            draw_bar(picture, *bar, row_middle(row, font_size), share, COLORS[name], half=0.26 * font_size)
            write(
                picture, width - 0.65 * font_size, row_middle(row, font_size), f"{share:.0%}", font_size, color, align=1
            )
        return picture


@dataclass(frozen=True)
class Tag:
    """A small plate with a short text."""

    text: str
    font_size: int  # height of the letters in pixels
    color: Color
    roomy: bool = False  # more space around the text

    @property
    def size(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        across, down = (1.6, 1.9) if self.roomy else (0.9, 1.45)
        return round(text_width(self.text, self.font_size) + across * self.font_size), round(down * self.font_size)

    def render(self) -> Image.Image:
        """Return an RGBA picture of `size`."""
        width, height = self.size
        picture = plate(width, height, self.font_size).copy()
        write(picture, width / 2, height / 2, self.text, self.font_size, self.color, align=0.5)
        return picture


# --- parts, kept for the next picture --------------------------------------------------------------------------


@lru_cache(maxsize=256)
def plate(width: int, height: int, font_size: int) -> Image.Image:
    """Return a rounded dark plate as a text background, RGBA."""
    zoom = enlargement(font_size)
    picture = Image.new("RGBA", (width * zoom, height * zoom), (*BACKGROUND[:3], 0))
    border = (0, 0, width * zoom - 1, height * zoom - 1)
    ImageDraw.Draw(picture).rounded_rectangle(border, 0.55 * font_size * zoom, BACKGROUND)
    return picture.reduce(zoom)


@lru_cache(maxsize=64)
def empty_panel(font_size: int, width: int, height: int, strongest: int) -> Image.Image:
    """Return a panel with the names of the emotions and empty bars, RGBA."""
    picture = plate(width, height, font_size).copy()
    for row, name in enumerate(EMOTIONS):
        color = BRIGHT if row == strongest else DIMMED
        write(picture, 0.65 * font_size, row_middle(row, font_size), name, font_size, color, align=0)
        left, right = bar_ends(font_size, width)
        draw_bar(picture, left, right, row_middle(row, font_size), 1, BAR_BACKGROUND, half=0.26 * font_size)
    return picture


def row_middle(row: int, font_size: int) -> int:
    """Return the y of the middle of an emotion's row, in pixels of the panel."""
    return round((0.45 + 1.45 * (row + 0.5)) * font_size)


def bar_ends(font_size: int, width: int) -> tuple[int, int]:
    """Return the left and right ends of the bars, in pixels of a panel of this width."""
    return round(1.2 * font_size + label_width(font_size)), round(width - 3.4 * font_size)


def draw_bar(picture: Image.Image, left: int, right: int, y: int, share: float, color: Color, half: float) -> None:
    """Draw a horizontal bar filled to `share`, 0…1, at least a dot, centered at y; `half` is half its height."""
    half = max(1.0, half)
    mask = bar(round(4 * max(share * (right - left), 2 * half)), round(4 * half))
    picture.paste((*color, 255), (left, y - mask.height // 2), mask)


@lru_cache(maxsize=1024)
def bar(length: int, half: int) -> Image.Image:
    """Return the mask of a horizontal bar with round ends; length and half the height are in quarters of a pixel."""
    height = -(-half // 4) * 2 + 2  # even, so that the middle is between pixels
    layer = Image.new("L", (-(-length // 4) * 4, height * 4))
    middle = height * 2
    ImageDraw.Draw(layer).rounded_rectangle((0, middle - half, max(length, 2 * half) - 1, middle + half - 1), half, 255)
    return layer.reduce(4)


def write(picture: Image.Image, x: float, y: float, text: str, font_size: int, color: Color, align: float) -> None:
    """Write text on an RGBA picture, centered at y; x is its left end (`align` 0), middle (0.5) or right end (1)."""
    mask = letters(text, font_size)
    corner = round(x - align * text_width(text, font_size)) - 1, round(y - mask.height / 2)
    picture.paste((*color, 255), corner, mask)


@lru_cache(maxsize=1024)
def letters(text: str, font_size: int) -> Image.Image:
    """Return text as a mask, drawn enlarged and then reduced, so that small letters keep their spacing."""
    zoom = enlargement(font_size)
    width, height = round(text_width(text, font_size)) + 3, 2 * round(0.75 * font_size)
    layer = Image.new("L", (width * zoom, height * zoom))
    ImageDraw.Draw(layer).text((zoom, height * zoom / 2), text, 255, font_for(text, font_size * zoom), anchor="lm")
    return layer.reduce(zoom)


def enlargement(font_size: int) -> int:
    """Return how many times larger text is drawn, before it is reduced."""
    return 4 if font_size < 24 else 2


def label_width(font_size: int) -> float:
    """Return the width of the longest name of an emotion, in pixels."""
    return max(text_width(name, font_size) for name in EMOTIONS)


@lru_cache(maxsize=1024)
def text_width(text: str, font_size: int) -> float:
    """Return the width in pixels of a text, measured at a large font size to avoid rounding."""
    return float(font_for(text, 100).getlength(text)) * font_size / 100
