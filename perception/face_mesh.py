"""MediaPipe's face mesh with attention: an upright face crop → 478 landmarks and how surely it is a face.

Architecture: Grishchenko et al. (2020), "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time",
arXiv:2006.10962, as found in `face_landmark_with_attention.tflite`. A trunk predicts 468 points; the lips and
both eyes are then cropped from its early features, each upright and at the same size, and predicted anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import regions
from .blocks import Block, pad_for_stride_2

CROP_SIZE = 192  # pixels
MESH_POINTS = 468  # without the irises
FEATURE_STRIDE = 4  # crop pixels per pixel of the features that the regions are cropped from
REGION_SIZE = 16  # feature pixels
REGION_MARGIN = 1.5  # a region's crop is this much larger than its points' bounding box


def _block(channels_in: int, channels_out: int, stride: int = 1) -> Block:
    return Block(channels_in, channels_out, stride=stride, activation=nn.PReLU)


def _stage(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Halve the size, then two blocks at the new one."""
    return [
        _block(channels_in, channels_out, 2),
        _block(channels_out, channels_out),
        _block(channels_out, channels_out),
    ]


def _squeeze(channels: int) -> list[nn.Module]:
    """Down to the 32 channels that every output layer reads."""
    return [nn.Conv2d(channels, 32, 1), nn.PReLU(32), _block(32, 32)]


@dataclass(frozen=True)
class FeatureCrop:
    """N rotated rectangles on the features: crop pixel p lies at axes @ p + origin."""

    axes: Tensor  # (N, 2, 2)
    origin: Tensor  # (N, 2) feature pixels

    @classmethod
    def around(cls, points: Tensor, left: Tensor, right: Tensor) -> FeatureCrop:
        """The crop whose x axis runs from `left` to `right`, both (N, 2), around `points` (N, P, 2)."""
        direction = right - left
        angle = torch.atan2(direction[:, 1], direction[:, 0])
        cos, sin = angle.cos(), angle.sin()
        rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)  # crop → features
        upright = points @ rotation
        low, high = upright.amin(dim=1), upright.amax(dim=1)  # (N, 2)
        axes = rotation * ((high - low) * (REGION_MARGIN / REGION_SIZE))[:, None]
        centre = (rotation @ ((low + high) / 2)[..., None])[..., 0]
        return cls(axes=axes, origin=centre - axes.sum(dim=2) * (REGION_SIZE / 2))

    def cut(self, features: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, 16, 16), bilinear; whatever lies outside the features is 0."""
        height, width = features.shape[2:]
        steps = torch.arange(REGION_SIZE, device=features.device) + 0.5  # pixel centres
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(1, -1, 2)
        at = grid @ self.axes.transpose(1, 2) + self.origin[:, None] - 0.5  # (N, 256, 2)
        size = at.new_tensor([width, height])
        inside = ((at >= 0) & (at <= size - 1)).all(dim=2)
        shape = (-1, REGION_SIZE, REGION_SIZE)
        sampled = F.grid_sample(
            features, ((2 * at + 1) / size - 1).view(*shape, 2), padding_mode="border", align_corners=False
        )
        return sampled * inside.view(*shape)[:, None]

    def project(self, points: Tensor) -> Tensor:
        """Points (N, P, 2) in crop pixels → feature pixels."""
        return points @ self.axes.transpose(1, 2) + self.origin[:, None]


class _Decoder(nn.Module):
    """A region's encoding (N, 128, 4, 4) → points (N, P, 2), in face-crop pixels as the region's crop shows them."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_block(128, 128), _block(128, 128), *_stage(128, 128), *_squeeze(128))
        self.output = nn.Conv2d(32, points * 2, 2)

    def forward(self, encoding: Tensor) -> Tensor:
        points: Tensor = self.output(self.body(encoding))  # (N, 2·P, 1, 1)
        return points.view(-1, points.shape[1] // 2, 2)


class _Region(nn.Module):
    """Lips or an eye: its crop of the features, encoded once, then decoded into each of its groups of points."""

    points: Tensor
    corners: Tensor

    def __init__(self, points: Sequence[int], corners: tuple[int, int], decoders: dict[str, int]) -> None:
        super().__init__()
        self.register_buffer("points", torch.tensor(points), persistent=False)
        self.register_buffer("corners", torch.tensor(corners), persistent=False)
        self.encoder = nn.Sequential(_block(32, 32), _block(32, 32), *_stage(32, 64), _block(64, 128, 2))
        self.decoders = nn.ModuleDict({name: _Decoder(count) for name, count in decoders.items()})

    def forward(self, features: Tensor, mesh: Tensor) -> list[Tensor]:
        """Features (N, 32, 48, 48) and the trunk's points (N, 468, 2) → each decoder's points (N, P, 2)."""
        mesh = mesh / FEATURE_STRIDE
        left, right = mesh[:, self.corners].unbind(dim=1)
        crop = FeatureCrop.around(mesh[:, self.points], left, right)
        encoding = self.encoder(crop.cut(features))
        # A decoder counts in face-crop pixels, of which a feature pixel holds FEATURE_STRIDE.
        return [crop.project(decoder(encoding) / FEATURE_STRIDE) * FEATURE_STRIDE for decoder in self.decoders.values()]


class FaceMesh(nn.Module):
    """(N, 3, 192, 192) RGB in 0…1 → landmarks (N, 478, 3) in crop pixels and the logit (N,) of being a face."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.PReLU(16), _block(16, 16), _block(16, 16), _block(16, 32, 2)
        )
        self.trunk = nn.Sequential(
            _block(32, 32),
            _block(32, 32),
            *_stage(32, 64),
            *_stage(64, 128),
            *_stage(128, 128),
            *_stage(128, 128),
            *_squeeze(128),
        )
        self.mesh = nn.Conv2d(32, MESH_POINTS * 3, 3)
        self.face_flag = nn.Conv2d(32, 1, 3)
        iris = len(regions.RIGHT_IRIS)
        self.lips = _Region(regions.LIPS, regions.LIP_CORNERS, {"lips": len(regions.LIPS)})
        # The original names these layers, and so the weights, by the picture's sides.
        self.left_eye = _Region(
            regions.RIGHT_EYE, regions.RIGHT_EYE_CORNERS, {"eye": len(regions.RIGHT_EYE), "iris": iris}
        )
        self.right_eye = _Region(
            regions.LEFT_EYE, regions.LEFT_EYE_CORNERS, {"eye": len(regions.LEFT_EYE), "iris": iris}
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        features = self.stem(pad_for_stride_2(crops, kernel=3))  # (N, 32, 48, 48)
        summary = self.trunk(features)  # (N, 32, 3, 3)
        mesh = self.mesh(summary).view(-1, MESH_POINTS, 3)
        xy, z = mesh[..., :2], mesh[..., 2:]

        (lips,) = self.lips(features, xy)
        left_eye, left_iris = self.left_eye(features, xy)
        right_eye, right_iris = self.right_eye(features, xy)
        refined = xy.clone()
        refined[:, self.lips.points] = lips
        refined[:, self.left_eye.points] = left_eye
        refined[:, self.right_eye.points] = right_eye

        # Regions refine x and y only. An iris has no depth of its own: it takes the mean of its eye's contour.
        iris_z = [
            z[:, eye.points[: regions.EYE_CONTOUR]].mean(dim=1, keepdim=True).expand_as(left_iris[..., :1])
            for eye in (self.left_eye, self.right_eye)
        ]
        landmarks = torch.cat(
            [
                torch.cat([refined, left_iris, right_iris], dim=1),
                torch.cat([z, *iris_z], dim=1),
            ],
            dim=2,
        )
        return landmarks, self.face_flag(summary).flatten()
