"""The detector's raw candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception_clip.perception import weight_files
from perception_clip.perception.blazeface import INPUT_SIZE, LEFT_EYE, RIGHT_EYE, BlazeFace
from perception_clip.perception.detection import letterbox


@pytest.fixture(scope="module")
def network() -> BlazeFace:
    network = BlazeFace()
    weight_files.fill(network, weight_files.FOLDER / "blazeface.safetensors")
    return network


def test_size_is_that_of_the_original(network: BlazeFace) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 101_390


def test_anchors_are_cell_centres_fine_then_coarse(network: BlazeFace) -> None:
    anchors = network.anchors
    assert anchors.shape == (896, 2)
    expected = {0: (1 / 32, 1 / 32), 1: (1 / 32, 1 / 32), 2: (3 / 32, 1 / 32), 32: (1 / 32, 3 / 32)}
    expected |= {511: (31 / 32, 31 / 32), 512: (1 / 16, 1 / 16), 518: (3 / 16, 1 / 16), 895: (15 / 16, 15 / 16)}
    for index, centre in expected.items():
        assert tuple(anchors[index].tolist()) == centre


def test_best_candidate_lies_on_the_face(network: BlazeFace, astronaut: np.ndarray) -> None:
    points, logits = network(letterbox(torch.tensor(astronaut), INPUT_SIZE)[None])
    assert points.shape == (1, 896, 8, 2) and logits.shape == (1, 896)
    best = logits[0].argmax()
    assert float(logits[0, best].sigmoid()) > 0.9
    in_pixels = points[0, best] * 512
    eyes_and_nose = in_pixels[[LEFT_EYE, RIGHT_EYE, 4]]
    by_eye = torch.tensor([[203.0, 101.0], [247.0, 103.0], [226.0, 127.0]])  # in the photo
    torch.testing.assert_close(eyes_and_nose, by_eye, atol=8, rtol=0)


def test_sure_of_the_face_and_of_nothing_else(network: BlazeFace, astronaut: np.ndarray) -> None:
    photo = torch.tensor(astronaut)
    crops = [photo, photo[300:, :], photo[:200, 300:], photo.flip(2)]  # no face in the two in the middle
    _, logits = network(torch.stack([letterbox(crop, INPUT_SIZE) for crop in crops]))
    assert (logits.sigmoid().amax(dim=1) >= 0.5).tolist() == [True, False, False, True]
