"""Control pictures: faces on black as ControlNets were trained to see them.

    mediapipe_face  CrucibleAI's ControlNetMediaPipeFace: outlines of oval, eyes, brows and lips, and squares on the
                    pupils, each in a color of its own (`laion_face_common.py` of that model)
    openpose_face   the ControlNets for OpenPose: white dots at the 70 key points of the face
    mesh            all edges between landmarks, and the irises, as white lines
    lines           the outlines of the features, and the irises, as white lines

The first two are drawn as the tools for these ControlNets draw them, in whole pixels with hard edges. Those tools draw
lines, squares and dots of a fixed size, by default in pictures whose shorter side has 512 pixels. Here everything grows
with the shorter side, so that a picture scaled to 512 looks the same. The last two have smooth edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..drawing import strokes
from ..landmarks.comfyui_export import connection_sets
from ..topology import (
    CLOSED_LINES,
    LEFT_EYE_OUTLINE,
    LEFT_IRIS,
    OPEN_LINES,
    RIGHT_EYE_OUTLINE,
    RIGHT_IRIS,
    mesh_lines,
)
from ..vector import UNKNOWN_SIZE, Perceptions
from .openpose import key_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]  # (N, 2) x and y in pixels
    Pixels = NDArray[np.uint8]  # (H, W, 3)
    Color = tuple[int, int, int]

USUAL = 512  # pixels of the shorter side, for which the sizes below are
SMALLEST_FACE = 1 / 8  # of the shorter side: its training data and tools leave faces below 64 pixels out
MULTIPLE = 8  # of pixels: sides of generated pictures

WHITE = (255, 255, 255)
LINE = 1.45  # pixels on each side of a colored line: covers most nearly what OpenCV draws for a thickness of 2
SQUARE = 2  # pixels on each side of a pupil
DOT = 3  # pixels: a radius
OUTLINE, MESH = 2.0, 1.0  # pixels: the width of white lines
# In the order in which they are drawn.
PARTS: dict[str, Color] = {
    "face_oval": (10, 200, 10),
    "left_eye": (10, 200, 180),
    "left_eyebrow": (10, 220, 180),
    "right_eye": (180, 200, 10),
    "right_eyebrow": (180, 220, 10),
    "lips": (10, 180, 10),
}
PUPILS: dict[int, Color] = {RIGHT_IRIS[0]: (250, 200, 10), LEFT_IRIS[0]: (10, 200, 250)}

CONTOURS = (*((*line, line[0]) for line in CLOSED_LINES), *OPEN_LINES)
EYES = ((RIGHT_IRIS, RIGHT_EYE_OUTLINE), (LEFT_IRIS, LEFT_EYE_OUTLINE))


def picture_size(perceptions: Perceptions, width: int = 0, height: int = 0) -> tuple[int, int]:
    """Return the (width, height) of control pictures: as given, and else as the picture of the first face.

    If one of them is 0, it follows from the other by the proportions of that picture, as a multiple of 8.
    """
    tall, wide = perceptions.image_sizes[0].tolist() if len(perceptions) else UNKNOWN_SIZE
    if not width and not height:
        return wide, tall
    return width or _multiple(height * wide / tall), height or _multiple(width * tall / wide)


def _multiple(length: float) -> int:
    return max(round(length / MULTIPLE), 1) * MULTIPLE


def placed_faces(perceptions: Perceptions, size: tuple[int, int]) -> list[list[Points]]:
    """Return for each frame its faces' landmarks (478, 2) in a picture of (width, height) `size`.

    The picture that a face is from is scaled to fit in as a whole, and centered.
    """
    sides = perceptions.image_sizes.flip(1).double()  # (N, 2): width and height
    target = torch.tensor(size, dtype=torch.float64)
    scaled = sides * (target / sides).amin(dim=1, keepdim=True)
    points = perceptions.landmarks[..., :2].double() * scaled[:, None] + ((target - scaled) / 2)[:, None]
    faces: list[list[Points]] = [[] for _ in range(perceptions.frame_count)]
    for frame, face in zip(perceptions.frames.tolist(), points.numpy(), strict=True):
        faces[frame].append(face)
    return faces


def small_faces(frames: list[list[Points]], size: tuple[int, int]) -> int:
    """Return how many faces are smaller than those that ControlNetMediaPipeFace was trained on."""
    least = SMALLEST_FACE * min(size)
    return sum(float(np.ptp(face, axis=0).min()) < least for faces in frames for face in faces)


def draw(kind: str, faces: list[Points], size: tuple[int, int]) -> Pixels:
    """Return a picture (H, W, 3) of (width, height) `size`, of faces with landmarks (478, 2), the first in front."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for face in reversed(faces):
        KINDS[kind](pixels, face, min(size) / USUAL)
    return pixels


def _draw_parts(pixels: Pixels, face: Points, scale: float) -> None:
    inside = set(np.flatnonzero(((face >= 0) & (face <= pixels.shape[1::-1])).all(axis=1)).tolist())
    points = np.minimum(np.floor(face), np.array(pixels.shape[1::-1]) - 1).astype(int)
    for part, color in PARTS.items():
        for start, end in connection_sets()[part]:
            if start in inside and end in inside:
                _draw_line(pixels, points[start], points[end], max(LINE * scale, 0.75), color)
    reach = max(round(SQUARE * scale), 1)
    for pupil, color in PUPILS.items():
        if pupil in inside:
            left, top = np.maximum(points[pupil] - reach, 0)
            right, bottom = points[pupil] + reach
            pixels[top:bottom, left:right] = color


def _draw_dots(pixels: Pixels, face: Points, scale: float) -> None:
    for point in key_points(face):
        if (point >= 0).all() and (point < pixels.shape[1::-1]).all():
            middle = point.astype(int)
            _draw_line(pixels, middle, middle, max(DOT * scale, 1), WHITE)


def _draw_line(pixels: Pixels, start: NDArray[np.int_], end: NDArray[np.int_], radius: float, color: Color) -> None:
    """Color all pixels within `radius` of the line between two pixels."""
    reach = int(radius)
    left, top = np.maximum(np.minimum(start, end) - reach, 0)
    right, bottom = np.maximum(start, end) + reach + 1
    part = pixels[top:bottom, left:right]
    x = np.arange(left, left + part.shape[1]) - start[0]
    y = np.arange(top, top + part.shape[0])[:, None] - start[1]
    across, down = end - start
    along = ((x * across + y * down) / max(across**2 + down**2, 1)).clip(0, 1)  # of the nearest point of the line
    part[(x - along * across) ** 2 + (y - along * down) ** 2 <= radius**2] = color


def _draw_mesh(pixels: Pixels, face: Points, scale: float) -> None:
    _draw_white(pixels, face, mesh_lines(), MESH * scale)


def _draw_lines(pixels: Pixels, face: Points, scale: float) -> None:
    _draw_white(pixels, face, CONTOURS, OUTLINE * scale)


def _draw_white(pixels: Pixels, face: Points, lines: Sequence[tuple[int, ...]], width: float) -> None:
    """Draw lines through landmarks, and what is to be seen of the irises between the lids."""
    whole = np.array(pixels.shape[1::-1])
    left, top = np.floor(face.min(axis=0) - width).clip(0, whole).astype(int)
    right, bottom = np.ceil(face.max(axis=0) + width).clip(0, whole).astype(int)
    part, points, size = pixels[top:bottom, left:right], face - (left, top), (int(right - left), int(bottom - top))
    if not part.size:
        return
    mask = strokes.lines(size, [points[list(line)] for line in lines], width)
    strokes.add_dots(mask, points[np.unique(np.concatenate(lines))], width / 2)  # wide lines have gaps where they turn
    for iris, lids in EYES:
        opening = Image.new("L", size)
        ImageDraw.Draw(opening).polygon(points[list(lids)].ravel().tolist(), fill=255)
        ring = np.zeros_like(mask)
        center, rim = points[iris[0]], points[list(iris[1:])]
        strokes.add_ring(ring, center, float(np.hypot(*(rim - center).T).mean()), width)
        mask = np.maximum(mask, np.minimum(ring, np.asarray(opening)))
    np.maximum(part, mask[..., None], out=part)


KINDS: dict[str, Callable[[Pixels, Points, float], None]] = {
    "mediapipe_face": _draw_parts,
    "openpose_face": _draw_dots,
    "mesh": _draw_mesh,
    "lines": _draw_lines,
}


def control_pictures(
    kind: str, frames: list[list[Points]], size: tuple[int, int], progress: Callable[[int], None]
) -> Tensor:
    """Return one picture per frame, (B, H, W, 3) float32 in 0…1, of faces as `placed_faces` returns them."""
    pictures = torch.zeros(len(frames), size[1], size[0], 3)
    for number, faces in enumerate(frames):
        if faces:
            torch.div(torch.from_numpy(draw(kind, faces, size)), 255, out=pictures[number])
        progress(number + 1)
    return pictures
