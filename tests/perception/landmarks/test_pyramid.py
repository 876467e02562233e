"""The short-range detector over whole pictures: every place, size and turn."""

from __future__ import annotations

from itertools import pairwise

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
    corners = [(0, 0), (700, 500), (983, 815), (1150, 980)]
    picture = torch.zeros(1080, 1250, 3, dtype=torch.uint8)
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


def test_pictures_of_a_batch_do_not_touch_each_other(network: BlazeFace, astronaut: np.ndarray) -> None:
    picture = torch.tensor(astronaut)
    picture = picture[:300:2, 100:350:2].contiguous()
    empty = torch.full_like(picture, 90)
    together, alone = search(network, empty, picture, picture.flip(0)), search(network, picture)
    assert 0 not in together.frames.tolist()
    assert (together.frames == 1).sum() == len(alone.frames)
    torch.testing.assert_close(together.points[together.frames == 1], alone.points, atol=1e-2, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (16, 10000), (10000, 16), (130, 129), (1025, 640)])
def test_any_shape_will_do(network: BlazeFace, shape: tuple[int, int]) -> None:
    found = search(network, torch.full((*shape, 3), 128, dtype=torch.uint8))
    assert found.points.shape == (0, 8, 2)


@pytest.mark.parametrize("length", [1, 640, 1024, 1025, 1216, 1217, 3840, 10000])
def test_parts_cover_everything_and_share_enough(length: int) -> None:
    starts = list(pyramid._starts(length))
    assert starts[0] == 0 and starts[-1] + pyramid.PART >= length
    for before, after in pairwise(starts):
        assert before + pyramid.PART - after == pyramid.SHARED
