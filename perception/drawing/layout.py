"""Place the panels and tags of an overlay so that all are legible and no face is hidden.

Boxes are (left, top, right, bottom) in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .panels import SMALLEST_FONT, Panel, Tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]  # (N, 4), or (4,) for one
    Size = tuple[int, int]  # width, height

MAY_COVER_OWN, MAY_COVER_OTHERS = 0.04, 0.02  # shares of a box that must be kept clear, and of another face's
SPACE, MAY_BE_AWAY = 0.06, 0.3  # heights of the face between it and its panel: usually, and at most
PANEL_LEASH, TAG_LEASH = 0.06, 0.02  # heights of the face that it may move before its panel or tag follows
STAYS = 0.5  # the last place is kept until another one costs less by this


@dataclass(frozen=True)
class Spot:
    """The position of a panel or tag of one face."""

    number: int  # of the place, among the choices around a face
    corner: tuple[int, int]  # left and upper edge


Thing = TypeVar("Thing", Panel, Tag)
Placed = tuple[Thing, Spot] | None


@dataclass(frozen=True)
class PanelStyle:
    """The common style of all panels of a picture."""

    font_size: int  # height of the letters in pixels
    short: bool  # the strongest emotion only
    clear: str | None  # they keep clear of the whole "face", of its "features", or (None) of nothing


@dataclass(frozen=True)
class Scene:
    """The faces of one picture, the most important first, around which panels and tags are placed."""

    size: Size
    faces: Boxes  # (N, 4)
    features: Boxes  # (N, 4): around brows, eyes and mouth

    def __post_init__(self) -> None:
        if not self.faces.shape == self.features.shape == (len(self.faces), 4):
            raise ValueError(f"boxes must have the shape (N, 4), not {self.faces.shape} and {self.features.shape}")

    def keep_clear(self, what: str | None) -> Boxes | None:
        """Return the boxes (N, 4) that panels leave free, by `PanelStyle.clear`."""
        return {"face": self.faces, "features": self.features, None: None}[what]

    @property
    def middle_height(self) -> float:
        """Return the median height of the faces."""
        return float(np.median(self.faces[:, 3] - self.faces[:, 1]))

    @property
    def font_size(self) -> int:
        """Return the font size that suits the faces and the picture."""
        smallest = max(SMALLEST_FONT, round(min(self.size) / 80))
        largest = max(smallest, round(min(self.size) / 32))
        return min(max(round(self.middle_height / 10), smallest), largest)


def panel_styles(scene: Scene, font_size: int) -> list[PanelStyle]:
    """Return possible panel styles, the best first; `font_size` is the preferred size.

    Panels show all emotions if there is room next to the faces (in a smaller font if that helps) or over the edge of a
    face, otherwise only the strongest emotion, which leaves room for a larger font.
    """
    smallest = max(SMALLEST_FONT, round(min(scene.size) / 80))
    heights = sorted({font_size, round((font_size + smallest) / 2), smallest}, reverse=True)
    larger = max(min(round(1.5 * font_size), round(scene.middle_height / 6)), smallest)
    result = [PanelStyle(height, False, clear) for clear in ("face", "features") for height in heights]
    result += [
        PanelStyle(height, True, clear)
        for height in sorted({larger, *heights}, reverse=True)
        for clear in ("face", "features")
    ]
    return [*result, PanelStyle(smallest, True, None)]


def arrange(
    scene: Scene,
    emotions: Sequence[tuple[float, ...]],
    choices: Sequence[PanelStyle],
    last: Sequence[Spot | None] | None = None,
) -> tuple[list[Placed[Panel]], PanelStyle]:
    """Return a panel for each face in the first style that has room for all, and that style.

    No two panels overlap, and none hides another face if that can be avoided. In the last style, a face gets None if
    there is no room for its panel. `last` are the positions in the previous picture.
    """
    for style in choices:
        panels = [Panel(shares, style.font_size, style.short) for shares in emotions]
        sizes = [panel.size for panel in panels]
        keep_clear = scene.keep_clear(style.clear)
        # A short panel between two faces could be either's: it belongs right below or above its own.
        places = partial(around, beside_first=not style.short)
        spots = place_all(
            scene, sizes, places, keep_clear, leash=PANEL_LEASH, taken=(), last=last, whole=style != choices[-1]
        )
        if None not in spots:
            break
    return [None if spot is None else (panel, spot) for panel, spot in zip(panels, spots, strict=True)], style


def arrange_tags(
    scene: Scene,
    tags: Sequence[Tag | None],
    panels: Sequence[Placed[Panel]] = (),
    last: Sequence[Spot | None] | None = None,
) -> list[Placed[Tag]]:
    """Return a corner of the face box, free of panels, for each tag; None if there is no tag or no room."""
    taken = [box_of(panel.size, spot.corner) for panel, spot in filter(None, panels)]
    sizes = [None if tag is None else tag.size for tag in tags]
    spots = place_all(scene, sizes, corners, scene.features, leash=TAG_LEASH, taken=taken, last=last)
    return [None if tag is None or spot is None else (tag, spot) for tag, spot in zip(tags, spots, strict=True)]


def place_all(
    scene: Scene,
    sizes: Sequence[Size | None],
    places_for: Callable[[Size, Boxes, Size], Boxes],  # size of a thing, its face, and size of the picture → (P, 4)
    keep_clear: Boxes | None,
    *,
    leash: float,
    taken: Sequence[Boxes],
    last: Sequence[Spot | None] | None,
    whole: bool = False,
) -> list[Spot | None]:
    """Return the best spot for each face's thing that overlaps no other thing; None for those that have none.

    It is close to its face and leaves this face's `keep_clear` box (N, 4) free, and other faces too. Faces that have a
    `last` spot choose first and stay there while it is about as good as the best. With `whole`, the search ends at the
    first thing that has none.
    """
    before = last or [None] * len(sizes)
    occupied = list(taken)
    result: list[Spot | None] = [None] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: before[index] is None):
        size, previous, face = sizes[index], before[index], scene.faces[index]
        if size is None:
            continue
        places = places_for(size, face, scene.size)
        cost = costs(scene, index, places, keep_clear)
        if previous is not None and previous.number < len(places):
            number, slack = previous.number, leash * (face[3] - face[1])
            places[number] = on_leash(places[number], previous.corner, slack, scene.size)
            cost[number] = costs(scene, index, places[number, None], keep_clear)[0] - STAYS
        if occupied:
            cost[overlaps(places, np.stack(occupied)).any(axis=1)] = np.inf
        if np.isfinite(cost).any():
            best = int(cost.argmin())
            occupied.append(places[best])
            result[index] = Spot(best, (round(places[best, 0]), round(places[best, 1])))
        elif whole:
            break
    return result


def costs(scene: Scene, index: int, places: Boxes, keep_clear: Boxes | None) -> Boxes:
    """Return the cost (P,) of each place (P, 4) for the panel or tag of a face: infinite if it breaks a rule.

    Hiding a face costs most, then the distance to the own face; of equal places, the first is the best. Without
    `keep_clear` there are no rules.
    """
    face, others = scene.faces[index], np.delete(scene.faces, index, axis=0)
    hidden = (overlaps(places, others) / areas(others)).max(axis=1, initial=0.0)
    away = gaps(places, face) / max(face[3] - face[1], 1.0)
    cost = 10 * hidden + 5 * overlaps(places, face[None])[:, 0] / areas(face) + 2 * np.maximum(away - SPACE, 0.0)
    cost += 0.01 * np.arange(len(places))
    if keep_clear is not None:
        clear = keep_clear[index]
        covered = overlaps(places, clear[None])[:, 0] / areas(clear)
        cost[(covered > MAY_COVER_OWN) | (hidden > MAY_COVER_OTHERS) | (away > MAY_BE_AWAY)] = np.inf
    return np.asarray(cost)


def box_of(size: Size, corner: tuple[int, int]) -> Boxes:
    """Return the box of a thing of (width, height) with this left upper corner."""
    return np.array([*corner, corner[0] + size[0], corner[1] + size[1]], dtype=np.float64)


def on_leash(place: Boxes, corner: tuple[int, int], slack: float, picture: Size) -> Boxes:
    """Return the place moved toward the last corner, by up to `slack` pixels, inside the picture."""
    shift = (np.array(corner) - place[:2]).clip(-slack, slack)
    room = np.array(picture) - (place[2:] - place[:2])
    start = (place[:2] + shift).round().clip(0, room)
    return np.concatenate([start, start + place[2:] - place[:2]])


def around(size: Size, face: Boxes, picture: Size, *, beside_first: bool) -> Boxes:
    """Return candidate panel positions inside the picture: next to, below and above the face, and along the borders."""
    (width, height), (left, top, right, bottom) = size, face.tolist()
    margin = min(picture) * 0.015
    if width + 2 * margin > picture[0] or height + 2 * margin > picture[1]:
        margin = 0.0
    space = SPACE * (right - left)
    columns = ((left + right - width) / 2, left, right - width)
    rows = (top, (top + bottom - height) / 2, bottom - height)
    far_right, far_bottom = picture[0] - margin - width, picture[1] - margin - height
    beside = [(x, y) for x in (right + space, left - space - width) for y in rows]
    starts = [(x, y) for y in (bottom + space, top - space - height) for x in columns]
    starts = beside + starts if beside_first else starts + beside
    starts += [(x, y) for y in (far_bottom, margin) for x in (far_right, margin, far_right / 2)]
    return inside(starts, size, picture, margin)


def corners(size: Size, face: Boxes, picture: Size) -> Boxes:
    """Return candidate tag positions inside the picture: above a corner of the face box, below it, or inside it."""
    (width, height), (left, top, right, bottom) = size, face.tolist()
    space = 0.15 * height
    over, under = top - height - space, bottom + space
    starts = [(left, over), (right - width, over), (left, under), (right - width, under)]
    starts += [(left - width - space, top), (right + space, top)]
    starts += [(x, y) for y in (top + space, bottom - space - height) for x in (left + space, right - space - width)]
    return inside(starts, size, picture, margin=0.0)


def inside(starts: Sequence[tuple[float, float]], size: Size, picture: Size, margin: float) -> Boxes:
    """Return boxes of one size on whole pixels, moved into the picture; (0, 4) if they are too large for it."""
    far = np.array(picture) - size - margin
    if (far < 0).any():
        return np.empty((0, 4))
    start = np.minimum(np.maximum(np.array(starts), margin), far).round()
    return np.concatenate([start, start + size], axis=1)


# --- geometry ----------------------------------------------------------------------------------------------------


def areas(boxes: Boxes) -> Boxes:
    """Return the areas (…,) of boxes (…, 4) in pixels, at least 1."""
    return np.asarray(np.maximum((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]), 1.0))


def overlaps(first: Boxes, second: Boxes) -> Boxes:
    """Return the areas (N, M), in pixels, that N boxes share with M others."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray((high - low).clip(0).prod(axis=2))


def gaps(boxes: Boxes, box: Boxes) -> Boxes:
    """Return the distances (N,), in pixels, from the edges of N boxes to those of one; 0 if they touch."""
    between = np.maximum(boxes[:, :2], box[:2]) - np.minimum(boxes[:, 2:], box[2:])
    return np.asarray(np.hypot(*between.clip(0).T))
