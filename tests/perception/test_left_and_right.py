"""Left and right are the person's own, in every file: on a frontal photo, the left eye is at larger x."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception_clip.perception import topology
from perception_clip.perception.landmarks.bundled import BundledLandmarker

PAIRS = {
    "the outlines of the eyes": (topology.LEFT_EYE_OUTLINE, topology.RIGHT_EYE_OUTLINE),
    "the brows": (topology.LEFT_BROW, topology.RIGHT_BROW),
    "the regions of the eyes": (topology.LEFT_EYE, topology.RIGHT_EYE),
    "the corners of the eyes": (topology.LEFT_EYE_CORNERS, topology.RIGHT_EYE_CORNERS),
    "the irises": (topology.LEFT_IRIS, topology.RIGHT_IRIS),
}


@pytest.fixture(scope="module")
def photos(astronaut: np.ndarray, grace_hopper: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(photo.copy()) for photo in (astronaut, grace_hopper)]


@pytest.fixture(scope="module")
def faces(photos: list[torch.Tensor]) -> torch.Tensor:
    """(2, 478, 3)"""
    return torch.cat([found.landmarks for found in BundledLandmarker().detect(photos)])


@pytest.mark.parametrize("name", PAIRS)
def test_the_persons_left_is_the_pictures_right(faces: torch.Tensor, name: str) -> None:
    left, right = (faces[:, list(part), 0] for part in PAIRS[name])
    assert (left.amin(dim=1) > right.amax(dim=1)).all()


def test_one_eye_has_one_name() -> None:
    for outline, region, iris in (
        (topology.LEFT_EYE_OUTLINE, topology.LEFT_EYE, topology.LEFT_IRIS),
        (topology.RIGHT_EYE_OUTLINE, topology.RIGHT_EYE, topology.RIGHT_IRIS),
    ):
        assert set(outline) == set(region[: topology.EYE_CONTOUR])
        assert (iris[0], iris[1:]) in topology.IRISES
    assert set(topology.LEFT_EYE_CORNERS) < set(topology.LEFT_EYE_OUTLINE)
    assert set(topology.RIGHT_EYE_CORNERS) < set(topology.RIGHT_EYE_OUTLINE)
