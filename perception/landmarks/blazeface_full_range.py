"""BlazeFace, full range: one candidate face per 4×4 pixels, each with a box, six key points and a score.

Architecture as found in `face_detection_full_range_sparse.tflite`: a network that narrows and widens again (a
feature pyramid, Lin et al. 2017, arXiv:1612.03144), built from blocks with two depthwise convolutions each (the
"double BlazeBlock" of arXiv:1907.05047).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .blazeface import POINTS, cell_centers, relative_to
from .side_by_side import Layer, Network, Part, Separable

INPUT_SIZE = 192  # pixels: what the network was trained on
MULTIPLE = 32  # height and width must be multiples of this
STRIDE = 4  # pixels per candidate

# Channels at 1/4, 1/8, 1/16 and 1/32 of the input, and inside the blocks; channels on the way up again.
DOWN = ((64, 16), (128, 32), (192, 48), (384, 96))
UP = (48, 64, 96)


class _Block(nn.Module):
    """Depthwise → pointwise → ReLU → depthwise → pointwise → add the input where it fits → ReLU."""

    def __init__(self, channels_in: int, inside: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.add = channels_in == channels_out and stride == 1
        self.narrow = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, 3, stride, padding=1, groups=channels_in),
            nn.Conv2d(channels_in, inside, 1),
            nn.ReLU(inplace=True),
        )
        self.widen = nn.Sequential(
            nn.Conv2d(inside, inside, 3, padding=1, groups=inside),
            nn.Conv2d(inside, channels_out, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.widen(self.narrow(x))
        if self.add:
            y += x
        return y.relu_()

    def side_by_side(self, blocks: Sequence[_Block]) -> Layer:
        """Return one layer that computes several blocks of this form; see side_by_side.py."""
        narrow, widen = (
            Separable([part[0] for part in parts], [part[1] for part in parts], before=1)
            for parts in ([block.narrow for block in blocks], [block.widen for block in blocks])
        )

        def layer(maps: Tensor) -> Tensor:
            mixed = widen(narrow(maps).relu_())
            if self.add:
                mixed += maps
            return mixed.relu_()

        return layer


def _pointwise(channels_in: int, channels_out: int) -> Part:
    return Part(nn.Conv2d(channels_in, channels_out, 1), nn.ReLU(inplace=True))


def _stage(channels_in: int, channels: int, inside: int, count: int) -> Part:
    """Return a block that halves height and width, followed by `count` − 1 blocks that keep them."""
    same = (_Block(channels, inside, channels) for _ in range(count - 1))
    return Part(_Block(channels_in, inside, channels, stride=2), *same)


class _Head(nn.Sequential):
    """(N, C, H, W) → `values` per cell: (N, H · W, values). Four cells at a time look at their surroundings."""

    def __init__(self, channels: int, values: int) -> None:
        mixed = values * 4
        super().__init__(nn.Conv2d(channels, mixed, 1), nn.Conv2d(mixed, mixed, 3, 2, padding=1, groups=mixed))
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        count, _, height, width = y.shape
        # Channels are row of the cell, column of the cell, value.
        cells = y.view(count, 2, 2, self.values, height, width).permute(0, 4, 1, 5, 2, 3)
        out: Tensor = cells.reshape(count, -1, self.values)
        return out


class BlazeFaceFullRange(Network):
    """(N, 3, H, W) RGB in −1…1 → points (N, H/4 · W/4, 8, 2) in pixels and logits (N, H/4 · W/4).

    H and W are multiples of 32; the points are those of `blazeface.BlazeFace`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Part(nn.Conv2d(3, 32, 3, 2, padding=1), nn.ReLU(inplace=True))
        self.first = Part(_Block(32, 8, 32), _Block(32, 8, 32))
        channels = (32, *(wide for wide, _ in DOWN))
        counts = (3, 3, 3, 4)
        self.down = nn.ModuleList(
            _stage(before, wide, inside, count)
            for before, (wide, inside), count in zip(channels[:-1], DOWN, counts, strict=True)
        )
        self.side = nn.ModuleList(_pointwise(wide, up) for (wide, _), up in zip(DOWN[:-1], UP, strict=True))
        self.deepest = _pointwise(DOWN[-1][0], UP[-1])
        self.up = nn.ModuleList(
            Part(*(_Block(wide, wide // 2, wide) for _ in range(count)))
            for wide, count in zip(UP, (1, 2, 2), strict=True)
        )
        self.fewer = nn.ModuleList(_pointwise(wide, up) for wide, up in zip(UP[1:], UP[:-1], strict=True))
        self.score = _Head(UP[0], 1)
        self.points = _Head(UP[0], POINTS * 2)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(self.stem(pictures))  # (N, 32, H/2, W/2)
        sides = []
        for down, side in zip(self.down[:-1], self.side, strict=True):
            x = down(x)
            sides.append(side(x))
        x = self.deepest(self.down[-1](x))  # (N, 96, H/32, W/32)
        for level in (2, 1, 0):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + sides[level]
            x = self.up[level](x)
            if level:
                x = self.fewer[level - 1](x)
        logits = self.score(x)[..., 0]
        points = self.points(x).view(len(x), -1, POINTS, 2)
        anchors = cell_centers(x.shape[2], x.shape[3], per_cell=1, stride=STRIDE, device=points.device)
        return relative_to(anchors, points), logits
