"""Rotated crops and the way back."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from perception_clip.perception.landmarks.cropping import Squares, cut, squares_around, to_image_coordinates


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


def test_squares_of_several_pictures_stay_apart() -> None:
    each = [(60.0, 50.0, 30.0, 0.0), (30.0, 40.0, 20.0, 1.0), (90.0, 20.0, 15.0, 0.3)]
    pictures = [gradient(100, 120), gradient(7, 9), gradient(80, 160)]
    crops = cut(pictures, torch.tensor([0, 2, 2]), squares(*each), 16) * 255
    assert crops.shape == (3, 3, 16, 16)
    for crop, square in zip(crops, each, strict=True):
        torch.testing.assert_close(crop[:2], expected_positions(square, 16), atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("center", [(0.0, 0.0), (-500.0, 900.0), (25.0, 25.0)])
def test_pictures_of_one_pixel_width_and_squares_beside_the_picture(
    shape: tuple[int, int], center: tuple[float, float]
) -> None:
    picture = torch.full((*shape, 3), 255, dtype=torch.uint8)
    crop = cut([picture], torch.tensor([0]), squares((*center, 40.0, 0.5)), 192)
    torch.testing.assert_close(crop, torch.ones(1, 3, 192, 192))


def test_square_follows_box_and_eyes() -> None:
    points = torch.zeros(1, 8, 2)
    points[0, 0], points[0, 1] = torch.tensor([200.0, 50.0]), torch.tensor([80.0, 100.0])  # the box
    points[0, 2], points[0, 3] = torch.tensor([180.0, 30.0]), torch.tensor([220.0, 70.0])  # eyes, 45° down
    square = squares_around(points)
    torch.testing.assert_close(square.centers, torch.tensor([[200.0, 50.0]]))
    torch.testing.assert_close(square.sides, torch.tensor([150.0]))
    torch.testing.assert_close(square.angles, torch.tensor([math.pi / 4]))


def test_landmarks_go_back_to_where_the_crop_saw_them() -> None:
    square = (100.0, 80.0, 96.0, 0.6)
    landmarks = torch.tensor([[[0.0, 0.0, 0.0], [96.0, 96.0, 96.0], [150.0, 30.0, -19.2]]])  # of a 192-pixel crop
    out = to_image_coordinates(landmarks, squares(square), torch.tensor([[200, 240]]), 192)
    where = expected_positions(square, 192)
    for index, (row, column) in enumerate([(0, 0), (96, 96), (30, 150)]):
        expected = where[:, row, column] / torch.tensor([240.0, 200.0])
        torch.testing.assert_close(out[0, index, :2], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(out[0, :, 2], torch.tensor([0.0, 0.5, -0.1]) * 96 / 240)
