"""The facial transformation matrix against MediaPipe's own, and against the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from perception_clip.perception.landmarks.transformation import (
    BASIS,
    BASIS_LANDMARKS,
    VERTICAL_VIEW,
    transformation_matrices,
)
from perception_clip.perception.vector import Perceptions, pack

from ..reference_faces import posed, reference_faces


def seen_by_the_camera(matrices: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
    """Where MediaPipe's camera sees the canonical points of faces (N, 33, 2), in normalized coordinates."""
    canonical = torch.tensor([[*row[2:], 1.0] for row in BASIS])
    x, y, z, _ = (matrices @ canonical.T).unbind(dim=1)  # (N, 33) each
    half = np.tan(np.radians(VERTICAL_VIEW) / 2)
    ratio = (sizes[:, 0] / sizes[:, 1])[:, None]
    return torch.stack([0.5 - x / z / half / 2 * ratio, 0.5 + y / z / half / 2], dim=2)


def test_matrices_are_mediapipes_own(shared_data: Path) -> None:
    count = 0
    with np.load(shared_data / "faces" / "reference_blendshapes.npz") as file:
        for name in (key.removesuffix(":matrix") for key in file.files if key.endswith(":matrix")):
            landmarks = torch.from_numpy(file[f"{name}:landmarks"])
            sizes = torch.from_numpy(file[f"{name}:size"]).repeat(len(landmarks), 1)
            difference = transformation_matrices(landmarks, sizes) - torch.from_numpy(file[f"{name}:matrix"])
            assert not len(landmarks) or float(difference[:, :3, :3].abs().max()) < 1e-5
            assert not len(landmarks) or float(difference[:, :3, 3].abs().max()) < 1e-3  # of some 40 cm
            count += len(landmarks)
    assert count >= 25


def test_the_canonical_face_lies_on_the_face_in_the_picture() -> None:
    for faces in (reference_faces(), posed(reference_faces())):
        matrices = transformation_matrices(faces.landmarks, faces.image_sizes)
        seen = seen_by_the_camera(matrices, faces.image_sizes)
        points = faces.landmarks[:, BASIS_LANDMARKS, :2]
        size = (points.amax(dim=1) - points.amin(dim=1)).norm(dim=1)
        assert ((seen - points).norm(dim=2).mean(dim=1) / size).max() < 0.05


def test_a_face_twice_as_far_away_is_half_as_large() -> None:
    faces = reference_faces()
    center = torch.tensor([0.5, 0.5, 0.0])
    near = faces.landmarks - faces.landmarks.mean(dim=1, keepdim=True) * torch.tensor([1.0, 1.0, 0.0]) + center
    far = (near - center) / 2 + center
    sizes = faces.image_sizes
    distances = [-transformation_matrices(landmarks, sizes)[:, 2, 3] for landmarks in (near, far)]
    torch.testing.assert_close(distances[1] / distances[0], torch.full((2,), 2.0), atol=0.12, rtol=0)
    assert (distances[0] > 20).all() and (distances[0] < 80).all()


def test_no_face_and_a_face_of_one_point_are_finite() -> None:
    faces = reference_faces()
    assert transformation_matrices(faces.landmarks[:0], faces.image_sizes[:0]).shape == (0, 4, 4)
    point: Perceptions = replace(faces, vectors=pack(torch.full_like(faces.landmarks, 0.3), faces.emotions))
    assert transformation_matrices(point.landmarks, point.image_sizes).isfinite().all()
