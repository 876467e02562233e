"""The form of the networks for one picture on a processor equals the networks as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks import side_by_side as module
from perception_clip.perception.landmarks.blazeface import BlazeFace
from perception_clip.perception.landmarks.blazeface_full_range import BlazeFaceFullRange
from perception_clip.perception.landmarks.face_mesh import FaceMesh
from perception_clip.perception.landmarks.side_by_side import Network

NETWORKS = {
    "blazeface": (BlazeFace, 128, 3e-4),
    "blazeface_full_range": (BlazeFaceFullRange, 192, 3e-4),
    "face_mesh": (FaceMesh, 192, 2e-3),  # pixels of the crop
}


def load(name: str) -> Network:
    return weight_files.filled(NETWORKS[name][0], weight_files.FOLDER / f"{name}.safetensors")[0]


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_prepared_network_gives_what_it_gave_before(name: str) -> None:
    _, size, tolerance = NETWORKS[name]
    network, picture = load(name), noise(1, 3, size, size)
    before = network(picture)
    network.prepare()
    for expected, found in zip(before, network(picture), strict=True):
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=1e-4)
    parts = [part for part in network.modules() if isinstance(part, module.Part)]
    assert parts and all(part._layer is not None for part in parts)


@torch.no_grad()
def test_pictures_of_other_sizes_than_trained_on() -> None:
    network = load("blazeface")
    pictures = [noise(1, 3, height, width) * 2 - 1 for height in range(16, 145, 16) for width in (16, 48, 160)]
    before = [network(picture) for picture in pictures]
    network.prepare()  # more shapes of maps than memory is kept for
    for picture, expected in zip(pictures, before, strict=True):
        for one, other in zip(expected, network(picture), strict=True):
            torch.testing.assert_close(other, one, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_threads_do_not_disturb_each_other() -> None:
    mesh = load("face_mesh")
    crops = [noise(1, 3, 192, 192) * share / 8 for share in range(8)]
    expected = [mesh(crop)[0] for crop in crops]
    mesh.prepare()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = list(pool.map(torch.no_grad()(lambda crop: mesh(crop)[0]), crops))
            for one, other in zip(expected, found, strict=True):
                torch.testing.assert_close(other, one, atol=2e-3, rtol=1e-4)


def test_gradients_go_the_usual_way() -> None:
    mesh = load("face_mesh")
    mesh.prepare()
    crop = noise(1, 3, 192, 192).requires_grad_()
    mesh(crop)[0].sum().backward()
    assert crop.grad is not None and crop.grad.abs().sum() > 0
