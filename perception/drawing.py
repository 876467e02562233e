"""Perceptions drawn onto their pictures: landmarks, a frame around each face, and a bar for each emotion.

Everything is sized by the picture and its faces, so that it reads well on 128 pixels and on 4K.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from . import panels
from .pictures import to_pictures
from .topology import CLOSED_LINES, FEATURES, FEW_LINES, IRISES, OPEN_LINES
from .vector import EMOTIONS, Perception, Perceptions

if TYPE_CHECKING:
    from .pictures import Picture, Pictures

LINE, HALO = (255, 255, 255, 235), (10, 14, 20, 90)
DOT = (255, 255, 255, 120)
# Pixels of face height. On smaller faces the dots, or more than a few lines, would hide it.
DOTS_FROM, DETAIL_FROM = 110, 60
NOTHING_FOUND = ("no face found", "no face")  # the longest that fits is drawn


def draw_batch(pictures: Pictures, perceptions: Perceptions) -> list[Tensor]:
    """Draw each face onto its picture; those without a face say so. → (H, W, 3) uint8 tensors.

    `pictures` come in any form that `to_pictures` takes, and are not changed; `perceptions` are theirs. Raises
    ValueError if the numbers of pictures differ, or PictureError for pictures that cannot be used.
    """
    checked = to_pictures(pictures)
    if len(checked) != perceptions.frame_count:
        raise ValueError(
            f"{len(checked)} pictures do not go with perceptions of {perceptions.frame_count}: "
            "give the pictures that they were made from"
        )
    return [draw(picture, found) for picture, found in zip(checked, perceptions.by_frame(), strict=True)]


def draw(picture: Picture, faces: Sequence[Perception]) -> Tensor:
    """Draw faces, the largest first, onto a copy of one picture. → (H, W, 3) uint8.

    `picture` comes in any form that `to_pictures` takes, and may have another size than the one that the faces
    were found in. Raises PictureError if it cannot be used.
    """
    canvas = Image.fromarray(to_pictures(picture)[0].numpy())
    if not faces:
        _say_nothing_found(canvas)
    else:
        boxes = [_box(face, canvas.size) for face in faces]
        features = [_features(face, canvas.size) for face in faces]
        emotions = [tuple(face.emotions.tolist()) for face in faces]
        placed = panels.arrange(emotions, boxes, features, canvas.size)
        for face, box, shares in zip(faces, boxes, emotions, strict=True):
            strongest = max(range(len(EMOTIONS)), key=shares.__getitem__)
            _draw_face(canvas, face, box, panels.COLOURS[EMOTIONS[strongest]])
        for item in placed:
            if item is not None:
                _stamp(canvas, item[0].render(), item[1])
    return torch.from_numpy(np.array(canvas))


def _box(face: Perception, size: tuple[int, int]) -> panels.Box:
    """The face's box in pixels of the canvas."""
    across, down = size[0] / face.image_size[1], size[1] / face.image_size[0]
    left, top, right, bottom = face.box
    return left * across, top * down, right * across, bottom * down


def _features(face: Perception, size: tuple[int, int]) -> panels.Box:
    """The box around brows, eyes and mouth, in pixels of the canvas."""
    points = face.landmarks[FEATURES, :2] * torch.tensor(size)
    (left, top), (right, bottom) = points.amin(dim=0).tolist(), points.amax(dim=0).tolist()
    return left, top, right, bottom


def _draw_face(canvas: Image.Image, face: Perception, box: panels.Box, accent: tuple[int, int, int]) -> None:
    """Landmarks and frame. Drawn on a layer of the face's surroundings, enlarged for smooth lines."""
    points = face.landmarks[:, :2].double() * torch.tensor(canvas.size, dtype=torch.float64)
    height = max(box[3] - box[1], box[2] - box[0], 1.0)
    pad = 0.08 * height + 4
    left, top = (int(max(min(box[i], float(points[:, i].min())) - pad, 0)) for i in (0, 1))
    right, bottom = (int(min(max(box[i + 2], float(points[:, i].max())) + pad, canvas.size[i])) for i in (0, 1))
    if right <= left or bottom <= top:
        return  # wholly outside the picture
    zoom = 4 if height < 400 else 2
    layer = Image.new("RGBA", ((right - left) * zoom, (bottom - top) * zoom))
    pen = ImageDraw.Draw(layer)

    spots = [((x - left) * zoom, (y - top) * zoom) for x, y in points.tolist()]
    thick = max(0.8 if height >= DETAIL_FROM else 0.6, height / 165) * zoom
    if height >= DOTS_FROM:
        radius = max(0.55, height / 420) * zoom
        for x, y in spots[:468]:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), DOT)
    if height >= DETAIL_FROM:
        lines = [[spots[i] for i in (*line, line[0])] for line in CLOSED_LINES]
        lines += [[spots[i] for i in line] for line in OPEN_LINES]
    else:
        lines = [[spots[i] for i in line] for line in FEW_LINES]
    for colour, width in ((HALO, thick * 2.4), (LINE, thick)):
        for line in lines:
            pen.line(line, colour, round(width), joint="curve")
    for centre, rim in IRISES if height >= DETAIL_FROM else ():
        x, y = spots[centre]
        radius = sum(((spots[i][0] - x) ** 2 + (spots[i][1] - y) ** 2) ** 0.5 for i in rim) / len(rim)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), None, (*accent, 255), round(thick * 1.3))
    _draw_frame(pen, [(box[i] - (left, top)[i % 2]) * zoom for i in range(4)], thick * 1.5, accent)
    _stamp(canvas, layer.reduce(zoom), (left, top))


def _draw_frame(pen: ImageDraw.ImageDraw, box: Sequence[float], thick: float, accent: tuple[int, int, int]) -> None:
    """The four corners of a frame."""
    left, top, right, bottom = box
    arm = 0.16 * min(right - left, bottom - top)
    for colour, width in ((HALO, thick * 2.0), ((*accent, 255), thick)):
        for x, towards_x in ((left, arm), (right, -arm)):
            for y, towards_y in ((top, arm), (bottom, -arm)):
                corner = [(x + towards_x, y), (x, y), (x, y + towards_y)]
                pen.line(corner, colour, round(width), joint="curve")


def _say_nothing_found(canvas: Image.Image) -> None:
    """A line at the bottom; on pictures too small for letters, nothing."""
    wanted = max(panels.SMALLEST_TEXT, round(min(canvas.size) / 22))
    for text in sorted({wanted, panels.SMALLEST_TEXT}, reverse=True):
        for words in NOTHING_FOUND:
            width, height = round(panels.text_width(words, text) + 1.6 * text), round(1.9 * text)
            if width <= canvas.width and height <= canvas.height:
                label = panels.Label(width, height, text)
                label.write(width / 2, height / 2, words, panels.BRIGHT, anchor="mm")
                bottom = min(round(0.8 * text), (canvas.height - height) // 2)
                _stamp(canvas, label.finish(), ((canvas.width - width) // 2, canvas.height - height - bottom))
                return


def _stamp(canvas: Image.Image, layer: Image.Image, corner: tuple[int, int]) -> None:
    canvas.paste(layer, corner, layer)
