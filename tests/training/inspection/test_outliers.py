"""Landmarks that are no face are told from faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.vector import EMOTIONS, LANDMARKS, pack
from perception_clip.training.inspection.outliers import COMPONENTS, LENIENCE, LIMIT, USUAL, FaceSpace, outlier_limit

Spoil = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def space() -> FaceSpace:
    return FaceSpace()


def outlier_score(space: FaceSpace, landmarks: Tensor, sizes: Tensor) -> np.ndarray:
    vectors = pack(landmarks, torch.full((len(landmarks), len(EMOTIONS)), 1 / len(EMOTIONS)))
    components, strange, poses = space.measure(vectors.numpy(), sizes.numpy().astype(np.int32))
    np.testing.assert_allclose(poses, head_pose(landmarks, sizes, space.model.template), atol=1e-3)
    assert components.shape == (len(landmarks), COMPONENTS) and strange.shape == (len(landmarks),)
    return strange


@pytest.fixture(scope="module")
def sampled(space: FaceSpace) -> tuple[Tensor, Tensor]:
    emotions = torch.arange(140) % len(EMOTIONS)
    return space.model.sample(emotions, torch.ones(len(emotions)), torch.Generator().manual_seed(0))


def shuffled(faces: Tensor) -> Tensor:
    return faces[:, torch.randperm(LANDMARKS, generator=torch.Generator().manual_seed(0))]


def three_moved(faces: Tensor) -> Tensor:
    moved = faces.clone()
    moved[:, [10, 200, 400], 0] += 0.3
    return moved


SPOILT: dict[str, Spoil] = {
    "mirrored": lambda faces: torch.cat([1 - faces[..., :1], faces[..., 1:]], dim=2),
    "flat": lambda faces: faces * torch.tensor([1.0, 1.0, 0.0]),
    "axes exchanged": lambda faces: faces[..., [1, 0, 2]],
    "twice as wide": lambda faces: faces * torch.tensor([2.0, 1.0, 1.0]),
    "all points in one": torch.zeros_like,
    "shuffled": shuffled,
    "three landmarks moved": three_moved,
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_no_face_is_strange(space: FaceSpace, sampled: tuple[Tensor, Tensor], how: str) -> None:
    faces, sizes = sampled
    assert (outlier_score(space, SPOILT[how](faces), sizes) > LIMIT).mean() > 0.98


def test_faces_are_not_strange(space: FaceSpace, sampled: tuple[Tensor, Tensor]) -> None:
    faces, sizes = sampled
    scores = outlier_score(space, faces, sizes)
    assert (scores < LIMIT).all() and 0.3 < np.median(scores) < 1.5


def test_photos_of_real_faces_are_not_strange(space: FaceSpace, shared_data: Path) -> None:
    with np.load(shared_data / "expression_landmarks.npz") as data:
        faces, sizes = data["landmarks"][::7].astype(np.float32), data["image_size"][::7]
    usual = outlier_score(space, torch.from_numpy(faces), torch.from_numpy(sizes))
    assert len(usual) > 1900 and (usual > LIMIT).sum() <= 4
    assert np.median(usual) == pytest.approx(USUAL, abs=0.1)


def test_components_are_distances_and_give_the_face_back(space: FaceSpace) -> None:
    model = ExpressionModel.load()
    weights = np.zeros(COMPONENTS, dtype=np.float32)
    np.testing.assert_allclose(space.face(weights), model.mean.numpy(), atol=1e-6)
    weights[:3] = 0.1, -0.2, 0.05
    moved = space.face(weights) - model.mean.numpy()
    assert np.sqrt((moved**2).sum() / LANDMARKS) == pytest.approx(np.linalg.norm(weights), rel=1e-4)


def test_the_limit_follows_the_dataset_up_to_a_point() -> None:
    assert outlier_limit(np.empty(0, np.float32)) == LIMIT
    assert outlier_limit(np.full(9, 0.5, np.float32)) == LIMIT
    assert outlier_limit(np.full(9, 1.5 * USUAL, np.float32)) == pytest.approx(1.5 * LIMIT)
    assert outlier_limit(np.full(9, 99, np.float32)) == LENIENCE * LIMIT
