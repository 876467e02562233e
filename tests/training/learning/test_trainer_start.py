from __future__ import annotations

import copy

import pytest
import torch

from perception_clip.projection.spaces import SDXL
from perception_clip.training.learning import trainer
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split
from perception_clip.training.learning.trainer import new_network, seed_of

SMALL = Settings(size="small")
SDXL_PARTS = list(zip(SDXL.parts, (0.5, 10.0, 2.0), strict=True))  # widths, and spreads


def test_it_starts_at_the_mean_target(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    network = new_network(data, rows, template, SMALL, None).eval()
    with torch.no_grad():
        predicted = network(data.vectors[:9], data.image_sizes[:9])
    assert torch.allclose(predicted, data.targets[rows.train].mean(dim=0).expand(9, -1), atol=1e-5)


def test_targets_are_standardized(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    network = new_network(data, rows, template, SMALL, None)
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
    scale = new_network(wide, rows, template, SMALL, None).target_scale
    for (width, spread), part in zip(SDXL_PARTS, scale.split(SDXL.parts), strict=True):
        assert len(part) == width and torch.equal(part, part[:1].expand(width))
        assert float(part[0]) == pytest.approx(spread, rel=0.15)


def test_equal_targets_have_a_scale(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    same = training_data(data.vectors, data.image_sizes, data.targets[:1].expand(len(data), -1).contiguous())
    network = new_network(same, rows, template, SMALL, None)
    assert (network.target_scale > 0).all() and all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_the_seed_decides(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    first, same, other = (new_network(data, rows, template, Settings(size="small", seed=s), None) for s in (3, 3, 4))
    assert torch.equal(first.enter.weight, same.enter.weight)
    assert not torch.equal(first.enter.weight, other.enter.weight)


def test_features_are_measured_on_some_rows(
    data: TrainingData, rows: Split, template: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "MEASURED", 90)
    network = new_network(data, rows, template, SMALL, None)
    assert network.features.count - 10 <= 90


def test_another_network_is_taken_over(data: TrainingData, rows: Split, template: torch.Tensor) -> None:
    init = new_network(data, rows, template, SMALL, None)
    kept = copy.deepcopy(init.state_dict())
    moved = training_data(data.vectors, data.image_sizes, data.targets * 3 - 1)
    network = new_network(moved, rows, template, Settings(size="large", seed=9), init)
    assert network is not init and all(torch.equal(kept[name], tensor) for name, tensor in init.state_dict().items())
    assert network.architecture == init.architecture
    with torch.no_grad():
        before, after = (each.eval()(data.vectors[:9], data.image_sizes[:9]) for each in (init, network))
    assert torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(network.target_mean, moved.targets[rows.train].mean(dim=0), atol=1e-4)


def test_seeds_of_several_numbers_differ() -> None:
    seeds = {seed_of(*numbers) for numbers in [(0, 0), (0, 1), (1, 0), (1, 1), (2,), (0, 0, 1), (12345678901,)]}
    assert len(seeds) == 7 and all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(5, 6) == seed_of(5, 6)
