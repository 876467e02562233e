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


def test_a_step_moves_the_weights_and_counts(run: Run) -> None:
    before = [parameter.detach().clone() for parameter in run.parameters]
    step(run)
    for old, new in zip(before, run.parameters, strict=True):
        assert torch.allclose(new, old * (1 - 0.1 * 0.01) - 0.1, atol=1e-5)  # AdamW's first step is the rate
    assert (run.done, run.steps, float(run.total)) == (1, 1, 2.0)
    epoch = run.end_epoch({"centered_cosine": 0.5, "recall_at_1": 0.25}, 0.1)
    assert (epoch.number, epoch.loss, epoch.best, epoch.learning_rate) == (1, 2.0, True, 0.1)
    assert (run.done, run.steps, run.epoch, float(run.total)) == (1, 0, 1, 0.0)


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


def test_its_state_goes_on_elsewhere(run: Run) -> None:
    for loss in (1.0, 3.0):
        step(run, loss)
    state = copy.deepcopy(run.state_dict())
    other = Run(ProjectionNetwork(Architecture(components=5, width=8, depth=1, output=6)))
    other.load_state_dict({**state, "seconds": 100.0})
    assert 100 < other.seconds < 160 and other.unsaved < 60  # the time of earlier runs counts
    for each in (run, other):
        step(each, 5.0)
    assert all(torch.equal(a, b) for a, b in zip(run.parameters, other.parameters, strict=True))
    averages = run.averaged.state_dict(), other.averaged.state_dict()
    assert all(torch.equal(tensor, averages[1][name]) for name, tensor in averages[0].items())
    assert run.end_epoch({"centered_cosine": 0.0}, 0.1).loss == other.end_epoch({"centered_cosine": 0.0}, 0.1).loss == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_bad_step_is_remembered(run: Run, bad: float) -> None:
    for loss in (1.0, 1.0, bad, 1.0, float("nan")):
        assert int(run.first_bad) == (-1 if run.steps < 3 else 2)
        step(run, loss)
    assert int(run.first_bad) == 2


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
