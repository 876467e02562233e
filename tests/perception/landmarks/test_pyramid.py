"""The short-range detector over whole pictures: every place, size and turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks import pyramid
from perception_clip.perception.landmarks.blazeface import LEFT_EYE, RIGHT_EYE, BlazeFace
from perception_clip.perception.landmarks.boxes import Detections

EYES = torch.tensor([[203.0, 101.0], [247.0, 103.0]])  # the astronaut's, by eye


@pytest.fixture(scope="module")
def network() -> BlazeFace:
    network, _ = weight_files.filled(BlazeFace, weight_files.FOLDER / "blazeface.safetensors")
    return network.to(memory_format=torch.channels_last)


def search(network: BlazeFace, *pictures: Tensor) -> Detections:
    with torch.no_grad():
        return pyramid.search(network, torch.stack(pictures), min_score=0.7, max_faces=50)


def best(found: Detections) -> Tensor:
    return found.points[found.scores.argmax(), [RIGHT_EYE, LEFT_EYE]]


@pytest.mark.parametrize("turn", range(4))
def test_a_face_is_found_whichever_way_the_picture_is_turned(
    network: BlazeFace, astronaut: np.ndarray, turn: int
) -> None:
    picture = torch.tensor(astronaut)[:400, 100:]
    height, width = picture.shape[:2]
    found = search(network, picture.rot90(-turn, (0, 1)).contiguous())
    x, y = (EYES - torch.tensor([100.0, 0.0])).unbind(dim=1)
    turned = [(x, y), (height - 1 - y, x), (width - 1 - x, height - 1 - y), (y, width - 1 - x)][turn]
    torch.testing.assert_close(best(found), torch.stack(turned, dim=1), atol=8, rtol=0)


def test_faces_are_found_wherever_they_lie_even_across_parts(network: BlazeFace, astronaut: np.ndarray) -> None:
    corners = [(0, 0), (700, 500), (968, 993), (1150, 1080)]  # the third where the first part ends, at 1024
    picture = torch.zeros(1180, 1250, 3, dtype=torch.uint8)
    small = torch.tensor(astronaut)[:400:4, :400:4]  # her face is 26 pixels high
    for left, top in corners:
        picture[top : top + 100, left : left + 100] = small
    points = search(network, picture).points[:, [RIGHT_EYE, LEFT_EYE]]
    for corner in corners:
        expected = EYES / 4 + torch.tensor(corner)
        assert (points - expected).abs().amax(dim=(1, 2)).min() < 3


@pytest.mark.parametrize("step", [1, 2, 5, 8])
def test_a_face_is_found_in_any_size(network: BlazeFace, astronaut: np.ndarray, step: int) -> None:
    found = search(network, torch.tensor(astronaut)[::step, ::step].contiguous())  # at last her face is 13 pixels high
    torch.testing.assert_close(best(found), EYES / step, atol=8 / step + 1, rtol=0)
