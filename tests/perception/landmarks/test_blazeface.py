"""The detector's raw candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks.blazeface import INPUT_SIZE, LEFT_EYE, RIGHT_EYE, BlazeFace, cell_centers
from perception_clip.perception.landmarks.boxes import letterbox


@pytest.fixture(scope="module")
def network() -> BlazeFace:
    return weight_files.filled(BlazeFace, weight_files.FOLDER / "blazeface.safetensors")[0]


def test_cells_are_counted_row_by_row() -> None:
    centers = cell_centers(16, 16, per_cell=2, stride=8, device=torch.device("cpu"))
    assert centers.shape == (512, 2)
    expected = {0: (4, 4), 1: (4, 4), 2: (12, 4), 32: (4, 12), 511: (124, 124)}
    for index, center in expected.items():
        assert tuple(centers[index].tolist()) == center
    assert cell_centers(1, 3, per_cell=1, stride=4, device=torch.device("cpu")).tolist() == [[2, 2], [6, 2], [10, 2]]


def test_best_candidate_lies_on_the_face(network: BlazeFace, astronaut: np.ndarray) -> None:
    points, logits = network(letterbox([torch.tensor(astronaut)], INPUT_SIZE))
    assert points.shape == (1, 896, 8, 2) and logits.shape == (1, 896)
    best = logits[0].argmax()
    assert float(logits[0, best].sigmoid()) > 0.9
    in_pixels = points[0, best] * 4  # of the photo, 512×512
    eyes_and_nose = in_pixels[[RIGHT_EYE, LEFT_EYE, 4]]
    by_eye = torch.tensor([[203.0, 101.0], [247.0, 103.0], [226.0, 127.0]])
    torch.testing.assert_close(eyes_and_nose, by_eye, atol=8, rtol=0)


def test_a_larger_picture_gives_what_a_tile_of_it_gives(network: BlazeFace, astronaut: np.ndarray) -> None:
    small = letterbox([torch.tensor(astronaut)], INPUT_SIZE)
    large = torch.full((1, 3, 256, 384), -1.0)
    large[:, :, 64:192, 160:288] = small
    (alone, alone_logits), (amid, amid_logits) = network(small), network(large)
    assert amid.shape == (1, 32 * 48 * 2 + 16 * 24 * 6, 8, 2)
    best, again = alone_logits[0].argmax(), amid_logits[0].argmax()
    assert float(amid_logits[0, again].sigmoid()) > 0.9
    shift = torch.tensor([160.0, 64.0]).expand(8, 2).clone()
    shift[1] = 0  # the box's size
    torch.testing.assert_close(amid[0, again], alone[0, best] + shift, atol=1.5, rtol=0)
