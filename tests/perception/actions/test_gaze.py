"""Gaze: eyes turned by known angles are read back, and real photos look where they look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.actions.gaze import BACK, DOWN, EYES, OUTWARD, RADIUS, gaze
from perception_clip.perception.emotions.expression import ExpressionModel, rotations
from perception_clip.perception.geometry import from_true_proportions
from perception_clip.perception.landmarks.bundled import BundledLandmarker

from ..reference_faces import reference_faces

TEMPLATE = ExpressionModel.load().template
FACES = reference_faces()
SIZE = torch.tensor([[300, 900]])


def looking(
    head: tuple[float, float, float], eyes: tuple[float, float], shut: tuple[bool, bool] = (False, False)
) -> Tensor:
    """The template with its head in a pose (yaw, pitch, roll) and its eyes at (yaw, pitch), both as in the picture."""
    yaw, pitch, roll = head
    turn = rotations(torch.tensor([[-pitch, -yaw, roll]], dtype=torch.float32).deg2rad())[0]
    points = TEMPLATE @ turn.T
    yaw, pitch = np.deg2rad(eyes)
    direction = torch.tensor([np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
    for (corners, lids, pupil, side), closed in zip(EYES, shut, strict=True):
        center = points[list(corners)].mean(dim=0) + torch.tensor([side * OUTWARD, DOWN, BACK]) @ turn.T
        points[pupil] = center + RADIUS * direction.float()
        if closed:
            points[lids[0]] = points[lids[1]]
    return from_true_proportions(points[None] * 0.1 + 0.4, SIZE)


@pytest.mark.parametrize("head", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (-25, 10, 40)])
@pytest.mark.parametrize("eyes", [(0, 0), (25, 0), (-10, 20), (0, -20)])
def test_known_angles_are_read_back(head: tuple[float, float, float], eyes: tuple[float, float]) -> None:
    read = gaze(looking(head, eyes), SIZE, TEMPLATE)
    # The pupils are landmarks too, so the fit of the head moves a little with them.
    assert torch.allclose(read, torch.tensor([eyes], dtype=torch.float32), atol=1.5)


def test_a_closed_eye_does_not_count_and_two_follow_the_head() -> None:
    one = looking((0, 0, 0), (20, 0), shut=(True, False))
    one[0, EYES[0][2], 0] -= 0.05
    assert gaze(one, SIZE, TEMPLATE)[0, 0] == pytest.approx(20, abs=3)
    both = looking((15, 5, 0), (-20, 0), shut=(True, True))
    assert torch.allclose(gaze(both, SIZE, TEMPLATE), torch.tensor([[15.0, 5.0]]), atol=3)


def test_no_eye_turns_further_than_eyes_do() -> None:
    """As the landmarks of an eye behind a hand may."""
    assert gaze(looking((0, 0, 0), (75, 0)), SIZE, TEMPLATE)[0, 0] == pytest.approx(58, abs=3)
    assert gaze(looking((60, 0, 0), (75, 0)), SIZE, TEMPLATE)[0, 0] == pytest.approx(75, abs=5)


def test_frontal_photos_look_into_the_camera_and_mirrored_ones_the_other_way() -> None:
    read = gaze(FACES.landmarks, FACES.image_sizes, TEMPLATE)
    assert read.abs().max() < 5


@pytest.mark.parametrize(
    ("photo", "yaw", "pitch"),
    [
        ("art_pearl_earring.jpg", (-15, 15), (-12, 12)),  # her head is turned by 34°, her eyes are on the viewer
        ("art_mona_lisa.jpg", (-15, 15), (-12, 12)),
        ("obama2.jpg", (-40, -12), (0, 25)),  # to the picture's left, and up
        ("camera_profile_gray.png", (40, 90), (-45, 10)),
    ],
)
def test_photos(photo: str, yaw: tuple[float, float], pitch: tuple[float, float], shared_data: Path) -> None:
    with Image.open(shared_data / "faces" / photo) as image:
        picture = torch.from_numpy(np.array(image.convert("RGB")))
    mirrored = picture.flip(1).contiguous()
    for sign, shown in ((1, picture), (-1, mirrored)):
        (faces,) = BundledLandmarker(detector="standard", max_faces=1).detect([shown])
        [[read_yaw, read_pitch]] = gaze(faces.landmarks, torch.tensor([shown.shape[:2]]), TEMPLATE).tolist()
        assert yaw[0] <= sign * read_yaw <= yaw[1]
        assert pitch[0] <= read_pitch <= pitch[1]


def test_no_face_and_a_point_do_no_harm() -> None:
    assert gaze(torch.zeros(0, 478, 3), torch.zeros(0, 2), TEMPLATE).shape == (0, 2)
    assert gaze(torch.full((1, 478, 3), 0.5), torch.tensor([[10, 10]]), TEMPLATE).isfinite().all()
