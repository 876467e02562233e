"""Candidate faces, checked again on crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks.blazeface import BlazeFace
from perception_clip.perception.landmarks.blazeface_full_range import BlazeFaceFullRange
from perception_clip.perception.landmarks.boxes import Detections
from perception_clip.perception.landmarks.rescoring import Rescorer, detect_on_crops

# The astronaut's box and key points as a detector might give them, by eye, and a bad guess at them.
FACE = torch.tensor([[225.0, 125], [100, 100], [203, 101], [247, 103], [226, 127], [226, 147], [190, 112], [268, 116]])
GUESS = FACE + torch.tensor([[8.0, -6]]) * torch.tensor([[1.0], [2], [0.5], [-0.5], [1], [1], [1], [1]])


@pytest.fixture(scope="module")
def networks() -> tuple[BlazeFace, BlazeFaceFullRange]:
    first, _ = weight_files.filled(BlazeFace, weight_files.FOLDER / "blazeface.safetensors")
    second, _ = weight_files.filled(BlazeFaceFullRange, weight_files.FOLDER / "blazeface_full_range.safetensors")
    return first, second


def candidates(*points: Tensor, frames: tuple[int, ...] = (0,)) -> Detections:
    return Detections(torch.tensor(frames), torch.stack(points), torch.full((len(points),), 0.4))


def test_a_bad_guess_is_corrected(networks: tuple[BlazeFace, BlazeFaceFullRange], astronaut: np.ndarray) -> None:
    for network, size, share in zip(networks, (128, 192), (0.3, 0.2), strict=True):
        points, scores = detect_on_crops(network, [torch.tensor(astronaut)], candidates(GUESS), size=size, share=share)
        assert scores.shape == (1,) and float(scores) > 0.8
        torch.testing.assert_close(points[0, 2:6], FACE[2:6], atol=9, rtol=0)
        assert 80 < float(points[0, 1].amax()) < 130


def test_faces_are_confirmed_and_others_are_not(
    networks: tuple[BlazeFace, BlazeFaceFullRange], astronaut: np.ndarray
) -> None:
    elsewhere = FACE + torch.tensor([150.0, 250.0]) * (torch.arange(8) != 1)[:, None]  # on her suit
    pictures = [torch.tensor(astronaut), torch.zeros(20, 30, 3, dtype=torch.uint8), torch.tensor(astronaut).flip(1)]
    mirrored = torch.tensor([511.0, 0]) * (torch.arange(8) != 1)[:, None] + FACE * torch.tensor([-1.0, 1])
    mirrored = mirrored[[0, 1, 3, 2, 4, 5, 7, 6]]
    mirrored[1] = FACE[1]
    given = candidates(elsewhere, FACE, FACE, mirrored, frames=(0, 0, 1, 2))
    confirmed = Rescorer(*networks).confirm(pictures, given, min_score=0.5)
    assert confirmed.frames.tolist() == [0, 2]
    assert (confirmed.scores > 0.8).all()
    assert abs(float(confirmed.scores[0] - confirmed.scores[1])) < 0.1


def test_distant_landmarks_and_a_low_face_probability_lower_the_score(
    networks: tuple[BlazeFace, BlazeFaceFullRange],
) -> None:
    landmarks = torch.zeros(1, 478, 2)
    for indices, point in zip(((33, 133), (362, 263), (1,), (13, 14)), FACE[2:6], strict=True):
        landmarks[0, list(indices)] = point
    detection, rescorer = candidates(FACE), Rescorer(*networks)
    flags = torch.ones(1)
    torch.testing.assert_close(rescorer.rescore(detection, landmarks, flags), torch.tensor([0.4]))
    moved = landmarks + torch.tensor([6.0, 8.0])  # a tenth of the face
    torch.testing.assert_close(rescorer.rescore(detection, moved, flags), torch.tensor([0.32]))
    torch.testing.assert_close(rescorer.rescore(detection, moved, flags * 0.25), torch.tensor([0.17]))


def test_no_candidates(networks: tuple[BlazeFace, BlazeFaceFullRange]) -> None:
    picture, nothing = torch.zeros(9, 9, 3, dtype=torch.uint8), candidates(FACE).take(torch.zeros(1, dtype=torch.bool))
    assert not len(Rescorer(*networks).confirm([picture], nothing, min_score=0.5).frames)
