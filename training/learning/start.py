"""The network that training starts from."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...projection.features import MEASURED, FaceFeatures
from ...projection.network import Architecture, ProjectionNetwork
from ...projection.spaces import parts_of
from .data import CHUNK, TrainingData, sample
from .settings import SIZES, Settings
from .split import Split

SMALLEST = 1e-6


def new_network(
    data: TrainingData, rows: Split, template: Tensor, settings: Settings, init: ProjectionNetwork | None
) -> ProjectionNetwork:
    """A network that predicts the mean target, or what `init` does; the same for the same seed."""
    mean, scale = _targets(data, rows.train)
    if init is not None:
        network = copy.deepcopy(init)
        network.restandardise(mean, scale)
        return network
    some = sample(rows.train, MEASURED)
    features = FaceFeatures.fit(data.pick(data.vectors, some), data.image_sizes[some], template)
    size = SIZES[settings.size]
    architecture = Architecture(features.shape_basis.shape[1], size.width, size.depth, data.targets.shape[1])
    with torch.random.fork_rng(devices=[]):  # its layers draw, on the CPU, weights that are replaced below
        network = ProjectionNetwork(architecture)
    _draw_weights(network, torch.Generator().manual_seed(settings.seed))
    network.features = features
    network.target_mean.copy_(mean)
    network.target_scale.copy_(scale)
    return network


@torch.no_grad()
def _draw_weights(network: ProjectionNetwork, generator: torch.Generator) -> None:
    """Give linear layers torch's usual random weights, but for the last, which stays zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and layer is not network.leave:
            most = layer.in_features**-0.5
            layer.weight.uniform_(-most, most, generator=generator)
            layer.bias.uniform_(-most, most, generator=generator)


def _targets(data: TrainingData, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The training targets' mean (W,) and scale (W,): for each part that an encoder made (Space.parts), the root mean
    square of what is left without the mean.
    """
    counts = data.member[rows].bincount(minlength=len(data.first)).double()  # (P,)
    present = counts.nonzero()[:, 0]
    total, squares = torch.zeros(2, data.targets.shape[1], dtype=torch.float64)
    for part in present.split(CHUNK):
        targets = data.candidates(part).double()
        total += counts[part] @ targets
        squares += counts[part] @ targets.square()
    mean = total / len(rows)
    variance = squares / len(rows) - mean.square()  # (W,)
    parts = variance.split(parts_of(len(variance)))
    scale = torch.cat([part.mean().clamp_min(0).sqrt().clamp_min(SMALLEST).expand(len(part)) for part in parts])
    return mean.float(), scale.float()


def seed_of(*numbers: int) -> int:
    """One seed for several numbers."""
    import numpy as np

    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
