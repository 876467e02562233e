"""The panels of an overlay: one labelled bar per emotion, and where to put them so that all can be read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from .vector import EMOTIONS

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

COLOURS = {
    "angry": (255, 95, 95),
    "disgust": (150, 205, 85),
    "fear": (190, 145, 255),
    "happy": (255, 213, 79),
    "sad": (105, 180, 250),
    "surprise": (255, 160, 75),
    "neutral": (205, 216, 222),
}
BACKGROUND = (18, 22, 30, 205)
TRACK = (66, 72, 84, 235)
BRIGHT, DIM = (255, 255, 255, 255), (176, 182, 192, 255)

SMALLEST_TEXT = 9  # pixels; smaller letters cannot be read


@dataclass(frozen=True)
class Panel:
    """What to draw for one face: the bars of all emotions, or of the strongest only (`short`)."""

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
            return round(text_width(self._caption(), text) + 1.1 * text), round(2.1 * text)
        return round(self._label_width() + 9.5 * text), round((1.45 * len(EMOTIONS) + 0.85) * text)

    def render(self) -> Image.Image:
        """An RGBA picture of `size`."""
        text, (width, height) = self.text, self.size
        label = Label(width, height, text)
        if self.short:
            edge, share = 0.55 * text, self.emotions[self.strongest]
            label.write(width / 2, 0.82 * text, self._caption(), BRIGHT, anchor="mm")
            label.bar(edge, width - edge, 1.65 * text, share, COLOURS[EMOTIONS[self.strongest]], half=0.18 * text)
            return label.finish()
        edge = 0.65 * text
        for row, (name, share) in enumerate(zip(EMOTIONS, self.emotions, strict=True)):
            middle = (0.45 + 1.45 * (row + 0.5)) * text
            colour = BRIGHT if row == self.strongest else DIM
            label.write(edge, middle, name, colour, anchor="lm")
            bar = edge + self._label_width() + 0.55 * text, width - 3.1 * text
            label.bar(*bar, middle, share, COLOURS[name], half=0.26 * text)
            label.write(width - edge, middle, f"{share:.0%}", colour, anchor="rm")
        return label.finish()

    def _caption(self) -> str:
        return f"{EMOTIONS[self.strongest]} {self.emotions[self.strongest]:.0%}"

    def _label_width(self) -> float:
        return max(text_width(name, self.text) for name in EMOTIONS)


class Label:
    """A rounded dark plate to write on. Drawn enlarged and then reduced, so that small letters keep their spacing."""

    def __init__(self, width: int, height: int, text: int) -> None:
        self.zoom = 4 if text < 24 else 2
        self.font = font(text * self.zoom)
        self.picture = Image.new("RGBA", (width * self.zoom, height * self.zoom))
        self.pen = ImageDraw.Draw(self.picture)
        border = (0, 0, self.picture.width - 1, self.picture.height - 1)
        self.pen.rounded_rectangle(border, 0.55 * text * self.zoom, BACKGROUND)

    def write(self, x: float, y: float, words: str, colour: tuple[int, int, int, int], anchor: str) -> None:
        self.pen.text((x * self.zoom, y * self.zoom), words, colour, self.font, anchor=anchor)

    def bar(self, left: float, right: float, y: float, share: float, colour: tuple[int, int, int], half: float) -> None:
        """A bar of `half` the height, filled by `share`, 0…1; never less than a dot."""
        half = max(1.0, half)
        for end, fill in ((right, TRACK), (left + max(share * (right - left), 2 * half), (*colour, 255))):
            box = [edge * self.zoom for edge in (left, y - half, end, y + half)]
            self.pen.rounded_rectangle(box, half * self.zoom, fill)

    def finish(self) -> Image.Image:
        return self.picture.reduce(self.zoom)


@lru_cache(maxsize=1024)
def text_width(words: str, text: int) -> float:
    """In pixels, at letters of `text` pixels; measured large, where it is not rounded."""
    return float(font(100).getlength(words)) * text / 100


@lru_cache(maxsize=64)
def font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)


# --- where to put them ---------------------------------------------------------------------------------------


Placed = tuple[Panel, tuple[int, int]] | None


def arrange(
    emotions: Sequence[tuple[float, ...]], faces: Sequence[Box], features: Sequence[Box], size: tuple[int, int]
) -> list[Placed]:
    """A panel and its left upper corner for each face of a (width, height) picture, the largest face first.

    `faces` are the faces' boxes, `features` those of their brows, eyes and mouths. All panels look alike: with all
    emotions if there is room beside the faces (in smaller letters if that helps) or over a face's rim, else with
    the strongest emotion only. No two panels overlap, and none hides another face if that can be helped; a face
    for whose panel there is no room at all gets None.
    """
    sizes = letter_heights(faces, size)
    attempts = [(text, False, faces) for text in sizes] + [(text, False, features) for text in sizes]
    attempts += [(text, True, clear) for text in short_heights(sizes, faces) for clear in (faces, features)]
    for text, short, keep_clear in attempts:
        placed = place_all([Panel(shares, text, short) for shares in emotions], faces, keep_clear, size)
        if all(placed):
            return placed
    panels = [Panel(shares, sizes[-1], short=True) for shares in emotions]
    return place_all(panels, faces, keep_clear=None, size=size)


def letter_heights(faces: Sequence[Box], size: tuple[int, int]) -> list[int]:
    """For panels with all emotions, the largest first: by the faces' size, within what suits the picture."""
    smallest = max(SMALLEST_TEXT, round(min(size) / 80))
    largest = max(smallest, round(min(size) / 32))
    wanted = min(max(round(middle_height(faces) / 10), smallest), largest)
    return sorted({wanted, round((wanted + smallest) / 2), smallest}, reverse=True)


def short_heights(sizes: Sequence[int], faces: Sequence[Box]) -> list[int]:
    """For panels with one emotion: larger letters first, since a single line leaves room for them."""
    larger = min(round(1.5 * sizes[0]), round(middle_height(faces) / 6))
    return sorted({max(larger, sizes[-1]), *sizes}, reverse=True)


def middle_height(faces: Sequence[Box]) -> float:
    """The median height of the faces, pixels."""
    return sorted(bottom - top for _, top, _, bottom in faces)[len(faces) // 2]


def place_all(
    panels: Sequence[Panel], faces: Sequence[Box], keep_clear: Sequence[Box] | None, size: tuple[int, int]
) -> list[Placed]:
    """The best place for each panel that overlaps no other panel.

    It is near the panel's own face, whose `keep_clear` box it leaves free; and other faces too. With None for
    `keep_clear` these are wishes only.
    """
    taken: list[Box] = []
    result: list[Placed] = []
    for index, panel in enumerate(panels):
        others = [face for other, face in enumerate(faces) if other != index]
        height = max(faces[index][3] - faces[index][1], 1.0)
        # A short panel between two faces could be either's: it belongs right below or above its own. One with all
        # emotions may stand beside the face, where it hides less of the person.
        centred = 0.3 if panel.short else 0.03
        best, lowest = None, float("inf")
        for place in places(panel.size, faces[index], size):
            if any(overlap(place, other) for other in taken):
                continue
            own = overlap(place, faces[index]) / area(faces[index])
            hidden = max((overlap(place, other) / area(other) for other in others), default=0.0)
            away = gap(place, faces[index]) / height
            if keep_clear is not None:
                clear = keep_clear[index]
                if overlap(place, clear) > 0.04 * area(clear) or hidden > 0.02 or away > 0.3:
                    continue
            cost = 10 * hidden + 5 * own + 2 * away + centred * distance(place, faces[index]) / height
            if cost < lowest - 1e-6:
                best, lowest = place, cost
        if best is not None:
            taken.append(best)
        result.append(None if best is None else (panel, (round(best[0]), round(best[1]))))
    return result


def places(size: tuple[int, int], face: Box, picture: tuple[int, int]) -> Iterator[Box]:
    """Where a panel could be, inside the picture: beside the face, below and above it, and along the borders."""
    (width, height), (left, top, right, bottom) = size, face
    margin = min(picture) * 0.015
    if width + 2 * margin > picture[0] or height + 2 * margin > picture[1]:
        margin = 0.0
        if width > picture[0] or height > picture[1]:
            return
    space = 0.06 * (right - left)
    far_right, far_bottom = picture[0] - margin - width, picture[1] - margin - height
    columns = (left, (left + right - width) / 2, right - width)
    rows = (top, (top + bottom - height) / 2, bottom - height)
    for x, y in [
        *((right + space, row) for row in rows),
        *((left - space - width, row) for row in rows),
        *((column, bottom + space) for column in columns),
        *((column, top - space - height) for column in columns),
        *((x, y) for y in (far_bottom, margin) for x in (far_right, margin, far_right / 2)),
    ]:
        x, y = min(max(x, margin), far_right), min(max(y, margin), far_bottom)
        x, y = round(x), round(y)
        yield x, y, x + width, y + height


def area(box: Box) -> float:
    return max((box[2] - box[0]) * (box[3] - box[1]), 1.0)


def overlap(first: Box, second: Box) -> float:
    """The area, in pixels, that two boxes share."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)


def gap(first: Box, second: Box) -> float:
    """Between the nearest edges of two boxes, in pixels; 0 if they touch."""
    across = max(first[0], second[0]) - min(first[2], second[2])
    down = max(first[1], second[1]) - min(first[3], second[3])
    return math.hypot(max(across, 0.0), max(down, 0.0))


def distance(first: Box, second: Box) -> float:
    """Between the centres of two boxes, in pixels."""
    across = first[0] + first[2] - second[0] - second[2]
    down = first[1] + first[3] - second[1] - second[3]
    return math.hypot(across, down) / 2
