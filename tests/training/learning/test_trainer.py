from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from perception_clip.projection.checkpoint import Checkpoint, Metadata
from perception_clip.projection.spaces import SDXL
from perception_clip.training.evaluation.evaluation import evaluate
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.run import Epoch
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split, split_rows
from perception_clip.training.learning.state import StateFile
from perception_clip.training.learning.trainer import Trained, new_network, train

QUICK = Settings(epochs=5, size="small")
SDXL_PARTS = list(zip(SDXL.parts, (0.5, 10.0, 2.0), strict=True))  # widths, and spreads


def fit(data: TrainingData, rows: Split, template: torch.Tensor, settings: Settings = QUICK, **more: object) -> Trained:
    return train(data, rows, template, settings, **more)  # type: ignore[arg-type]


def weights(trained: Trained) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.network.state_dict().values()])


@pytest.fixture(scope="module")
def finished(data: TrainingData, rows: Split, template: torch.Tensor) -> Trained:
    return fit(data, rows, template, Settings(epochs=20, size="small"))


@pytest.fixture(scope="module")
def quick(data: TrainingData, rows: Split, template: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    state = StateFile(tmp_path_factory.mktemp("state") / "training.state", {"seed": 0})
    return fit(data, rows, template, state=state, resume=True)  # there is nothing to resume


def test_it_learns_what_simple_rules_cannot(finished: Trained, data: TrainingData, rows: Split) -> None:
    report = evaluate(Checkpoint(finished.network, Metadata(), torch.zeros(768), None), data, rows)
    assert report.scores["projection"]["recall_at_1"].value > 0.75
    assert report.lead["ridge"]["centered_cosine"].low > 0.05
    assert report.lead["ridge"]["recall_at_1"].low > 0.03
    assert report.lead["mean"]["centered_cosine"].low > 0.5
    assert report.scores["mean"]["centered_cosine"].value == 0


def test_progress_and_early_stopping(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    seen: list[Epoch] = []
    settings = Settings(epochs=200, size="small", patience=3, learning_rate=1e-2)
    trained = fit(data, rows, template, settings, progress=seen.append)
    assert seen == trained.history and trained.finished
    assert [epoch.number for epoch in seen] == list(range(1, len(seen) + 1)) and len(seen) < 200
    scores = [sum(epoch.validation.values()) for epoch in seen]
    best = max(epoch.number for epoch in seen if epoch.best)
    assert scores[best - 1] == max(scores) and len(seen) == best + 3
    assert seen[0].loss > seen[-1].loss and seen[0].seconds < seen[-1].seconds
    with torch.no_grad():  # the weights are those of the best epoch
        predicted = trained.network(data.vectors[rows.validation], data.image_sizes[rows.validation])
    center = data.targets[rows.train].mean(dim=0)
    cosine = torch.cosine_similarity(predicted - center, data.targets[rows.validation] - center).mean()
    assert float(cosine) == pytest.approx(seen[best - 1].validation["centered_cosine"], abs=1e-4)


def test_the_rate_rises_and_falls(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    settings = Settings(epochs=100, size="small", patience=100, batch_size=480)  # one step in an epoch
    rates = [epoch.learning_rate for epoch in fit(data, rows, template, settings).history]
    highest = 2e-3 * (480 / 32) ** 0.5
    assert rates[:2] == pytest.approx([highest / 2, highest])
    assert rates[1:] == sorted(rates[1:], reverse=True) and 0 < rates[-1] < highest / 100


def test_same_seed_same_weights(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    runs = [fit(data, rows, template, dataclasses.replace(QUICK, epochs=1, seed=seed)) for seed in (3, 3, 4)]
    assert torch.equal(weights(runs[0]), weights(runs[1])) and not torch.equal(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize(("size", "width", "depth"), [("small", 128, 2), ("large", 512, 4)])
def test_sizes(data: TrainingData, rows: Split, template: torch.Tensor, size: str, width: int, depth: int) -> None:
    architecture = fit(data, rows, template, Settings(epochs=1, size=size)).network.architecture
    assert (architecture.width, architecture.depth) == (width, depth)


@pytest.mark.parametrize("after", [7, 60])
def test_a_stopped_run_goes_on_to_the_same_weights(
    data: TrainingData, rows: Split, template: torch.Tensor, quick: Trained, tmp_path: Path, after: int
) -> None:
    state = StateFile(tmp_path / "training.state", {"seed": 0})
    left = iter(range(after - 1, -1, -1))
    stopped = fit(data, rows, template, state=state, stop=lambda: next(left) == 0)
    steps = 15  # of 32 rows, in an epoch
    assert not stopped.finished and len(stopped.history) == after // steps
    resumed = fit(data, rows, template, state=state, resume=True)
    assert torch.equal(weights(resumed), weights(quick))
    for old, new in zip(quick.history, resumed.history, strict=True):
        assert dataclasses.replace(old, seconds=0) == dataclasses.replace(new, seconds=0)


def test_continuing_from_a_network(finished: Trained, data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    kept = weights(finished).clone()
    gently = dataclasses.replace(QUICK, epochs=1, learning_rate=1e-5)
    second = fit(data, rows, template, gently, init=finished.network)
    assert torch.equal(weights(finished), kept)  # the network that it starts from is left alone
    best = [epoch for epoch in finished.history if epoch.best][-1].validation["recall_at_1"]
    assert abs(second.history[0].validation["recall_at_1"] - best) < 0.04
    fresh = fit(data, rows, template, gently)
    assert best > fresh.history[0].validation["recall_at_1"] + 0.05


def test_divergence_names_the_rows(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="finite in epoch 1, in the batch of the rows .* lower the learning") as error:
        fit(data, rows, template, dataclasses.replace(QUICK, learning_rate=1e30))
    named = str(error.value).split("rows ")[1].split(" (")[0].split(", ")
    assert len(named) == 32 and set(map(int, named)) <= set(rows.train.tolist())


def test_three_samples_are_enough_to_run(data: TrainingData, template: torch.Tensor) -> None:
    few = training_data(data.vectors[:3], data.image_sizes[:3], data.targets[:3])
    trained = fit(few, split_rows(None, 3), template, Settings(epochs=2, size="small"))
    assert trained.network(few.vectors, few.image_sizes).isfinite().all()


def test_constant_landmarks(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    vectors = torch.cat([data.vectors[:1, :1434].expand(len(data), -1), data.vectors[:, 1434:]], dim=1)
    trained = fit(dataclasses.replace(data, vectors=vectors), rows, template, Settings(epochs=1, size="small"))
    assert trained.network(vectors[:5], data.image_sizes[:5]).isfinite().all()


# --- where training starts ---------------------------------------------------------------------------------------


def test_it_starts_at_the_mean_target(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    network = new_network(data, rows, template, QUICK, None).eval()
    with torch.no_grad():
        predicted = network(data.vectors[:9], data.image_sizes[:9])
    assert torch.allclose(predicted, data.targets[rows.train].mean(dim=0).expand(9, -1), atol=1e-5)


def test_targets_are_standardized(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    network = new_network(data, rows, template, QUICK, None)
    targets = data.targets[rows.train]
    assert torch.allclose(network.target_mean, targets.mean(dim=0), atol=1e-5)
    scale = (targets - targets.mean(dim=0)).square().mean().sqrt()
    assert torch.allclose(network.target_scale, scale.expand(targets.shape[1]), rtol=1e-5)


def test_what_encoders_put_side_by_side_has_scales_of_its_own(
    data: TrainingData, rows: Split, template: torch.Tensor
) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(len(data.first_row), width, generator=generator) * spread for width, spread in SDXL_PARTS]
    wide = training_data(data.vectors, data.image_sizes, torch.cat(parts, dim=1)[data.target_index])
    scale = new_network(wide, rows, template, QUICK, None).target_scale
    for (width, spread), part in zip(SDXL_PARTS, scale.split(SDXL.parts), strict=True):
        assert len(part) == width and torch.equal(part, part[:1].expand(width))
        assert float(part[0]) == pytest.approx(spread, rel=0.15)


def test_equal_targets_have_a_scale(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    same = training_data(data.vectors, data.image_sizes, data.targets[:1].expand(len(data), -1).contiguous())
    network = new_network(same, rows, template, QUICK, None)
    assert (network.target_scale > 0).all() and all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_another_network_is_taken_over(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    init = new_network(data, rows, template, QUICK, None)
    kept = copy.deepcopy(init.state_dict())
    moved = training_data(data.vectors, data.image_sizes, data.targets * 3 - 1)
    network = new_network(moved, rows, template, Settings(size="large", seed=9), init)
    assert network is not init and all(torch.equal(kept[name], tensor) for name, tensor in init.state_dict().items())
    assert network.architecture == init.architecture
    with torch.no_grad():
        before, after = (each.eval()(data.vectors[:9], data.image_sizes[:9]) for each in (init, network))
    assert torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(network.target_mean, moved.targets[rows.train].mean(dim=0), atol=1e-4)
