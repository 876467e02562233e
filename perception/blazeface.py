"""BlazeFace, short range: a small picture → 896 candidate faces, each with a box, six key points and a score.

Architecture: Bazarevsky et al. (2019), "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
arXiv:1907.05047, as found in `face_detection_short_range.tflite`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Block, pad_for_stride_2

INPUT_SIZE = 128  # pixels
POINTS = 8  # per candidate: box centre, box size, and six key points
LEFT_EYE, RIGHT_EYE = 2, 3  # key points among those eight; left and right as the picture shows them

FINE = (16, 2, 88)  # cells per side, candidates per cell, channels
COARSE = (8, 6, 96)


def _relu(channels: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def _block(channels_in: int, channels_out: int, stride: int = 1) -> Block:
    return Block(channels_in, channels_out, stride=stride, activation=_relu)


def _anchors() -> Tensor:
    """The centre (896, 2) of each candidate's cell, in units of the input's side."""
    centres = []
    for cells, per_cell, _ in (FINE, COARSE):
        steps = (torch.arange(cells) + 0.5) / cells
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(-1, 2)
        centres.append(grid.repeat_interleave(per_cell, dim=0))
    return torch.cat(centres)


class _Head(nn.Module):
    """Features (N, C, S, S) → the candidates of every cell: points (N, S·S·K, 8, 2) and logits (N, S·S·K)."""

    def __init__(self, cells: int, per_cell: int, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, per_cell, 1)
        self.points = nn.Conv2d(channels, per_cell * POINTS * 2, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        count = len(features)
        points = self.points(features).permute(0, 2, 3, 1).reshape(count, -1, POINTS, 2)
        return points, self.score(features).permute(0, 2, 3, 1).reshape(count, -1)


class BlazeFace(nn.Module):
    """(N, 3, 128, 128) RGB in −1…1 → points (N, 896, 8, 2) and logits (N, 896).

    The points are the box's centre, its width and height, and six key points (left eye, right eye, nose tip,
    mouth, left ear, right ear), in units of the input's side; the sigmoid of a logit is the score.
    """

    anchors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 5, 2), nn.ReLU(inplace=True))
        self.fine = nn.Sequential(
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
        self.coarse = nn.Sequential(_block(88, 96, 2), *(_block(96, 96) for _ in range(4)))
        self.fine_head = _Head(*FINE)
        self.coarse_head = _Head(*COARSE)
        self.register_buffer("anchors", _anchors(), persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(self.stem(pad_for_stride_2(pictures, kernel=5)))  # (N, 88, 16, 16)
        coarse = self.coarse(fine)  # (N, 96, 8, 8)
        found = [self.fine_head(fine), self.coarse_head(coarse)]
        points = torch.cat([points for points, _ in found], dim=1) / INPUT_SIZE
        logits = torch.cat([logits for _, logits in found], dim=1)
        # Everything but the size is relative to the anchor.
        centre, size, key_points = points.split([1, 1, POINTS - 2], dim=2)
        anchors = self.anchors[:, None]
        return torch.cat([centre + anchors, size, key_points + anchors], dim=2), logits
