from __future__ import annotations

import copy

import pytest
import torch

from perception_clip.projection.network import Architecture, ProjectionNetwork
from perception_clip.training.learning.data import TrainingData, make_table
from perception_clip.training.learning.run import Run, validate
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split
from perception_clip.training.learning.trainer import train


@pytest.fixture
def run() -> Run:
    torch.manual_seed(0)
    return Run(ProjectionNetwork(Architecture(components=5, width=8, depth=1, output=6)))


def step(run: Run, loss: float = 2.0, rate: float = 0.1) -> None:
    """A step along gradients of one."""
    for parameter in run.parameters:
        parameter.grad = torch.ones_like(parameter)
    run.step(rate, torch.tensor(loss))


def test_the_average_follows_the_weights(run: Run) -> None:
    weight = run.network.leave.weight
    expected = weight.detach().clone()
    for number in range(30):
        step(run)
        kept = min(0.99, (number + 1) / (number + 10))
        expected = kept * expected + (1 - kept) * weight.detach()
        assert torch.allclose(run.averaged.leave.weight, expected, atol=1e-6)
    assert not torch.allclose(run.averaged.leave.weight, weight)


def test_the_best_is_kept(run: Run) -> None:
    for score in (0.1, 0.7, 0.3):
        step(run)
        run.end_epoch({"centered_cosine": score, "recall_at_1": 0.0}, 0.1)
        if score == 0.7:
            best = copy.deepcopy(run.averaged.state_dict())
    assert [epoch.best for epoch in run.history] == [True, True, False] and run.best_epoch == 2
    assert not torch.equal(run.averaged.leave.weight, best["leave.weight"])
    network = run.best_network()
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in best.items())


def test_validation_is_the_mean_over_the_rows(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    network = train(data, rows, template, Settings(epochs=3, size="small")).network.eval()
    found = validate(network, make_table(network, data, rows.validation))
    with torch.no_grad():
        predicted = network(data.vectors[rows.validation], data.image_sizes[rows.validation])
    targets, center = data.targets[rows.validation], data.targets[rows.train].mean(dim=0)
    cosine = torch.cosine_similarity(predicted - center, targets - center, dim=1)
    assert found["centered_cosine"] == pytest.approx(float(cosine.mean()), abs=1e-4)
    directions = torch.nn.functional.normalize(data.targets[data.first_row] - center, dim=1)
    nearest = ((predicted - center) @ directions.T).argmax(dim=1)
    hits = (nearest == data.target_index[rows.validation]).float().mean()
    assert found["recall_at_1"] == pytest.approx(float(hits), abs=1e-6) and 0.3 < float(hits) < 1
