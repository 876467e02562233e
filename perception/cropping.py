"""Rotated square crops: where a detected face lies, the crop cut from its picture, landmarks projected back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .blazeface import LEFT_EYE, RIGHT_EYE

FACE_MARGIN = 1.5  # the crop's side in units of the detection box's longer side


@dataclass(frozen=True)
class Squares:
    """F squares on pictures, turned so that the face inside stands upright."""

    centres: Tensor  # (F, 2) x, y in pixels; a pixel's centre is at whole numbers
    sides: Tensor  # (F,) pixels
    angles: Tensor  # (F,) radians, clockwise as seen on the picture

    @property
    def axes(self) -> Tensor:
        """(F, 2, 2): a point p in −½…½ of the square lies at axes @ p + centre."""
        cos, sin = self.angles.cos(), self.angles.sin()
        rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
        return rotation * self.sides[:, None, None]

    def locate(self, points: Tensor) -> Tensor:
        """Points (F or 1, P, 2) in −½…½ of the square → (F, P, 2) pixels of the picture."""
        return points @ self.axes.transpose(1, 2) + self.centres[:, None]


def squares_around(points: Tensor, image_sizes: Tensor) -> Squares:
    """BlazeFace's points (F, 8, 2), on the letterbox, and each picture's (height, width) (F, 2) → crops."""
    image_sizes = image_sizes.to(points)
    sides = image_sizes.amax(dim=1)  # the letterbox's, in pixels
    centres = points[:, 0] * sides[:, None] + (image_sizes.flip(1) - sides[:, None]) / 2
    eyes = points[:, RIGHT_EYE] - points[:, LEFT_EYE]
    return Squares(
        centres=centres,
        sides=points[:, 1].amax(dim=1) * sides * FACE_MARGIN,
        angles=torch.atan2(eyes[:, 1], eyes[:, 0]),
    )


def cut(pictures: Sequence[Tensor], frames: Tensor, squares: Squares, size: int) -> Tensor:
    """Cut each square from its picture: (F, 3, size, size) float32 in 0…1, bilinear, the border replicated.

    `pictures` are (H, W, 3) uint8; `frames` (F,), ascending, says which of them each square lies on.
    """
    counts = torch.bincount(frames, minlength=len(pictures)).tolist()
    parts = zip(pictures, squares.axes.split(counts), squares.centres.split(counts), strict=True)
    rows = torch.cat([_cut(picture, axes, centres, size) for picture, axes, centres in parts if len(axes)])
    return rows.view(-1, size, 3, size).transpose(1, 2)


def _cut(picture: Tensor, axes: Tensor, centres: Tensor, size: int) -> Tensor:
    """The squares of one picture, row by row: (F · size, 3, 1, size)."""
    height, width = picture.shape[:2]
    reach = axes.abs().sum(dim=2) / 2  # (F, 2): from a square's centre to the sides of its upright bounding box
    last = reach.new_tensor([width - 1, height - 1])
    low = (centres - reach).amin(dim=0).floor().clamp_min(0).minimum(last)
    high = (centres + reach).amax(dim=0).ceil().clamp_min(0).minimum(last)
    (left, top), (right, bottom) = low.long().tolist(), high.long().tolist()
    part = picture[top : bottom + 1, left : right + 1].permute(2, 0, 1)[None] / 255  # the rest stays uint8

    # grid_sample counts −1…1 from border to border of the part, pixel centres half a pixel inside.
    scale = 2 / (high - low + 1)
    axes, centres = axes * scale[:, None], (centres - low + 0.5) * scale - 1
    steps = torch.arange(size, device=axes.device)[:, None] / size - 0.5
    across, down = steps * axes[:, None, :, 0], steps * axes[:, None, :, 1]  # (F, size, 2)
    grid = (centres[:, None] + down)[:, :, None] + across[:, None]  # (F, size, size, 2)
    # It shares its work among threads by batch entry: make each row of a crop one.
    grid = grid.view(-1, 1, size, 2)
    return F.grid_sample(part.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=False)


def normalise(landmarks: Tensor, squares: Squares, image_sizes: Tensor, size: int) -> Tensor:
    """Landmarks (F, 478, 3) in crop pixels → normalised image coordinates (see perception/vector.py)."""
    height, width = image_sizes.to(landmarks).unbind(dim=1)
    xy = squares.locate(landmarks[..., :2] / size - 0.5) / torch.stack([width, height], dim=1)[:, None]
    z = landmarks[..., 2:] / size * (squares.sides / width)[:, None, None]
    return torch.cat([xy, z], dim=2)
