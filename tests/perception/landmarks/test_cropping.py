"""Rotated crops and the way back."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from perception_clip.perception.landmarks.cropping import Squares, cut


def gradient(height: int, width: int) -> Tensor:
    """A picture (H, W, 3) whose red is the column and whose green is the row."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows, torch.zeros_like(rows)], dim=2).to(torch.uint8)


def squares(*each: tuple[float, float, float, float]) -> Squares:
    """(center x, center y, side, angle) of each."""
    table = torch.tensor(each)
    return Squares(centers=table[:, :2], sides=table[:, 2], angles=table[:, 3])


def expected_positions(square: tuple[float, float, float, float], size: int) -> Tensor:
    """Where each pixel of the crop lies on the picture: (2, size, size), by the plain formula."""
    x, y, side, angle = square
    positions = torch.empty(2, size, size)
    for row in range(size):
        for column in range(size):
            u, v = (column / size - 0.5) * side, (row / size - 0.5) * side
            positions[0, row, column] = x + u * math.cos(angle) - v * math.sin(angle)
            positions[1, row, column] = y + u * math.sin(angle) + v * math.cos(angle)
    return positions


@pytest.mark.parametrize(
    "square",
    [(100.0, 80.0, 48.0, 0.0), (100.5, 80.25, 60.0, 0.7), (120.0, 90.0, 33.3, -2.5), (20.0, 10.0, 90.0, 0.4)],
)
def test_crop_samples_where_the_square_lies(square: tuple[float, float, float, float]) -> None:
    crop = cut([gradient(200, 240)], torch.tensor([0]), squares(square), 24) * 255
    positions = expected_positions(square, 24)
    inside = torch.stack([positions[0].clamp(0, 239), positions[1].clamp(0, 199)])  # the border is replicated
    torch.testing.assert_close(crop[0, :2], inside, atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("center", [(0.0, 0.0), (-500.0, 900.0), (25.0, 25.0)])
def test_pictures_of_one_pixel_width_and_squares_beside_the_picture(
    shape: tuple[int, int], center: tuple[float, float]
) -> None:
    picture = torch.full((*shape, 3), 255, dtype=torch.uint8)
    crop = cut([picture], torch.tensor([0]), squares((*center, 40.0, 0.5)), 192)
    torch.testing.assert_close(crop, torch.ones(1, 3, 192, 192))
