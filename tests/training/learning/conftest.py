"""Made-up data that a projection can learn from, small enough for quick tests."""

from __future__ import annotations

import pytest
import torch

from perception_clip.perception.vector import pack
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.split import Split, split_rows

ROWS = 600


@pytest.fixture(scope="session")
def template() -> torch.Tensor:
    """A centred face (478, 3)."""
    points = torch.randn(478, 3, generator=torch.Generator().manual_seed(9))
    return points - points.mean(dim=0)


@pytest.fixture(scope="session")
def data(template: torch.Tensor) -> TrainingData:
    """Faces that move in four ways; 16 targets that depend on them in a way that is not linear."""
    generator = torch.Generator().manual_seed(0)
    moves = torch.randn(4, 478, 3, generator=generator) * 0.05
    amounts = torch.randn(ROWS, 4, generator=generator)
    noise = torch.randn(ROWS, 478, 3, generator=generator) * 3e-3
    landmarks = 0.5 + 0.1 * (template + torch.einsum("nk,klc->nlc", amounts, moves) + noise)
    emotions = torch.full((ROWS, 7), 1 / 7)
    signs = (amounts > 0).long()
    corner = signs[:, 0] ^ signs[:, 1]  # no linear rule can tell
    centres = torch.randn(2, 4, 2, 768, generator=generator) + 3
    targets = centres[corner, signs[:, 2] * 2 + signs[:, 3], signs[:, 0]]
    return training_data(pack(landmarks, emotions), torch.ones(ROWS, 2, dtype=torch.int32), targets)


@pytest.fixture(scope="session")
def rows() -> Split:
    return split_rows(None, ROWS)
