"""Train the projection network: one page, top to bottom."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..perception.vector import NEUTRAL, split
from ..projection.checkpoint import Checkpoint, Metadata
from ..projection.features import ExpressionFeatures
from ..projection.network import Architecture, ProjectionNetwork
from .judging import centred_cosine
from .ridge import best_ridge
from .split import Split

PATIENCE = 20  # epochs without a better validation cosine before training stops
WARM_UP = 0.05  # share of the steps in which the learning rate rises
WEIGHT_DECAY = 0.01
SMALL_BATCH = 256
NEUTRAL_FACES = 0.5  # faces at least this probably neutral make the neutral vector


@dataclass(frozen=True)
class TrainingData:
    """A dataset as tensors."""

    vectors: Tensor  # (N, 1441) float32
    image_sizes: Tensor  # (N, 2) int32: height, width
    targets: Tensor  # (N, 768) float32


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to, as the progress callback sees it."""

    number: int  # from 1
    loss: float  # mean over the epoch's batches
    validation: float  # mean-centred cosine on the validation rows
    best: float  # the best of those so far


def train(
    data: TrainingData,
    rows: Split,
    template: Tensor,
    metadata: Metadata,
    fingerprint: Tensor | None,
    *,
    epochs: int = 100,
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Callable[[Epoch], None] | None = None,
) -> Checkpoint:
    """Fit a projection to the training rows and return it as it was at its best on the validation rows.

    The linear part starts as the ridge regression of the targets, so that the network can only add to it; the
    loss is the squared error of the standardised targets plus one minus the mean-centred cosine. `progress`
    is called after each epoch, and may raise to stop. Raises ValueError if the loss stops being finite.
    """
    torch.manual_seed(seed)
    vectors, sizes, targets = data.vectors[rows.train], data.image_sizes[rows.train], data.targets[rows.train]
    features = ExpressionFeatures.fit(vectors, sizes, template)
    network = ProjectionNetwork(Architecture(components=features.shape_basis.shape[1], output=targets.shape[1]))
    network.features = features
    network.target_mean.copy_(targets.mean(dim=0))
    network.target_scale.copy_((targets - network.target_mean).square().mean().sqrt().clamp_min(1e-6))
    network.to(device)

    # Landmarks are not augmented, so the features of every row are computed once.
    def prepared(part: Tensor) -> tuple[Tensor, Tensor]:
        features = network.features(data.vectors[part].to(device), data.image_sizes[part].to(device))
        return features, (data.targets[part].to(device) - network.target_mean) / network.target_scale

    (x, y), (held_x, held_y) = prepared(rows.train), prepared(rows.validation)
    weight, bias = best_ridge(x, y, held_x, held_y)
    with torch.no_grad():
        network.linear.weight.copy_(weight)
        network.linear.bias.copy_(bias)

    steps = -(-len(x) // batch_size) * epochs
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps + 1, pct_start=WARM_UP
    )
    with _threads_for(batch_size):
        best, best_state, best_epoch = _validate(network, held_x, held_y), _state(network), 0
        for epoch in range(1, epochs + 1):
            network.train()
            total = torch.zeros((), device=device)
            order = torch.randperm(len(x)).to(device)
            for batch in order.split(batch_size):
                loss = _loss(network.standardised(x[batch]), y[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(batch)
            mean_loss = float(total) / len(x)
            if not torch.isfinite(total):
                raise ValueError(f"the loss became {mean_loss} in epoch {epoch}; lower the learning rate (--lr)")
            validation = _validate(network, held_x, held_y)
            if validation > best:
                best, best_state, best_epoch = validation, _state(network), epoch
            if progress is not None:
                progress(Epoch(epoch, mean_loss, validation, best))
            if epoch - best_epoch >= PATIENCE:
                break

    network.load_state_dict(best_state)
    network.eval().cpu()
    neutral = _neutral(network, vectors, sizes)
    return Checkpoint(network=network, metadata=metadata, neutral=neutral, fingerprint=fingerprint)


@contextmanager
def _threads_for(batch_size: int) -> Iterator[None]:
    """One thread for small batches: on a processor, more would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if batch_size <= SMALL_BATCH else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loss(predicted: Tensor, targets: Tensor) -> Tensor:
    cosine = nn.functional.cosine_similarity(predicted, targets, dim=1).mean()
    return nn.functional.mse_loss(predicted, targets) + 1 - cosine


@torch.no_grad()
def _validate(network: ProjectionNetwork, x: Tensor, y: Tensor) -> float:
    """Mean-centred cosine of standardised predictions and targets."""
    network.eval()
    return float(centred_cosine(network.standardised(x), y, torch.zeros_like(y[0])).mean())


def _state(network: ProjectionNetwork) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


@torch.no_grad()
def _neutral(network: ProjectionNetwork, vectors: Tensor, image_sizes: Tensor) -> Tensor:
    """Where neutral faces project to: the mean over the probably neutral ones, else over the most neutral."""
    probability = split(vectors)[1][:, NEUTRAL]
    chosen = probability >= min(NEUTRAL_FACES, float(probability.max()))
    neutral: Tensor = network(vectors[chosen], image_sizes[chosen]).mean(dim=0)
    return neutral
