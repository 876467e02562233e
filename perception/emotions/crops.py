"""Cut faces out of pictures for emotion models that see the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...common import threads
from ..engines import Faces
from ..landmarks.cropping import Squares, cut
from ..topology import LEFT_IRIS, RIGHT_IRIS

# The crop's side in units of the face's longer side, hairline to chin as the landmarks span it. The common training
# photos (FER2013, AffectNet) are cut by face detectors: the face fills them, hair and neck hardly show. The tenth
# is for foreheads and chins that the landmarks miss.
MARGIN = 1.1
REDUCED = 1.5  # a larger face is first reduced to this × the crop: from there on, bilinear sampling misses nothing


def upright_squares(landmarks: Tensor, image_sizes: Tensor) -> Squares:
    """Return the square around each face, rotated so that the line between its irises is level.

    `landmarks` (F, 478, 3) are normalized, `image_sizes` (F, 2) are (height, width); squares are in pixels.
    """
    points = landmarks[..., :2] * image_sizes.to(landmarks).flip(1)[:, None]  # (F, 478, 2)
    eyes = points[:, LEFT_IRIS[0]] - points[:, RIGHT_IRIS[0]]
    angles = torch.atan2(eyes[:, 1], eyes[:, 0])
    unit = Squares(centers=torch.zeros_like(eyes), sides=torch.ones_like(angles), angles=angles)
    upright = points @ unit.axes  # turned back: a rotation's inverse is its transpose
    low, high = upright.amin(dim=1), upright.amax(dim=1)  # (F, 2)
    return Squares(
        centers=unit.locate(((low + high) / 2)[:, None])[:, 0],
        sides=(high - low).amax(dim=1) * MARGIN,
        angles=angles,
    )


def upright_crops(pictures: Sequence[Tensor], faces: Sequence[Faces], size: int) -> Tensor:
    """Return the upright crop of every face, (total faces, 3, size, size) float32 in 0…1 on the CPU, antialiased.

    Pictures are (H, W, 3) uint8 RGB on any device; `faces` are the faces of each. Outside a picture its border repeats.
    The faces are distributed over the cores. Raises ValueError for NaN or infinite landmarks.
    """
    each = [
        (picture, landmarks) for picture, found in zip(pictures, faces, strict=True) for landmarks in found.landmarks
    ]
    for number, (_, landmarks) in enumerate(each):
        if not landmarks.isfinite().all():
            raise ValueError(f"the landmarks of face {number} contain NaN or infinite values")
    if not each:
        return torch.empty(0, 3, size, size)
    return torch.cat(threads.share(lambda some: _crops(some, size), threads.split(each)))


def _crops(faces: Sequence[tuple[Tensor, Tensor]], size: int) -> Tensor:
    """Return the crops (F, 3, size, size) of faces: each its picture and its landmarks (478, 3)."""
    pictures = [picture for picture, _ in faces]
    image_sizes = torch.tensor([picture.shape[:2] for picture in pictures])
    squares = upright_squares(torch.stack([landmarks for _, landmarks in faces]), image_sizes)
    # Of each picture, the part that the square's upright bounding box touches, or else the nearest pixels.
    reach = squares.axes.abs().sum(dim=2) / 2 + 1  # (F, 2)
    corners = torch.cat([(squares.centers - reach).floor(), (squares.centers + reach).ceil()], dim=1)  # (F, 4)
    corners = corners.clamp_min(0).minimum((image_sizes - 1).flip(1).repeat(1, 2)).long()
    parts, scales = [], []
    for picture, (left, top, right, bottom), side in zip(
        pictures, corners.tolist(), squares.sides.tolist(), strict=True
    ):
        part = picture[top : bottom + 1, left : right + 1].cpu()
        scale = max(REDUCED * size, 2 * side / min(part.shape[:2])) / max(side, 1)
        if scale < 1:
            planes = part.permute(2, 0, 1)[None]
            part = F.interpolate(planes, scale_factor=scale, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
        parts.append(part)
        scales.append(min(scale, 1))
    scale = torch.tensor(scales)
    centers = (squares.centers - corners[:, :2] + 0.5) * scale[:, None] - 0.5
    squares = Squares(centers, squares.sides * scale, squares.angles)
    # `cut` looks at the upper left corners of the crop's pixels; this shift makes them their centers.
    half = torch.full((1, 1, 2), 0.5 / size)
    squares = Squares(squares.locate(half)[:, 0], squares.sides, squares.angles)
    return cut(parts, torch.arange(len(parts)), squares, size)
