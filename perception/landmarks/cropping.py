"""Compute rotated square crops of detected faces, and map landmarks back to the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .blazeface import LEFT_EYE, RIGHT_EYE
from .sampling import sample

FACE_MARGIN = 1.5  # the crop's side in units of the detection box's longer side


@dataclass(frozen=True)
class Squares:
    """F squares on pictures, rotated so that the face inside is upright."""

    centers: Tensor  # (F, 2) x, y in pixels; a pixel's center is at whole numbers
    sides: Tensor  # (F,) pixels
    angles: Tensor  # (F,) radians, clockwise as seen on the picture

    @property
    def axes(self) -> Tensor:
        """Return the axes (F, 2, 2), in pixels: a point p in −½…½ of the square lies at axes @ p + center."""
        cos, sin = self.angles.cos(), self.angles.sin()
        rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
        return rotation * self.sides[:, None, None]

    def take(self, indices: Tensor) -> Squares:
        """Return the squares with these indices (K,)."""
        return Squares(centers=self.centers[indices], sides=self.sides[indices], angles=self.angles[indices])

    def locate(self, points: Tensor) -> Tensor:
        """Return points (F or 1, P, 2), in −½…½ of the square, in pixels of the picture (F, P, 2)."""
        return points @ self.axes.transpose(1, 2) + self.centers[:, None]

    def inside(self, points: Tensor) -> Tensor:
        """Return points (F or 1, P, 2), in pixels of the picture, in −½…½ of the square: the inverse of `locate`."""
        places: Tensor = (points - self.centers[:, None]) @ self.axes / self.sides[:, None, None].square()
        return places


def squares_around(points: Tensor) -> Squares:
    """Return the crops for the face mesh from a detector's points (F, 8, 2), in pixels of the picture."""
    eyes = points[:, LEFT_EYE] - points[:, RIGHT_EYE]
    return Squares(
        centers=points[:, 0],
        sides=points[:, 1].amax(dim=1) * FACE_MARGIN,
        angles=torch.atan2(eyes[:, 1], eyes[:, 0]),
    )


def cut(pictures: Sequence[Tensor], frames: Tensor, squares: Squares, size: int) -> Tensor:
    """Return the crop of each square, (F, 3, size, size) float32 in 0…1, bilinear, with the border replicated.

    `pictures` are (H, W, 3) uint8; `frames` (F,), ascending, is the picture number of each square.
    """
    axes, centers = squares.axes, squares.centers
    last = torch.tensor([picture.shape[1::-1] for picture in pictures]).to(axes) - 1  # (N, 2)
    reach = axes.abs().sum(dim=2) / 2  # (F, 2): from a square's center to the sides of its upright bounding box
    # Of each picture only the part around its squares is converted.
    each = frames[:, None].expand(-1, 2)
    low = last.scatter_reduce(0, each, centers - reach, "amin").floor().clamp_min(0)
    high = torch.zeros_like(last).scatter_reduce(0, each, centers + reach, "amax").ceil().minimum(last)

    # The grid counts −1…1 from border to border of the part, pixel centers half a pixel inside.
    scale = (2 / (high - low + 1))[frames]
    axes, centers = axes * scale[:, :, None], (centers - low[frames] + 0.5) * scale - 1
    steps = torch.arange(size, device=axes.device) / size - 0.5
    across, down = (axes[..., None] * steps).unbind(dim=2)  # (F, 2, size)
    grid = (centers[..., None] + down)[..., None] + across[:, :, None]  # (F, 2, size, size)

    counts = torch.bincount(frames, minlength=len(pictures))
    corners = torch.cat([low, high, counts[:, None]], dim=1).long().tolist()
    crops = []
    for picture, (left, top, right, bottom, _), where in zip(
        pictures, corners, grid.split([count for *_, count in corners]), strict=True
    ):
        if len(where):
            part = picture[top : bottom + 1, left : right + 1].permute(2, 0, 1).float()  # the rest stays uint8
            crops.append(sample(part.expand(len(where), -1, -1, -1), where))
    return torch.cat(crops).div_(255)


def to_image_coordinates(landmarks: Tensor, squares: Squares, image_sizes: Tensor, size: int) -> Tensor:
    """Return landmarks (F, 478, 3), in crop pixels, in normalized image coordinates (see perception/vector.py)."""
    height, width = image_sizes.to(landmarks).unbind(dim=1)
    xy = squares.locate(landmarks[..., :2] / size - 0.5) / torch.stack([width, height], dim=1)[:, None]
    z = landmarks[..., 2:] / size * (squares.sides / width)[:, None, None]
    return torch.cat([xy, z], dim=2)
