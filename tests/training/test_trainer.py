from __future__ import annotations

import pytest
import torch

from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.projection.checkpoint import Checkpoint, Metadata
from perception_clip.training.evaluation import Report, evaluate
from perception_clip.training.split import Split, split_rows
from perception_clip.training.trainer import Epoch, TrainingData, train

ROWS = 600
TEMPLATE = torch.randn(478, 3, generator=torch.Generator().manual_seed(9))
TEMPLATE -= TEMPLATE.mean(dim=0)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Faces that move in four ways; 32 targets that depend on them in a way that is not linear."""
    generator = torch.Generator().manual_seed(0)
    moves = torch.randn(4, 478, 3, generator=generator) * 0.05
    amounts = torch.randn(ROWS, 4, generator=generator)
    noise = torch.randn(ROWS, 478, 3, generator=generator) * 3e-3
    landmarks = 0.5 + 0.1 * (TEMPLATE + torch.einsum("nk,klc->nlc", amounts, moves) + noise)
    emotions = torch.full((ROWS, 7), 1 / 7)
    signs = (amounts > 0).long()
    corner = signs[:, 0] ^ signs[:, 1]  # no linear rule can tell
    centres = torch.randn(2, 4, 2, 768, generator=generator) + 3
    targets = centres[corner, signs[:, 2] * 2 + signs[:, 3], signs[:, 0]]
    return TrainingData(pack(landmarks, emotions), torch.ones(ROWS, 2, dtype=torch.int32), targets)


def fit(data: TrainingData, rows: Split, **options: object) -> Checkpoint:
    settings = {"epochs": 12, "learning_rate": 2e-3, **options}
    return train(data, rows, TEMPLATE, Metadata(), None, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rows() -> Split:
    return split_rows(None, ROWS)


@pytest.fixture(scope="module")
def report(data: TrainingData, rows: Split) -> Report:
    return evaluate(fit(data, rows), data, rows)


def test_it_learns_what_simple_rules_cannot(report: Report) -> None:
    assert report.scores["projection"]["recall_at_1"].value > 0.75
    assert report.lead["ridge"]["centred_cosine"].low > 0.05
    assert report.lead["ridge"]["recall_at_1"].low > 0.05
    assert report.lead["mean"]["centred_cosine"].low > 0.5
    assert report.scores["mean"]["centred_cosine"].value == 0
    assert abs(report.scores["mean"]["recall_at_1"].value - 1 / report.prompts) < 1e-6
    assert report.prompts == 16 and report.rows == 60


def test_report_reads_and_serialises(report: Report) -> None:
    table = str(report)
    assert "lead on ridge" in table and "recall@1 of 16 prompts" in table and "over 60 rows" in table
    value, low, high = report.as_dict()["scores"]["nearest neighbour"]["centred_cosine"]
    assert low <= value <= high


def test_progress_and_early_stopping(data: TrainingData, rows: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perception_clip.training.trainer.PATIENCE", 3)
    seen: list[Epoch] = []
    fit(data, rows, epochs=200, learning_rate=1e-2, progress=seen.append)
    assert [epoch.number for epoch in seen] == list(range(1, len(seen) + 1))
    assert len(seen) < 200
    assert seen[-1].best == max(epoch.validation for epoch in seen)
    assert all(epoch.validation < seen[-1].best for epoch in seen[-3:])
    assert seen[0].loss > seen[-1].loss


def test_the_best_epoch_is_kept(data: TrainingData, rows: Split) -> None:
    seen: list[Epoch] = []
    checkpoint = fit(data, rows, epochs=5, learning_rate=0.05, progress=seen.append)
    predicted = checkpoint.project(data.vectors[rows.validation], data.image_sizes[rows.validation])
    centre = data.targets[rows.train].mean(dim=0)
    cosine = torch.cosine_similarity(predicted - centre, data.targets[rows.validation] - centre).mean()
    assert abs(float(cosine) - seen[-1].best) < 1e-4


def test_same_seed_same_weights(data: TrainingData, rows: Split) -> None:
    first, second, other = (fit(data, rows, epochs=2, seed=seed) for seed in (3, 3, 4))
    weights = [checkpoint.network.enter.weight for checkpoint in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_neutral_is_where_neutral_faces_project_to(data: TrainingData, rows: Split) -> None:
    emotions = torch.full((ROWS, 7), 0.02)
    emotions[torch.arange(ROWS), torch.arange(ROWS) % 7] = 0.88
    vectors = torch.cat([data.vectors[:, :1434], emotions], dim=1)
    checkpoint = fit(TrainingData(vectors, data.image_sizes, data.targets), rows, epochs=1)
    chosen = rows.train[emotions[rows.train, EMOTIONS.index("neutral")] > 0.5]
    expected = checkpoint.project(vectors[chosen], data.image_sizes[chosen]).mean(dim=0)
    assert torch.allclose(checkpoint.neutral, expected, atol=1e-4)


def test_divergence_is_reported(data: TrainingData, rows: Split) -> None:
    with pytest.raises(ValueError, match="the loss became .* in epoch 1; lower the learning rate"):
        fit(data, rows, learning_rate=1e30)


def test_three_samples_are_enough_to_run(data: TrainingData) -> None:
    few = TrainingData(data.vectors[:3], data.image_sizes[:3], data.targets[:3])
    checkpoint = fit(few, split_rows(None, 3), epochs=2)
    assert checkpoint.project(few.vectors, few.image_sizes).isfinite().all()
