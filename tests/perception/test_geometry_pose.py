"""Head pose: synthetic turns are read back, and real photos turn and mirror as the signs say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from perception_clip.perception.emotions.expression import ExpressionModel, rotations
from perception_clip.perception.geometry import AXES, from_true_proportions, head_pose
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.vector import Perceptions

YAW, PITCH, ROLL = (AXES.index(axis) for axis in ("yaw", "pitch", "roll"))
NOSE, OUTER_EYE_CORNERS = 1, [33, 263]


@pytest.fixture(scope="module")
def template() -> torch.Tensor:
    return ExpressionModel.load().template


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


def degrees(faces: Perceptions, template: torch.Tensor) -> torch.Tensor:
    return head_pose(faces.landmarks, faces.image_sizes, template)


def turned(template: torch.Tensor, yaw: float, pitch: float, roll: float) -> torch.Tensor:
    """The template in a pose, (1, 478, 3), in true proportions."""
    turn = torch.tensor([[-pitch, -yaw, roll]], dtype=torch.float32).deg2rad()
    return template @ rotations(turn).transpose(1, 2)


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(0, 0, 0), (0, 20, 0), (-40, 0, 0), (0, 0, 135), (30, -15, -60), (-50, 35, 170)]
)
def test_a_turned_template_is_read_back(template: torch.Tensor, yaw: float, pitch: float, roll: float) -> None:
    """In a wide picture, smaller and off its middle: neither counts."""
    sizes = torch.tensor([[300, 900]])
    landmarks = from_true_proportions(turned(template, yaw, pitch, roll) * 0.1 + torch.tensor([0.7, 0.1, 0.0]), sizes)
    read = head_pose(landmarks, sizes, template)
    assert torch.allclose(read, torch.tensor([[yaw, pitch, roll]], dtype=torch.float32), atol=0.01)


def test_signs_are_those_of_the_picture(template: torch.Tensor) -> None:
    assert turned(template, yaw=20, pitch=0, roll=0)[0, NOSE, 0] > 0.1  # to the right
    assert turned(template, yaw=0, pitch=20, roll=0)[0, NOSE, 1] < template[NOSE, 1] - 0.1  # up
    left, right = turned(template, yaw=0, pitch=0, roll=20)[0, OUTER_EYE_CORNERS]
    assert right[1] > left[1] + 0.1  # clockwise


@pytest.mark.parametrize("clockwise", [-30, 15])
def test_turning_the_picture_changes_the_roll_alone(
    pipeline: PerceptionPipeline, template: torch.Tensor, astronaut: np.ndarray, clockwise: int
) -> None:
    turned = np.asarray(Image.fromarray(astronaut).rotate(-clockwise, Image.Resampling.BICUBIC, expand=True))
    before, after = degrees(pipeline([astronaut]), template)[0], degrees(pipeline([turned]), template)[0]
    assert after[ROLL] - before[ROLL] == pytest.approx(clockwise, abs=2)
    assert after[YAW] == pytest.approx(before[YAW].item(), abs=5)
    assert after[PITCH] == pytest.approx(before[PITCH].item(), abs=5)


def check_mirrored(pipeline: PerceptionPipeline, template: torch.Tensor, photo: np.ndarray) -> torch.Tensor:
    """Yaw and roll change their signs, pitch does not; returns the pose in the photo as it is."""
    before, after = degrees(pipeline([photo, photo[:, ::-1].copy()]), template)
    assert torch.allclose(after, before * torch.tensor([-1.0, 1.0, -1.0]), atol=5)
    return before


def test_a_mirrored_photo_turns_the_other_way(
    pipeline: PerceptionPipeline, template: torch.Tensor, astronaut: np.ndarray, shared_data: Path
) -> None:
    assert check_mirrored(pipeline, template, astronaut)[ROLL] > 2
    with Image.open(shared_data / "faces" / "art_pearl_earring.jpg") as image:  # she looks to the left
        assert check_mirrored(pipeline, template, np.asarray(image.convert("RGB")))[YAW] < -25


def test_a_lifted_chin_looks_up(pipeline: PerceptionPipeline, template: torch.Tensor, shared_data: Path) -> None:
    with Image.open(shared_data / "faces" / "obama3.jpg") as image:
        photo = np.asarray(image.convert("RGB").reduce(2))
    assert 10 < degrees(pipeline([photo]), template)[0, PITCH] < 30


def test_frontal_photos_are_near_zero(
    pipeline: PerceptionPipeline, template: torch.Tensor, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> None:
    read = degrees(pipeline([astronaut, grace_hopper]), template)
    assert read.abs().max() < 8


def test_no_face_and_a_point_do_no_harm(template: torch.Tensor) -> None:
    assert head_pose(torch.zeros(0, 478, 3), torch.zeros(0, 2), template).shape == (0, 3)
    assert head_pose(torch.full((1, 478, 3), 0.5), torch.tensor([[10, 10]]), template).isfinite().all()
