"""Place panels and tags so that they keep their position from picture to picture as long as they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import layout
from .layout import PanelStyle, Placed, Scene, Spot
from .panels import Panel, Tag

RECONSIDER = 24  # pictures, about a second: how often panels that had to be smaller may grow again
FORGET = 48  # pictures without a face after which the places of its things are forgotten
SAME_SIZE = 1.25  # the font size changes only by more than this factor


@dataclass(frozen=True)
class Note:
    """The text to write next to a face."""

    track: int  # by which it is known in the next picture
    emotions: tuple[float, ...]  # 7 probabilities
    tags: tuple[str, ...]  # texts of its tag, the preferred one first; the first that fits is used
    color: tuple[int, int, int]  # of the tag's letters


class Arranger:
    """Places the notes on the faces of a sequence, picture by picture."""

    def __init__(self) -> None:
        self._picture = 0  # how many were arranged
        self._forget()

    def _forget(self, size: tuple[int, int] = (0, 0)) -> None:
        self._size = size
        self._font_size = 0
        self._style: PanelStyle | None = None
        self._styled = 0  # the picture in which the style was chosen
        self._seen: set[int] = set()  # the tracks of the picture before
        self._spots: dict[tuple[type, int], tuple[int, Spot]] = {}  # of a kind of thing and a track: when, and where

    def arrange(self, scene: Scene, notes: Sequence[Note]) -> list[tuple[Panel | Tag, tuple[int, int]]]:
        """Return panels and tags with their top left corners for the faces of a scene. None of them overlap."""
        self._picture += 1
        if scene.size != self._size:
            self._forget(scene.size)
        if not self._font_size / SAME_SIZE < scene.font_size < self._font_size * SAME_SIZE:
            self._font_size, self._style = scene.font_size, None
        tracks = [note.track for note in notes]

        panels, style = self._arrange_panels(scene, notes, self._last(Panel, tracks))
        tags = self._arrange_tags(scene, notes, style.font_size, panels, self._last(Tag, tracks))
        placed: list[tuple[Panel | Tag, tuple[int, int]]] = []
        for things in (panels, tags):
            for track, item in zip(tracks, things, strict=True):
                if item is not None:
                    thing, spot = item
                    placed.append((thing, spot.corner))
                    self._spots[type(thing), track] = self._picture, spot
        self._spots = {key: value for key, value in self._spots.items() if self._picture - value[0] <= FORGET}
        self._seen = set(tracks)
        return placed

    def _last(self, kind: type, tracks: Sequence[int]) -> list[Spot | None]:
        """Return the last spots of the tracks; if a track occurs twice in a picture, only the first has one."""
        past = {track: spot for (of, track), (_, spot) in self._spots.items() if of is kind}
        return [past.pop(track, None) for track in tracks]

    def _arrange_panels(
        self, scene: Scene, notes: Sequence[Note], last: list[Spot | None]
    ) -> tuple[list[Placed[Panel]], PanelStyle]:
        choices = layout.panel_styles(scene, self._font_size)
        newcomers = any(note.track not in self._seen for note in notes)
        if self._style is not None and not newcomers and self._picture - self._styled < RECONSIDER:
            choices = [self._style, *choices]
        else:
            self._styled = self._picture
        placed, style = layout.arrange(scene, [note.emotions for note in notes], choices, last)
        if style != self._style:
            self._style, self._styled = style, self._picture
        return placed, style

    def _arrange_tags(
        self,
        scene: Scene,
        notes: Sequence[Note],
        font_size: int,
        panels: Sequence[Placed[Panel]],
        last: list[Spot | None],
    ) -> list[Placed[Tag]]:
        wanted = [Tag(note.tags[0], font_size, note.color) if note.tags else None for note in notes]
        placed = layout.arrange_tags(scene, wanted, panels, last)
        if any(tag is not None and item is None for tag, item in zip(wanted, placed, strict=True)):
            wanted = [Tag(note.tags[-1], font_size, note.color) if note.tags else None for note in notes]
            placed = layout.arrange_tags(scene, wanted, panels, last)
        return placed
