"""The face mesh network, and the region crops inside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception import topology, weight_files
from perception_clip.perception.landmarks.cropping import Squares, cut
from perception_clip.perception.landmarks.face_mesh import CROP_SIZE, FaceMesh, FeatureCrop


@pytest.fixture(scope="module")
def network() -> FaceMesh:
    return weight_files.filled(FaceMesh, weight_files.FOLDER / "face_mesh.safetensors")[0]


@pytest.fixture(scope="module")
def face_crop(astronaut: np.ndarray) -> Tensor:
    square = Squares(centers=torch.tensor([[222.0, 122.0]]), sides=torch.tensor([170.0]), angles=torch.tensor([-0.05]))
    return cut([torch.tensor(astronaut)], torch.tensor([0]), square, CROP_SIZE)


def test_size_is_that_of_the_original(network: FaceMesh) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_189_277


def test_face_has_its_parts_in_their_places(network: FaceMesh, face_crop: Tensor) -> None:
    landmarks, flag = network(face_crop)
    assert landmarks.shape == (1, 478, 3) and flag.shape == (1,)
    assert float(flag.sigmoid()) > 0.99
    points = landmarks[0]
    nose_tip, chin, forehead = points[1], points[152], points[10]
    assert forehead[1] < nose_tip[1] < chin[1]
    assert nose_tip[2] < points[:, 2].mean(), "the nose is nearer than the rest"
    for iris, eye in ((topology.RIGHT_IRIS, topology.RIGHT_EYE), (topology.LEFT_IRIS, topology.LEFT_EYE)):
        contour = points[list(eye[: topology.EYE_CONTOUR])]
        pupil = points[iris[0]]
        assert (contour[:, :2].amin(dim=0) < pupil[:2]).all() and (pupil[:2] < contour[:, :2].amax(dim=0)).all()
        torch.testing.assert_close(points[list(iris), 2], contour[:, 2].mean().expand(5))
        rim = (points[list(iris[1:]), :2] - pupil[:2]).norm(dim=1)
        assert rim.std() < 0.2 * rim.mean(), "the iris is round"
    assert points[topology.RIGHT_IRIS[0], 0] < points[topology.LEFT_IRIS[0], 0]


def test_flag_refuses_what_is_no_face(network: FaceMesh, astronaut: np.ndarray) -> None:
    photo = torch.tensor(astronaut)
    suit = photo[300:492, 100:292].permute(2, 0, 1)[None] / 255
    noise = torch.rand(1, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    _, flags = network(torch.cat([suit, noise, torch.zeros_like(noise)]))
    assert (flags.sigmoid() < 0.5).all()


def test_no_crops_give_no_landmarks(network: FaceMesh) -> None:
    landmarks, flags = network(torch.zeros(0, 3, CROP_SIZE, CROP_SIZE))
    assert landmarks.shape == (0, 478, 3) and flags.shape == (0,)


def upright_crop(center: tuple[float, float], size: tuple[float, float]) -> FeatureCrop:
    """The crop that a region with these points gets; without the network's margin it covers `size`."""
    (x, y), (width, height) = center, (size[0] / 1.5, size[1] / 1.5)
    corners = torch.tensor([[x - width / 2, y - height / 2], [x + width / 2, y + height / 2]])
    left, right = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    return FeatureCrop.around(corners[None], left, right)


def test_region_crop_of_16_pixels_copies_them() -> None:
    features = torch.arange(48 * 48, dtype=torch.float32).view(1, 1, 48, 48)
    crop = upright_crop((20.0, 30.0), (16.0, 16.0))
    torch.testing.assert_close(crop.cut(features)[0, 0], features[0, 0, 22:38, 12:28], atol=1e-3, rtol=0)


def test_region_crop_is_zero_outside_the_features() -> None:
    crop = upright_crop((0.0, 40.0), (16.0, 16.0))
    out = crop.cut(torch.ones(1, 3, 48, 48))
    assert (out[..., :8] == 0).all() and torch.allclose(out[..., 8:], torch.ones(()))


def test_region_crop_turns_with_the_face() -> None:
    points = torch.tensor([[[10.0, 10.0], [10.0, 20.0], [14.0, 15.0], [6.0, 15.0]]])  # its axis points down
    crop = FeatureCrop.around(points, points[:, 0], points[:, 1])
    corners = torch.tensor([[[0.0, 0.0], [16.0, 0.0], [16.0, 16.0]]])
    expected = torch.tensor([[[16.0, 7.5], [16.0, 22.5], [4.0, 22.5]]])  # 1.5 × (10 along, 8 across)
    torch.testing.assert_close(crop.project(corners), expected)
