"""Bilinear samples of maps, the same on every device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(maps: Tensor, grid: Tensor) -> Tensor:
    """Return maps (N, C, H, W) at the places `grid` (N, 2, h, w), x and y, bilinear: (N, C, h, w).

    A place outside counts as the nearest inside. The grid counts x and y −1…1 from border to border, pixel centers
    half a pixel inside, as for F.grid_sample, whose own border padding is missing on Apple's devices before torch 2.13.
    x and y are planes of their own because a processor computes them several times as fast in this form.
    """
    height, width = maps.shape[2:]
    last = grid.new_tensor([1 - 1 / width, 1 - 1 / height])[:, None, None]
    places = torch.maximum(torch.minimum(grid, last), -last)
    return F.grid_sample(maps, places.permute(0, 2, 3, 1).contiguous(), align_corners=False)
