"""MediaPipe's face mesh with attention: 478 landmarks and a face score for an upright face crop.

Architecture: Grishchenko et al. (2020), "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time",
arXiv:2006.10962, as found in `face_landmark_with_attention.tflite`. A trunk predicts 468 points; the lips and
both eyes are then cropped from its early features, each upright and at the same size, and predicted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import topology
from ..vector import LANDMARKS
from .blocks import Block, pad_for_stride_2
from .sampling import sample
from .side_by_side import Network, Part, chain, side_by_side

CROP_SIZE = 192  # pixels
MESH_POINTS = 468  # without the irises
FEATURE_STRIDE = 4  # crop pixels per pixel of the features that the regions are cropped from
REGION_SIZE = 16  # feature pixels
REGION_MARGIN = 1.5  # a region's crop is this much larger than its points' bounding box


def _block(channels_in: int, channels_out: int, stride: int = 1) -> Block:
    return Block(channels_in, channels_out, stride=stride, activation=nn.PReLU)


def _stage(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Return layers that halve the size, followed by two blocks at the new size."""
    return [
        _block(channels_in, channels_out, 2),
        _block(channels_out, channels_out),
        _block(channels_out, channels_out),
    ]


def _squeeze(channels: int) -> list[nn.Module]:
    """Return a layer that reduces to the 32 channels read by every output layer."""
    return [nn.Conv2d(channels, 32, 1), nn.PReLU(32), _block(32, 32)]


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # an ordinary tensor, usable wherever it is used next
def _pixel_centers(device: torch.device) -> Tensor:
    """Return the pixel centers of a region crop (2, 256), x and y, row by row."""
    steps = torch.arange(REGION_SIZE, device=device) + 0.5
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy")).flatten(1)


@dataclass(frozen=True)
class FeatureCrop:
    """N rotated rectangles on the features: crop pixel p lies at axes @ p + origin."""

    axes: Tensor  # (N, 2, 2)
    origin: Tensor  # (N, 2) feature pixels

    @classmethod
    def around(cls, points: Tensor, left: Tensor, right: Tensor) -> FeatureCrop:
        """Return the crop around `points` (N, P, 2) whose x axis runs from `left` to `right`, both (N, 2)."""
        direction = right - left
        cos, sin = (direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12)).unbind(dim=1)
        rotation = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)  # crop → features
        upright = points @ rotation
        low, high = upright.amin(dim=1), upright.amax(dim=1)  # (N, 2)
        axes = rotation * ((high - low) * (REGION_MARGIN / REGION_SIZE))[:, None]
        center = (rotation @ ((low + high) / 2)[..., None])[..., 0]
        return cls(axes=axes, origin=center - axes.sum(dim=2) * (REGION_SIZE / 2))

    def cut(self, features: Tensor) -> Tensor:
        """Return the crop (N, C, 16, 16) of (N, C, H, W), bilinear; everything outside the features is 0."""
        size = self.origin.new_tensor(features.shape[:1:-1])  # width, height
        scale = (2 / size)[:, None]  # −1…1 from border to border
        places = (self.axes @ _pixel_centers(size.device) + self.origin[..., None]) * scale - 1  # (N, 2, 256)
        inside = (places.abs() <= 1 - scale / 2).all(dim=1).view(-1, 1, REGION_SIZE, REGION_SIZE)
        return sample(features, places.view(-1, 2, REGION_SIZE, REGION_SIZE)) * inside

    def project(self, points: Tensor) -> Tensor:
        """Return points (N, P, 2), in crop pixels, in feature pixels."""
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
        """Return the points (N, P, 2) of each decoder for features (N, 32, 48, 48) and trunk points (N, 468, 2)."""
        mesh = mesh / FEATURE_STRIDE
        left, right = mesh[:, self.corners].unbind(dim=1)
        crop = FeatureCrop.around(mesh[:, self.points], left, right)
        encoding = self.encoder(crop.cut(features))
        # A decoder counts in face-crop pixels, of which a feature pixel holds FEATURE_STRIDE.
        return [crop.project(decoder(encoding) / FEATURE_STRIDE) * FEATURE_STRIDE for decoder in self.decoders.values()]


class _RegionsTogether:
    """Computes all regions of one face together; returns the output of each decoder, in the order of the regions."""

    def __init__(self, regions: Sequence[_Region]) -> None:
        self._encode = side_by_side(*(region.encoder for region in regions))
        decoders = [[one for one in region.decoders.values() if isinstance(one, _Decoder)] for region in regions]
        every = [decoder for of_region in decoders for decoder in of_region]
        self._decode = chain([side_by_side(*(one.body for one in every)), side_by_side(*(one.output for one in every))])
        counts = [decoder.output.out_channels // 2 for decoder in every]
        self._used = torch.cat([torch.arange(count) + max(counts) * index for index, count in enumerate(counts)])
        self._regions = torch.tensor([index for index, of_region in enumerate(decoders) for _ in of_region])
        # The extent of a region does not change with one of its points given twice.
        most = max(len(region.points) for region in regions)
        self._points = torch.stack(
            [F.pad(region.points, (0, most - len(region.points)), value=int(region.points[0])) for region in regions]
        )
        self._corners = torch.stack([region.corners for region in regions])  # (R, 2)

    def __call__(self, features: Tensor, mesh: Tensor) -> Tensor:
        """Return the points (1, 232, 2) of all decoders for features (1, 32, 48, 48) and points (1, 468, 2)."""
        mesh = mesh[0] / FEATURE_STRIDE
        left, right = mesh[self._corners].unbind(dim=1)
        crop = FeatureCrop.around(mesh[self._points], left, right)
        crops = crop.cut(features.expand(len(self._points), -1, -1, -1))
        encodings = self._encode(crops.permute(0, 2, 3, 1))[self._regions]  # (D, 4, 4, 128)
        points = self._decode(encodings).view(len(encodings), -1, 2) / FEATURE_STRIDE
        placed = FeatureCrop(crop.axes[self._regions], crop.origin[self._regions]).project(points) * FEATURE_STRIDE
        return placed.view(1, -1, 2)[:, self._used]


class FaceMesh(Network):
    """(N, 3, 192, 192) RGB in 0…1 → landmarks (N, 478, 3) in crop pixels and the logit (N,) of being a face."""

    order: Tensor
    contours: Tensor
    _together: _RegionsTogether | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stem = Part(nn.Conv2d(3, 16, 3, 2), nn.PReLU(16), _block(16, 16), _block(16, 16), _block(16, 32, 2))
        self.trunk = Part(
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
        iris = len(topology.RIGHT_IRIS)
        self.lips = _Region(topology.LIPS, topology.LIP_CORNERS, {"lips": len(topology.LIPS)})
        # The original names these layers, and so the weights, by the picture's sides.
        self.left_eye = _Region(
            topology.RIGHT_EYE, topology.RIGHT_EYE_CORNERS, {"eye": len(topology.RIGHT_EYE), "iris": iris}
        )
        self.right_eye = _Region(
            topology.LEFT_EYE, topology.LEFT_EYE_CORNERS, {"eye": len(topology.LEFT_EYE), "iris": iris}
        )

        # Where each landmark is among the trunk's points and those of the regions, one after the other.
        refined = [
            *topology.LIPS,
            *(*topology.RIGHT_EYE, *topology.RIGHT_IRIS),
            *(*topology.LEFT_EYE, *topology.LEFT_IRIS),
        ]
        order = list(range(LANDMARKS))
        for place, landmark in enumerate(refined, MESH_POINTS):
            order[landmark] = place
        self.register_buffer("order", torch.tensor(order), persistent=False)
        contours = [eye[: topology.EYE_CONTOUR] for eye in (topology.RIGHT_EYE, topology.LEFT_EYE)]
        self.register_buffer("contours", torch.tensor(contours), persistent=False)  # (2, 16)

    def prepare(self) -> None:
        """Prepare the weights for one crop at a time on a CPU, where all regions are then computed together."""
        super().prepare()
        self._together = _RegionsTogether([self.lips, self.left_eye, self.right_eye])

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        features = self.stem(pad_for_stride_2(crops, kernel=3))  # (N, 32, 48, 48)
        summary = self.trunk(features)  # (N, 32, 3, 3)
        mesh = self.mesh(summary).view(-1, MESH_POINTS, 3)
        xy, z = mesh[..., :2], mesh[..., 2:]

        if self._together is not None and len(crops) == 1 and not torch.is_grad_enabled():
            refined = self._together(features, xy)
        else:
            parts = [region(features, xy) for region in (self.lips, self.left_eye, self.right_eye)]
            refined = torch.cat([points for part in parts for points in part], dim=1)  # (N, 232, 2)
        # Regions refine x and y only. An iris has no depth of its own: it takes the mean of its eye's contour.
        iris_z = z[:, self.contours].mean(dim=2).repeat_interleave(len(topology.LEFT_IRIS), dim=1)  # (N, 10, 1)
        landmarks = torch.cat([torch.cat([xy, refined], dim=1)[:, self.order], torch.cat([z, iris_z], dim=1)], dim=2)
        return landmarks, self.face_flag(summary).flatten()
