"""Draw one face: its contours, irises and frame, and its dots or mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from ..topology import CLOSED_LINES, FEATURES, FEW_LINES, IRISES, OPEN_LINES, mesh_lines
from ..vector import EMOTIONS, LANDMARK_VALUES, Perception
from . import strokes
from .panels import COLORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Pixels = NDArray[np.uint8]  # (H, W, 3)
    Mask = NDArray[np.uint8]  # (H, W)

WHITE, DARK = (255, 255, 255), (10, 14, 20)
# How opaque things in white are, of 255; the lines of faces that were not seen are dim.
LINE, DIM_LINE, DOT, MESH = 235, 120, 120, 110
SHADE = [round(0.7 * value) for value in range(256)]  # opacity of the shade next to lines, by their blurred mask
# Pixels of face height. On smaller faces the dots, the mesh, or more than a few lines, would hide it.
DOTS_FROM, MESH_FROM, DETAIL_FROM = 110, 90, 60

CONTOURS = tuple(np.array([*line, line[0]]) for line in CLOSED_LINES) + tuple(np.array(line) for line in OPEN_LINES)
FEW_CONTOURS = tuple(np.array(line) for line in FEW_LINES)
MESH_POINTS = 468  # the landmarks without the irises


@dataclass(frozen=True)
class Sketch:
    """A face in the pixels of the picture that it is drawn on, which may have another size than it was found in."""

    points: Floats  # (478, 2)
    box: Floats  # (4,): left, top, right, bottom
    emotions: tuple[float, ...]  # 7 probabilities
    track: int
    seen: bool  # else filled in
    size: tuple[int, int]  # (width, height) of the picture

    @classmethod
    def of(cls, face: Perception, size: tuple[int, int]) -> Sketch:
        """Return the sketch of a face for a picture of (width, height) `size`."""
        values = face.vector.numpy().astype(np.float64)
        box = np.array(face.box) / np.array([*face.image_size[::-1]] * 2)
        return cls(
            points=values[:LANDMARK_VALUES].reshape(-1, 3)[:, :2] * size,
            box=box * np.array([*size, *size]),
            emotions=tuple(values[LANDMARK_VALUES:].tolist()),
            track=face.track,
            seen=face.score > 0,
            size=size,
        )

    @property
    def accent(self) -> tuple[int, int, int]:
        """Return the color of the strongest emotion."""
        return COLORS[EMOTIONS[self.emotions.index(max(self.emotions))]]

    @property
    def in_view(self) -> bool:
        """Return whether any part of the face box is inside the picture."""
        left, top, right, bottom = self.box.tolist()
        return bool(left < self.size[0] and right > 0 and top < self.size[1] and bottom > 0)

    @property
    def visible(self) -> Floats:
        """Return the part of the box, (4,), that is inside the picture."""
        return self.box.clip(0, np.array([*self.size, *self.size]))

    @property
    def features(self) -> Floats:
        """Return the box, (4,), around brows, eyes and mouth, clipped to the picture."""
        points = self.points[list(FEATURES)]
        around = np.concatenate([points.min(axis=0), points.max(axis=0)])
        return around.clip(0, np.array([*self.size, *self.size]))

    def draw(self, pixels: Pixels, *, mesh: bool) -> None:
        """Draw onto a picture of `size`. `mesh`: the triangles between all landmarks, instead of dots at them."""
        left, top, right, bottom = self.box.tolist()
        # A face that is cut off by a narrow picture must not get lines that fill it.
        height = min(max(bottom - top, right - left, 1.0), 2.0 * min(self.size))
        region = self._surroundings(pad=0.08 * height + 4)
        if region is None:
            return
        corner, size = region[:2], (region[2] - region[0], region[3] - region[1])
        points, box = self.points - corner, self.box - np.array([*corner, *corner])
        thick = max(0.8 if height >= DETAIL_FROM else 0.6, height / 165)

        contours = CONTOURS if height >= DETAIL_FROM else FEW_CONTOURS
        opacity = LINE if self.seen else DIM_LINE
        white = strokes.lines(size, [points[line] for line in contours], thick, opacity)
        if thick > 1.5:  # wide lines have gaps where they turn
            strokes.add_dots(white, points[np.unique(np.concatenate(contours))], thick / 2, opacity)
        accent = np.zeros_like(white)
        if height >= DETAIL_FROM:
            for center, rim in IRISES:
                radius = float(np.hypot(*(points[list(rim)] - points[center]).T).mean())
                strokes.add_ring(accent, points[center], radius, 1.3 * thick)
        draw_frame = strokes.add_frame if self.seen else strokes.add_dashes
        draw_frame(accent, box, 1.5 * thick)
        shade = Image.fromarray(np.maximum(white, accent)).filter(ImageFilter.BoxBlur(0.8 * thick)).point(SHADE)
        if mesh and height >= MESH_FROM:
            net = strokes.lines(size, [points[list(line)] for line in mesh_lines()], 0.5 * thick, MESH)
            white = np.maximum(white, net)
        elif height >= DOTS_FROM:
            strokes.add_dots(white, points[:MESH_POINTS], max(0.55, height / 420), DOT)

        part = pixels[region[1] : region[3], region[0] : region[2]]
        strokes.paint(part, ((np.asarray(shade), DARK), (white, WHITE), (accent, self.accent)))

    def _surroundings(self, pad: float) -> tuple[int, int, int, int] | None:
        """Return the pixels to draw on: left, top, right, bottom; None if all are outside the picture."""
        low = np.minimum(self.points.min(axis=0), self.box[:2]) - pad
        high = np.maximum(self.points.max(axis=0), self.box[2:]) + pad
        left, top = low.clip(0, self.size).astype(int).tolist()
        right, bottom = high.clip(0, self.size).astype(int).tolist()
        return (left, top, right, bottom) if right > left and bottom > top else None


def stamp(pixels: Pixels, layer: Image.Image, corner: tuple[int, int]) -> None:
    """Blend an RGBA picture onto a part of another, (H, W, 3) uint8, that contains it completely."""
    part = pixels[corner[1] : corner[1] + layer.height, corner[0] : corner[0] + layer.width]
    canvas = Image.fromarray(part)
    canvas.paste(layer, mask=layer)
    part[:] = np.asarray(canvas)
