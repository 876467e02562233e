"""Masks and boxes of several pictures: two faces in the first, none in the second, one in the third."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception_clip.perception.regions import masks
from perception_clip.perception.regions.batch import boxes_of_pictures, masks_of_faces, masks_of_pictures
from perception_clip.perception.vector import Perceptions, pack

from ..reference_faces import reference_faces

SIZE = (120, 100)


@pytest.fixture(scope="module")
def faces() -> Perceptions:
    three = reference_faces().select([0, 0, 1])
    shifts = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.05, 0.0], [0.0, 0.0, 0.0]])
    scales = torch.tensor([1.0, 0.9, 1.0])[:, None, None]
    vectors = pack(three.landmarks * scales + shifts[:, None], three.emotions)
    return replace(three, vectors=vectors, frames=torch.tensor([0, 0, 2]))


def test_each_picture_has_a_mask(faces: Perceptions) -> None:
    done: list[int] = []
    found = masks_of_pictures(faces, SIZE, "head", 0.1, 0.2, done.append)
    assert found.shape == (3, 100, 120) and found.dtype == torch.float32 and done == [1, 2, 3]
    assert found.flatten(1).any(dim=1).tolist() == [True, False, True]
    assert np.array_equal(found[0].numpy(), masks.union([faces[0], faces[1]], SIZE, "head", 0.1, 0.2))
    assert masks_of_pictures(faces, SIZE, "outside")[1].min() == 1


def test_each_face_has_a_mask_of_its_own(faces: Perceptions) -> None:
    found = masks_of_faces(faces, SIZE, "head")
    assert found.shape == (3, 100, 120)
    assert float(found[:2].sum(dim=0).max()) <= 1 + 1e-6  # they overlap, and the first is larger
    assert np.array_equal(found[0].numpy(), masks.mask(faces[0], SIZE, "head"))
    assert torch.allclose(found[:2].sum(dim=0), masks_of_pictures(faces, SIZE, "head")[0], atol=0.3)
    outside = masks_of_faces(faces, SIZE, "outside")
    assert np.array_equal(outside[1].numpy(), 1 - masks.mask(faces[1], SIZE, "head"))
    assert masks_of_faces(faces.select([]), SIZE, "head").shape == (0, 100, 120)


def test_boxes_are_comfyuis(faces: Perceptions) -> None:
    pictures = boxes_of_pictures(faces, SIZE, "mouth")
    assert [len(boxes) for boxes in pictures] == [2, 0, 1]
    left, top, right, bottom = masks.box(faces[0], SIZE, "mouth")
    assert pictures[0][0] == {"x": left, "y": top, "width": right - left, "height": bottom - top}
    away = replace(faces, vectors=pack(faces.landmarks + 2, faces.emotions))
    assert boxes_of_pictures(away, SIZE, "mouth") == [[], [], []]
