"""Turned and scaled parts of pictures."""

from __future__ import annotations

import numpy as np
import torch

from perception_clip.perception.regions.resampling import resample


def test_shrinking_averages_and_growing_keeps_the_pixels(astronaut: np.ndarray) -> None:
    board = (torch.arange(256)[:, None] + torch.arange(256)) % 2
    turned = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    shrunk = resample(board[..., None].float(), torch.tensor([100.0, 60.0]), 4 * turned, 20, 20)
    assert (shrunk - 0.5).abs().max() < 0.02
    picture = torch.from_numpy(astronaut) / 255
    grown = resample(picture, torch.tensor([200.0, 80.0]), 0.5 * torch.eye(2), 101, 101)
    assert torch.allclose(grown[::2, ::2], picture[80:131, 200:251], atol=1e-5)
