"""Resample a turned and scaled part of a picture: bicubic, and averaged where the picture shrinks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 3  # pixels around a place that its value depends on, in the coarser of both grids
# Shrinking goes to a grid that is this much finer than the result's, for interpolation between its pixels blurs too.
FINER = 1.4


def resample(picture: Tensor, origin: Tensor, axes: Tensor, height: int, width: int) -> Tensor:
    """Return (height, width, C) float32 on the CPU: pixel (x, y) is the picture (H, W, C) at `origin + axes @ (x, y)`.

    Both count in pixels, whose centers are at whole numbers; `origin` is (2,), `axes` (2, 2). A place outside counts
    as the nearest inside. Values stay within 0…1.
    """
    x, y = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
    places = torch.stack([x, y], dim=2).double() @ axes.double().T + origin.double()  # (height, width, 2)
    scale = max(1.0, math.sqrt(abs(float(torch.linalg.det(axes.double())))) / FINER)
    last = torch.tensor([picture.shape[1] - 1, picture.shape[0] - 1])
    low = (places.amin(dim=(0, 1)) - REACH * scale).floor().clamp_min(0).minimum(last)
    high = (places.amax(dim=(0, 1)) + REACH * scale).ceil().minimum(last).maximum(low)
    (left, top), (right, bottom) = low.long().tolist(), high.long().tolist()
    part = picture[top : bottom + 1, left : right + 1].permute(2, 0, 1)[None].float().cpu()
    if scale > 1:
        size = [max(1, round(length / scale)) for length in part.shape[2:]]
        part = F.interpolate(part, size=size, mode="bicubic", antialias=True)
    # Beyond the edge, cubic weights reach two pixels. F.grid_sample's own border padding is missing on Apple's devices.
    part = F.pad(part, (2, 2, 2, 2), mode="replicate")
    grid = (places.clamp(low, high) - low + 0.5) * 2 / (high - low + 1) - 1  # −1…1 from border to border of the part
    grid *= 1 - 4 / torch.tensor([part.shape[3], part.shape[2]], dtype=grid.dtype)  # of the padded part
    sampled = F.grid_sample(part, grid.float()[None], mode="bicubic", align_corners=False)
    return sampled[0].permute(1, 2, 0).clamp(0, 1)
