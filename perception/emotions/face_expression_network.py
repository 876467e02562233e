"""FaceExpressionNet of face-api.js: a small convolutional network that reads seven emotions from the picture of a face.

Architecture and weights by Vincent Mühler, https://github.com/justadudewhohacks/face-api.js (MIT); see
perception/weights/README.md. Blocks are dense as in Huang et al. (2017), arXiv:1608.06993, but add where those
concatenate; their convolutions are separable (Chollet, 2017, arXiv:1610.02357).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..landmarks.blocks import pad_for_stride_2
from ..landmarks.side_by_side import Network
from ..vector import EMOTIONS

CROP_SIZE = 112  # pixels: what the network was trained on
MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)  # RGB of its training pictures
CHANNELS = (32, 64, 128, 256)


class Convolution(nn.Conv2d):
    """A plain 3×3 convolution of stride 2: (N, in, H, W) → (N, out, H / 2, W / 2), H and W even."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, 2)

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(pad_for_stride_2(maps, kernel=3))


class Separable(nn.Module):
    """Depthwise 3×3, then pointwise 1×1: (N, in, H, W) → (N, out, H / stride, W / stride), H and W even at stride 2.

    Nothing lies between them, so they could be one convolution; that would take longer (benchmarks/README.md).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(
            channels_in, channels_in, 3, stride, padding=2 - stride, groups=channels_in, bias=False
        )
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(maps if self.stride == 1 else pad_for_stride_2(maps, kernel=3)))
        return out


class DenseBlock(nn.Module):
    """Four convolutions, the first of stride 2; each of the others sees the sum of the results of all before it."""

    def __init__(self, first: nn.Module, channels: int) -> None:
        super().__init__()
        self.first = first
        self.others = nn.ModuleList(Separable(channels, channels) for _ in range(3))

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = self.first(maps).relu()  # (N, C, H / 2, W / 2)
        for convolution in self.others:
            total = total + convolution(total.relu())
        return total.relu()


class FaceExpressionNet(Network):
    """Crops (N, 3, 112, 112), RGB in 0…1, → the logits (N, 7) of `EMOTIONS`, in a tuple as of every network."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        separable = [Separable(narrow, wide, stride=2) for narrow, wide in pairwise(CHANNELS)]
        firsts = [Convolution(3, CHANNELS[0]), *separable]
        self.blocks = nn.Sequential(*map(DenseBlock, firsts, CHANNELS))
        self.logits = nn.Linear(CHANNELS[-1], len(EMOTIONS))
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)

    def forward(self, crops: Tensor) -> tuple[Tensor]:
        return (self.logits(self.blocks(crops - self.mean).mean(dim=(2, 3))),)
