"""Cut faces out of their pictures as squares, upright or straight, with their perceptions as seen in the squares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..geometry import head_pose
from ..landmarks.cropping import Squares
from ..origins import derived
from ..vector import Perceptions, bounding_boxes, pack
from .resampling import resample

FROM_WHERE = "connect the pictures that the faces were detected in"


@dataclass(frozen=True)
class Crops:
    """Where the square crops of N faces lie in their pictures; the node type FACE_CROPS."""

    faces: Perceptions  # in the pictures
    squares: Squares  # one for each face, in pixels of its picture
    size: int  # side of a crop in its own pixels

    def __len__(self) -> int:
        return len(self.faces)

    @cached_property
    def seen(self) -> Perceptions:
        """Return the faces as seen in the crops: face i in frame i, a picture of size × size."""
        faces = self.faces
        half = 0.5 - 0.5 / self.size  # pixel centers are at whole numbers
        points = self.squares.inside(points_of(faces)) + half  # (N, 478, 2)
        depths = faces.landmarks[..., 2] * (faces.image_sizes[:, 1] / self.squares.sides)[:, None]
        sizes = torch.full_like(faces.image_sizes, self.size)
        landmarks = torch.cat([points, depths[..., None]], dim=2)
        squares = torch.cat([self.squares.centers, self.squares.sides[:, None], self.squares.angles[:, None]], dim=1)
        return replace(
            faces,
            vectors=pack(landmarks, faces.emotions),
            image_sizes=sizes,
            frames=torch.arange(len(faces)),
            boxes=bounding_boxes(landmarks, sizes),
            origins=derived([f"crop {self.size} {square}" for square in squares.tolist()], faces.origins),
            frame_count=len(faces),
        )

    def corner_and_axes(self, index: int, size: int) -> tuple[Tensor, Tensor]:
        """Return where in the picture the first pixel of a crop of this size lies, and its steps (2, 2) to the next."""
        axes = self.squares.axes[index].double() / size
        return self.squares.centers[index] - axes @ torch.full((2,), (size - 1) / 2).double(), axes

    def cut(self, index: int, picture: Tensor) -> Tensor:
        """Return a crop (size, size, C) of its picture (H, W, C) in 0…1; outside, the border is repeated."""
        corner, axes = self.corner_and_axes(index, self.size)
        return resample(picture, corner, axes, self.size, self.size)


def crops_of(faces: Perceptions, size: int, margin: float, template: Tensor | None) -> Crops:
    """Return crops around faces, `size` pixels wide and high.

    The side of a square is the longer side of the landmarks' bounding box plus `margin` times that on each side. With
    a `template` (`ExpressionModel.template`) squares are turned with the heads, so that the faces in them are upright.
    Raises InputError for a margin that is negative or not finite.
    """
    if not 0 <= margin < math.inf:
        raise InputError(f"margin is {margin}; use a finite number from 0")
    angles = torch.zeros(len(faces))
    if template is not None and len(faces):
        angles = head_pose(faces.landmarks, faces.image_sizes, template)[:, 2].deg2rad()
    turned = Squares(torch.zeros(len(faces), 2), torch.ones(len(faces)), angles)
    points = points_of(faces) @ turned.axes  # in a frame turned with the square
    low, high = points.amin(dim=1), points.amax(dim=1)
    centers = turned.locate((low + high)[:, None] / 2)[:, 0]
    sides = (high - low).amax(dim=1).clamp_min(1) * (1 + 2 * margin)
    return Crops(faces, Squares(centers, sides, angles), size)


def cut(pictures: Tensor, crops: Crops, progress: Callable[[int], object] = lambda done: None) -> Tensor:
    """Return the crops (N, size, size, 3) float32 of pictures (B, H, W, C) in 0…1.

    `progress` is called with the number of crops done. Raises InputError for pictures other than those of the faces.
    """
    check_pictures(pictures, crops.faces)
    cut_out = torch.empty(len(crops), crops.size, crops.size, 3)
    for index, frame in enumerate(crops.faces.frames.tolist()):
        cut_out[index] = crops.cut(index, pictures[frame][..., :3])
        progress(index + 1)
    return cut_out


def check_pictures(pictures: Tensor, faces: Perceptions) -> None:
    """Raise InputError unless pictures (B, H, W, C) have the number and the size of those of the faces."""
    count, height, width, channels = pictures.shape
    check_channels("image", channels)
    if count != faces.frame_count:
        raise InputError(
            f"the faces are from {counted(faces.frame_count, 'picture')}, but image has {count}; {FROM_WHERE}"
        )
    other = (faces.image_sizes != torch.tensor([height, width])).any(dim=1).nonzero()[:, 0].tolist()
    if other:
        found_height, found_width = faces.image_sizes[other[0]].tolist()
        raise InputError(
            f"image is {width} × {height} pixels, but face {other[0]} was detected in a picture of {found_width} × "
            f"{found_height}; {FROM_WHERE}"
        )


def check_channels(name: str, channels: int) -> None:
    """Raise InputError, naming the input, for pictures that are neither gray nor in color."""
    if channels not in (1, 3, 4):
        raise InputError(f"{name} has {channels} channels; connect pictures in color")


def points_of(faces: Perceptions) -> Tensor:
    """Return the landmarks (N, 478, 2) in pixels of the pictures."""
    points: Tensor = faces.landmarks[..., :2] * faces.image_sizes.flip(1)[:, None]
    return points
