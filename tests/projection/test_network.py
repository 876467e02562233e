from __future__ import annotations

import copy

import pytest
import torch

from perception_clip.projection.checkpoint import Checkpoint
from perception_clip.projection.network import Architecture, ProjectionNetwork


def test_shape_and_batching(checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor) -> None:
    together = checkpoint.network(vectors, image_sizes)
    assert together.shape == (40, 768) and together.dtype == torch.float32
    alone = torch.cat([checkpoint.network(vectors[i : i + 1], image_sizes[i : i + 1]) for i in range(40)])
    assert torch.allclose(together, alone, atol=1e-3)


def test_a_new_network_predicts_the_mean_target(vectors: torch.Tensor, image_sizes: torch.Tensor) -> None:
    network = ProjectionNetwork(Architecture(components=10, width=16)).eval()
    network.target_mean.normal_()
    assert torch.equal(network(vectors, image_sizes), network.target_mean.expand(40, -1))


@pytest.mark.parametrize("change", [{"depth": 10**9}, {"width": 0}, {"components": "many"}, {"output": -1}])
def test_absurd_architectures_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"architecture's {next(iter(change))}"):
        Architecture(**{"components": 10, **change})


def test_other_targets_change_no_prediction(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    network = copy.deepcopy(checkpoint.network)
    mean = torch.randn(768)
    network.restandardize(mean, torch.tensor(0.3))
    expected = checkpoint.network(vectors, image_sizes)
    assert torch.allclose(network(vectors, image_sizes), expected, atol=1e-3)
    standardized = network.standardized(network.features(vectors, image_sizes))
    assert torch.allclose(standardized, (expected - mean) / 0.3, atol=1e-2)
