from __future__ import annotations

import pytest
import torch
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.training.evaluation import leakage
from perception_clip.training.evaluation.leakage import all_near_duplicates, near_duplicate_share
from perception_clip.training.learning.data import TrainingData, training_data

ROWS = 140


def data_of(landmarks: Tensor, sizes: Tensor) -> TrainingData:
    emotions = torch.full((len(landmarks), 7), 1 / 7)
    return training_data(pack(landmarks, emotions), sizes, torch.zeros(len(landmarks), 4))


@pytest.fixture(scope="module")
def faces() -> tuple[Tensor, Tensor]:
    """Landmarks and picture sizes of sampled people."""
    emotions = torch.arange(ROWS) % len(EMOTIONS)
    return ExpressionModel.load().sample(emotions, torch.ones(ROWS), torch.Generator().manual_seed(0))


def test_copies_are_found(faces: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    landmarks, sizes = faces
    train, evaluated = torch.arange(100), torch.arange(100, ROWS)
    assert near_duplicate_share(data_of(landmarks, sizes), train, evaluated) == 0
    copied = landmarks.clone()
    copied[100:110] = landmarks[:10] + torch.randn(10, 478, 3, generator=torch.Generator().manual_seed(1)) * 2e-4
    copied[100:110, :, 0] += 0.1  # elsewhere in the picture
    monkeypatch.setattr(leakage, "CHUNK", 16)
    assert near_duplicate_share(data_of(copied, sizes), train, evaluated) == 10 / 40
    monkeypatch.setattr(leakage, "LOOKED_AT", 1)
    assert near_duplicate_share(data_of(copied, sizes), train, evaluated) <= 1 / 40


def test_constant_landmarks(faces: tuple[Tensor, Tensor]) -> None:
    landmarks, sizes = faces
    every = torch.arange(ROWS)
    assert not all_near_duplicates(data_of(landmarks, sizes), every)
    assert all_near_duplicates(data_of(landmarks[:1].expand(ROWS, -1, -1), sizes), every)
    assert all_near_duplicates(data_of(torch.full_like(landmarks, 0.5), sizes), every)  # no face at all
    assert not all_near_duplicates(data_of(landmarks[:1], sizes[:1]), torch.arange(1))  # one row says nothing
