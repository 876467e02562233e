from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.geometry import align, from_true_proportions, true_proportions


def rotation(yaw: float, pitch: float, roll: float) -> torch.Tensor:
    axes = []
    for angle, (i, j) in ((yaw, (0, 2)), (pitch, (1, 2)), (roll, (0, 1))):
        matrix = torch.eye(3)
        matrix[i, i] = matrix[j, j] = math.cos(angle)
        matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
        axes.append(matrix)
    return axes[0] @ axes[1] @ axes[2]


TEMPLATE = torch.randn(478, 3, generator=torch.Generator().manual_seed(1))
TEMPLATE -= TEMPLATE.mean(dim=0)
ANGLE = st.floats(-math.pi, math.pi)


@given(yaw=ANGLE, pitch=ANGLE, roll=ANGLE, size=st.floats(0.01, 100), x=st.floats(-5, 5))
def test_any_pose_is_removed(yaw: float, pitch: float, roll: float, size: float, x: float) -> None:
    posed = TEMPLATE @ rotation(yaw, pitch, roll) * size + x
    aligned = align(posed[None], TEMPLATE)
    assert (aligned.points[0] - TEMPLATE).abs().max() < 2e-3
    assert math.isclose(aligned.scale[0].item(), 1 / size, rel_tol=1e-3)
    assert math.isclose(torch.det(aligned.rotation[0]).item(), 1, abs_tol=1e-4)


def test_a_mirror_image_is_not_mistaken_for_a_pose() -> None:
    aligned = align(TEMPLATE[None] * torch.tensor([-1.0, 1, 1]), TEMPLATE)
    assert torch.det(aligned.rotation[0]) > 0.99
    assert (aligned.points[0] - TEMPLATE).abs().max() > 0.5


def test_proportions() -> None:
    landmarks = torch.rand(2, 478, 3, generator=torch.Generator().manual_seed(3))
    sizes = torch.tensor([[600, 300], [512, 512]])
    points = true_proportions(landmarks, sizes)
    assert torch.allclose(points[0, :, 1], landmarks[0, :, 1] * 2)
    assert torch.equal(points[0, :, ::2], landmarks[0, :, ::2])
    assert torch.equal(points[1], landmarks[1])
    assert torch.allclose(from_true_proportions(points, sizes), landmarks)


def test_huge_coordinates_and_a_single_point_stay_finite() -> None:
    small = align(TEMPLATE[None], TEMPLATE).points
    assert torch.allclose(align(TEMPLATE[None] * 5e37, TEMPLATE).points, small, atol=1e-5)
    assert torch.equal(align(torch.ones(1, 478, 3), TEMPLATE).points, torch.zeros(1, 478, 3))
