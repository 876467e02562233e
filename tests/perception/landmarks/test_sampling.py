"""Bilinear samples without the padding that some devices lack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from perception_clip.perception.landmarks.sampling import sample

PACK = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (17, 2), (40, 31)])
@pytest.mark.parametrize("reach", [0.5, 1.0, 1.1, 30.0])
def test_equals_border_padding_on_random_grids(shape: tuple[int, int], reach: float) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 4, *shape, generator=generator)
    grid = (torch.rand(3, 2, 12, 7, generator=generator) * 2 - 1) * reach
    expected = F.grid_sample(maps, grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    torch.testing.assert_close(sample(maps, grid), expected, atol=1e-5, rtol=0)


def test_nothing_in_the_pack_uses_border_padding() -> None:
    folders = ("common", "perception", "projection", "training", "nodes")
    files = [path for folder in folders for path in (PACK / folder).rglob("*.py")]
    assert len(files) > 100
    assert not [path.name for path in files if re.search(r"padding_mode\s*=\s*.border", path.read_text("utf-8"))]
