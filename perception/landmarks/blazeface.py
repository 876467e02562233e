"""BlazeFace, short range: 14 candidate faces per 16×16 pixels, each with a box, six key points and a score.

Architecture: Bazarevsky et al. (2019), "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
arXiv:1907.05047, as found in `face_detection_short_range.tflite`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from .blocks import Block, pad_for_stride_2
from .side_by_side import Network, Part

INPUT_SIZE = 128  # pixels: what the network was trained on
MULTIPLE = 16  # height and width must be multiples of this
POINTS = 8  # per candidate: box center, box size, and six key points
RIGHT_EYE, LEFT_EYE = 2, 3  # key points among those eight; left and right are the person's

FINE = (8, 2, 88)  # pixels per cell, candidates per cell, channels
COARSE = (16, 6, 96)


def _relu(channels: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def _block(channels_in: int, channels_out: int, stride: int = 1) -> Block:
    return Block(channels_in, channels_out, stride=stride, activation=_relu)


@lru_cache(maxsize=64)  # the sizes of pictures are few
@torch.inference_mode(False)  # an ordinary tensor, usable wherever it is used next
def cell_centers(height: int, width: int, per_cell: int, stride: int, device: torch.device) -> Tensor:
    """Return the cell center (height · width · per_cell, 2) of each candidate, row by row, in pixels of the input."""
    x, y = ((torch.arange(cells, device=device) + 0.5) * stride for cells in (width, height))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).view(-1, 2)
    return grid.repeat_interleave(per_cell, dim=0)


def relative_to(anchors: Tensor, points: Tensor) -> Tensor:
    """Return points (N, K, 8, 2) of a head in pixels of the input; all but the size are relative to the anchor."""
    center, size, key_points = points.split([1, 1, POINTS - 2], dim=2)
    anchors = anchors[:, None]
    return torch.cat([center + anchors, size, key_points + anchors], dim=2)


class _Head(nn.Module):
    """Features (N, C, H, W) → the K candidates of every cell: points (N, H·W·K, 8, 2) in pixels, logits (N, H·W·K)."""

    def __init__(self, stride: int, per_cell: int, channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.per_cell = per_cell
        self.score = nn.Conv2d(channels, per_cell, 1)
        self.points = nn.Conv2d(channels, per_cell * POINTS * 2, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        count, _, height, width = features.shape
        points = self.points(features).permute(0, 2, 3, 1).reshape(count, -1, POINTS, 2)
        anchors = cell_centers(height, width, self.per_cell, self.stride, points.device)
        logits = self.score(features).permute(0, 2, 3, 1).reshape(count, -1)
        return relative_to(anchors, points), logits


class BlazeFace(Network):
    """(N, 3, H, W) RGB in −1…1 → points (N, K, 8, 2) in pixels and logits (N, K), K = 14 · H/16 · W/16.

    H and W are multiples of 16; the network was trained on 128 × 128. The points are the box's center, its width
    and height, and six key points (right eye, left eye, nose tip, mouth, right ear, left ear); the sigmoid of a
    logit is the score.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Part(nn.Conv2d(3, 24, 5, 2), nn.ReLU(inplace=True))
        self.fine = Part(
            _block(24, 24),
            _block(24, 28),
            _block(28, 32, 2),
            _block(32, 36),
            _block(36, 42),
            _block(42, 48, 2),
            _block(48, 56),
            _block(56, 64),
            _block(64, 72),
            _block(72, 80),
            _block(80, 88),
        )
        self.coarse = Part(_block(88, 96, 2), *(_block(96, 96) for _ in range(4)))
        self.fine_head = _Head(*FINE)
        self.coarse_head = _Head(*COARSE)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(pad_for_stride_2(pictures, kernel=5)))  # (N, 88, H/8, W/8)
        coarse = self.coarse(fine)  # (N, 96, H/16, W/16)
        (fine_points, fine_logits), (coarse_points, coarse_logits) = self.fine_head(fine), self.coarse_head(coarse)
        return torch.cat([fine_points, coarse_points], dim=1), torch.cat([fine_logits, coarse_logits], dim=1)
