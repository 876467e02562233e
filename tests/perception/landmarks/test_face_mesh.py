"""The face mesh network, and the region crops inside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks.face_mesh import CROP_SIZE, FaceMesh


@pytest.fixture(scope="module")
def network() -> FaceMesh:
    return weight_files.filled(FaceMesh, weight_files.FOLDER / "face_mesh.safetensors")[0]


def test_flag_refuses_what_is_no_face(network: FaceMesh, astronaut: np.ndarray) -> None:
    photo = torch.tensor(astronaut)
    suit = photo[300:492, 100:292].permute(2, 0, 1)[None] / 255
    noise = torch.rand(1, 3, CROP_SIZE, CROP_SIZE, generator=torch.Generator().manual_seed(0))
    _, flags = network(torch.cat([suit, noise, torch.zeros_like(noise)]))
    assert (flags.sigmoid() < 0.5).all()
