"""Draw perceptions onto their pictures: landmarks, a frame around each face, and a bar for each emotion.

Everything scales with the picture and its faces, so that it is legible on 128 pixels and on 4K.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ...common.words import counted
from ..pictures import to_pictures
from ..vector import Perception, Perceptions
from . import panels
from .arranger import Arranger, Note
from .layout import Scene
from .sketch import Sketch, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pictures import Picture, Pictures

NOTHING_FOUND = ("no face found", "no face")  # the longest that fits is drawn
FILLED_IN = "filled in"


def draw_batch(
    pictures: Pictures, perceptions: Perceptions, *, mesh: bool = False, tracks: bool = False
) -> list[Tensor]:
    """Return (H, W, 3) uint8 tensors of the pictures with their faces drawn on, or a note if there is no face.

    `pictures` may have any form that `to_pictures` accepts and are not changed; `perceptions` are theirs. For `mesh`
    and `tracks` see `Overlay`. Raises ValueError if the numbers of pictures differ, or PictureError for pictures that
    cannot be used.
    """
    checked = to_pictures(pictures)
    if len(checked) != perceptions.frame_count:
        raise ValueError(
            f"{counted(len(checked), 'picture')} cannot be drawn with perceptions of {perceptions.frame_count}; "
            "use the pictures that these were created from"
        )
    overlay = Overlay(mesh=mesh, tracks=tracks)
    return [overlay.draw(picture, faces) for picture, faces in zip(checked, perceptions.by_frame(), strict=True)]


class Overlay:
    """Draws faces onto consecutive pictures: the panels of a track keep their position as long as they fit there.

    Args:
        mesh: also draw the triangles between all landmarks, on faces that are large enough.
        tracks: write the track of each face at a corner of its frame.
    """

    def __init__(self, *, mesh: bool = False, tracks: bool = False) -> None:
        self.mesh = mesh
        self.tracks = tracks
        self._arranger = Arranger()

    def draw(self, picture: Picture, faces: Sequence[Perception]) -> Tensor:
        """Return a copy of one picture, (H, W, 3) uint8, with faces in any order drawn on.

        Faces that were not detected but filled in (score 0) get dim lines, a dashed frame and the words "filled in".
        `picture` may have any form that `to_pictures` accepts, and another size than the one that the faces were
        found in. Raises PictureError if it cannot be used.
        """
        result = to_pictures(picture)[0].clone()
        pixels = result.numpy()
        size = pixels.shape[1], pixels.shape[0]
        sketches = [Sketch.of(face, size) for face in sorted(faces, key=_importance)]
        visible = [sketch for sketch in sketches if sketch.in_view]
        for sketch in reversed(visible):  # the largest on top
            sketch.draw(pixels, mesh=self.mesh)
        if visible:
            boxes, features = (np.stack([getattr(s, name) for s in visible]) for name in ("visible", "features"))
            notes = [self._note(sketch) for sketch in visible]
            for thing, corner in self._arranger.arrange(Scene(size, boxes, features), notes):
                stamp(pixels, thing.render(), corner)
        if not faces:
            _say_nothing_found(pixels)
        return result

    def _note(self, sketch: Sketch) -> Note:
        name = f"#{sketch.track}"
        if sketch.seen:
            tags: tuple[str, ...] = (name,) if self.tracks else ()
        else:
            tags = (f"{name} {FILLED_IN}", name) if self.tracks else (FILLED_IN,)
        return Note(sketch.track, sketch.emotions, tags, panels.BRIGHT if sketch.seen else panels.DIMMED)


def _importance(face: Perception) -> tuple[object, ...]:
    """Return a sort key: the largest face first, with ties independent of the order of the faces."""
    left, top, right, bottom = face.box
    return -(right - left) * (bottom - top), face.box, face.track, face.score, face.vector.numpy().tobytes()


def _say_nothing_found(pixels: NDArray[np.uint8]) -> None:
    """Write a line at the bottom, or nothing on pictures too small for text."""
    height, width = pixels.shape[:2]
    wanted = max(panels.SMALLEST_FONT, round(min(height, width) / 22))
    for font_size in sorted({wanted, panels.SMALLEST_FONT}, reverse=True):
        for text in NOTHING_FOUND:
            tag = panels.Tag(text, font_size, panels.BRIGHT, roomy=True)
            if tag.size[0] <= width and tag.size[1] <= height:
                bottom = min(round(0.8 * font_size), (height - tag.size[1]) // 2)
                stamp(pixels, tag.render(), ((width - tag.size[0]) // 2, height - tag.size[1] - bottom))
                return
