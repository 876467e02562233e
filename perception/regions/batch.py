"""Masks and boxes of a part of the faces of a batch of pictures or a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..vector import Perception, Perceptions
from .coverage import Mask
from .masks import OUTSIDE, Size, box, mask, owned, union
from .parts import face_height


def masks_of_pictures(
    perceptions: Perceptions,
    size: Size,
    part: str,
    grow: float = 0.0,
    feather: float = 0.0,
    progress: Callable[[int], object] = lambda done: None,
) -> Tensor:
    """Return the part of all faces of each picture, (pictures, H, W) float32 on the CPU, 0…1; see masks.union.

    `progress` is called after each picture with the number of pictures done.
    """
    width, height = size
    result = torch.zeros(perceptions.frame_count, height, width)
    for number, faces in enumerate(perceptions.by_frame()):
        result[number] = torch.from_numpy(union(faces, size, part, grow, feather))
        progress(number + 1)
    return result


def masks_of_faces(
    perceptions: Perceptions,
    size: Size,
    part: str,
    grow: float = 0.0,
    feather: float = 0.0,
    progress: Callable[[int], object] = lambda done: None,
) -> Tensor:
    """Return the part of each face, (N, H, W) float32 on the CPU, 0…1, picture by picture.

    Where two faces of a picture overlap, the larger one is in front, except outside of faces. For `progress`, see
    `masks_of_pictures`.
    """
    width, height = size
    result = torch.zeros(len(perceptions), height, width)
    done = 0
    for number, faces in enumerate(perceptions.by_frame()):
        for region in _of_picture(faces, size, part, grow, feather):
            result[done] = torch.from_numpy(region)
            done += 1
        progress(number + 1)
    return result


def _of_picture(faces: Sequence[Perception], size: Size, part: str, grow: float, feather: float) -> list[Mask]:
    masks = [mask(face, size, part, grow, feather) for face in faces]
    return masks if part == OUTSIDE else owned(masks, [face_height(face, size) for face in faces])


def boxes_of_pictures(perceptions: Perceptions, size: Size, part: str, grow: float = 0.0) -> list[list[dict[str, int]]]:
    """Return the boxes of the part in each picture as ComfyUI's BOUNDING_BOX: x, y, width, height in pixels.

    Parts that lie beyond the picture have no box.
    """
    pictures = []
    for faces in perceptions.by_frame():
        boxes = [box(face, size, part, grow) for face in faces]
        pictures.append(
            [
                {"x": left, "y": top, "width": right - left, "height": bottom - top}
                for left, top, right, bottom in boxes
                if right > left
            ]
        )
    return pictures
