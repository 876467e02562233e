"""The facial transformation matrix of MediaPipe's face geometry: where a face is in space, as effects are placed on it.

It maps points of MediaPipe's canonical face (in centimeters; x to the picture's right, y up, z toward the viewer) to
the same points of the face in front of a camera with the vertical field of view below. This is MediaPipe's method
(`geometry_pipeline.cc`, `procrustes_solver.cc`) with MediaPipe's numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

VERTICAL_VIEW = 63.0  # degrees
SMALLEST = 1e-12  # instead of 0, of a face whose points coincide
# Landmark, its weight, and where it is on the canonical face: MediaPipe's geometry_pipeline_metadata_landmarks.
# Only the right half of the face: the left half is its mirror image, with the same weights.
RIGHT_HALF = (
    (33, 0.058724169, -4.445859, 2.663991, 3.173422),
    (54, 0.007667080, -6.279331, 6.615427, 1.425850),
    (67, 0.009078059, -3.523964, 8.005976, 3.729163),
    (117, 0.009791938, -5.258659, 0.945811, 2.974312),
    (119, 0.014565368, -3.300681, 0.861641, 3.872784),
    (121, 0.018591361, -1.820731, 1.467954, 4.224124),
    (127, 0.005197994, -7.743095, 2.364999, -2.005167),
    (129, 0.120625205, -1.785794, -0.978284, 4.850470),
    (132, 0.005560019, -7.270895, -2.890917, -2.252455),
    (133, 0.053286184, -1.856432, 2.585245, 3.757904),
    (136, 0.066890456, -5.085276, -7.178590, 0.714711),
    (143, 0.014816548, -6.407571, 2.236021, 1.560843),
    (147, 0.014262834, -6.234883, -1.944430, 1.663542),
    (198, 0.025462192, -1.246815, 0.230297, 5.681036),
    (205, 0.047252279, -3.832928, -1.537326, 4.137731),
)
MIDDLE = (
    (4, 0.070909940, 0.0, -0.463170, 7.586580),
    (6, 0.032100145, 0.0, 2.473255, 5.788627),
    (10, 0.008446551, 0.0, 8.261778, 4.481535),
)
LEFT_HALF = tuple(
    (landmark, weight, -x, y, z)
    for landmark, (_, weight, x, y, z) in zip(
        (263, 284, 297, 346, 348, 350, 356, 358, 361, 362, 365, 372, 376, 420, 425), RIGHT_HALF, strict=True
    )
)
BASIS = (*MIDDLE, *RIGHT_HALF, *LEFT_HALF)
BASIS_LANDMARKS = [row[0] for row in BASIS]
MESH = 468  # landmarks without the irises


def transformation_matrices(landmarks: Tensor, image_sizes: Tensor) -> Tensor:
    """Return the matrices (N, 4, 4) float32 of N faces.

    Landmarks (N, 478, 3) are normalized, of pictures with (height, width) (N, 2). Faces whose points all coincide have
    finite, but meaningless matrices.
    """
    table = torch.tensor(BASIS, dtype=torch.float64)
    weights, canonical = table[:, 1] / table[:, 1].sum(), table[:, 2:]
    points = landmarks[:, BASIS_LANDMARKS].double()  # (N, 33, 3)
    # On the camera's near plane, at a distance of 1.
    height = 2 * math.tan(math.radians(VERTICAL_VIEW) / 2)
    width = height * image_sizes[:, 1].double() / image_sizes[:, 0].double()  # (N,)
    x = (points[..., 0] - 0.5) * width[:, None]
    y = (0.5 - points[..., 1]) * height
    z = (points[..., 2] - landmarks[:, :MESH, 2].double().mean(dim=1, keepdim=True)) * width[:, None]
    flat = torch.stack([x, y, -z], dim=2)
    first = _similarity(canonical, flat, weights)[1]
    second = _similarity(canonical, _unprojected(x, y, z, first), weights)[1]
    rotation, scale, shift = _similarity(canonical, _unprojected(x, y, z, first * second), weights)
    matrices = torch.eye(4, dtype=torch.float64).repeat(len(points), 1, 1)
    matrices[:, :3, :3] = scale[:, None, None] * rotation
    matrices[:, :3, 3] = shift
    return matrices.float()


def _unprojected(x: Tensor, y: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    """Return the points (N, L, 3) in space of points on the near plane, given the face's size there."""
    depth = (z + 1) / scale[:, None].clamp_min(SMALLEST)
    return torch.stack([x * depth, y * depth, -depth], dim=2)


def _similarity(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return rotation (N, 3, 3), scale (N,) and shift (N, 3) from points (L, 3) to points (N, L, 3), least squares."""
    center, goal = weights @ source, weights @ target  # (3,), (N, 3)
    centered = source - center
    u, _, vt = torch.linalg.svd((target * weights[:, None]).transpose(1, 2) @ centered)
    signs = torch.ones(len(target), 3, dtype=target.dtype)
    signs[:, 2] = torch.det(u @ vt).sign()  # a rotation, never a mirror image
    rotation = (u * signs[:, None]) @ vt
    turned = centered @ rotation.transpose(1, 2)  # (N, L, 3)
    scale = ((turned * target).sum(dim=2) @ weights) / (centered.square().sum(dim=1) @ weights)
    return rotation, scale, goal - scale[:, None] * (rotation @ center)
