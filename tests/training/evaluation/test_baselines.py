from __future__ import annotations

import pytest
import torch
from torch import Tensor

from perception_clip.perception.vector import pack
from perception_clip.training.evaluation import baselines as module
from perception_clip.training.evaluation.baselines import averages, baseline_predictions
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.split import Split, split_rows

ROWS = 300


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Targets: 20 distinct ones, on a line that the first landmark's x follows."""
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.rand(ROWS, 478, 3, generator=generator)
    landmarks[:, 0, 0] = (torch.arange(ROWS) % 20) / 20
    emotions = torch.rand(ROWS, 7, generator=generator)
    emotions[:, 1] = 0  # disgust never occurs
    emotions /= emotions.sum(dim=1, keepdim=True)
    direction, origin = torch.randn(2, 16, generator=generator)
    targets = origin + direction * landmarks[:, 0, :1]
    return training_data(pack(landmarks, emotions), torch.ones(ROWS, 2, dtype=torch.int32), targets)


@pytest.fixture(scope="module")
def rows() -> Split:
    return split_rows(None, ROWS)


def predictions(data: TrainingData, rows: Split) -> dict[str, Tensor]:
    def features(part: Tensor) -> Tensor:
        return data.vectors[part][:, :2]

    return dict(baseline_predictions(data, rows, rows.test, features, averages(data, rows.train)))


def test_averages(data: TrainingData, rows: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    found = averages(data, rows.train)
    targets, weights = data.targets[rows.train].double(), data.vectors[rows.train, 1434:].double()
    assert torch.allclose(found.mean.double(), targets.mean(dim=0), atol=1e-6)
    for emotion in (0, 2, 6):
        expected = (weights[:, emotion, None] * targets).sum(dim=0) / weights[:, emotion].sum()
        assert torch.allclose(found.of_emotion[emotion].double(), expected, atol=1e-5)
    assert torch.equal(found.of_emotion[1], found.mean)


def test_each_rule(data: TrainingData, rows: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    found = predictions(data, rows)
    assert list(found) == ["ridge", "nearest neighbor", "emotion mix", "mean"]
    truth, average = data.targets[rows.test], averages(data, rows.train)
    assert torch.allclose(found["ridge"], truth, atol=0.01)  # it is linear
    assert torch.equal(found["mean"], average.mean.expand(len(rows.test), -1))
    mix = sum(data.vectors[rows.test, 1434 + number, None] * average.of_emotion[number] for number in range(7))
    assert torch.allclose(found["emotion mix"], torch.as_tensor(mix), atol=1e-5)
    distances = (data.vectors[rows.test, None, :2] - data.vectors[None, rows.train, :2]).norm(dim=2)
    assert torch.equal(found["nearest neighbor"], data.targets[rows.train[distances.argmin(dim=1)]])
    monkeypatch.setattr(module, "DISTANCES", 1)  # row by row
    assert torch.equal(predictions(data, rows)["nearest neighbor"], found["nearest neighbor"])


def test_of_many_training_rows_some_are_drawn(data: TrainingData, rows: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBORS", 1)
    monkeypatch.setattr(module, "RIDGE_ROWS", 30)
    found = predictions(data, rows)
    assert len(found["nearest neighbor"].unique(dim=0)) == 1
    assert torch.allclose(found["ridge"], data.targets[rows.test], atol=0.05)
    assert torch.equal(predictions(data, rows)["ridge"], found["ridge"])
