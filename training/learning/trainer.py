"""Train the projection network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...common import threads
from ...common.errors import InputError
from ...projection.features import MEASURED, FaceFeatures
from ...projection.network import Architecture, ProjectionNetwork
from ...projection.spaces import parts_of
from .data import CHUNK, Table, TrainingData, make_table, sample
from .run import Epoch, Run, validate
from .settings import SIZES, Settings
from .split import Split
from .state import StateFile

SMALLEST = 1e-6

WARM_UP = 0.02  # share of the steps in which the learning rate rises
LONGEST_STEP = 1.0  # maximum norm of a gradient
VALIDATED = 20_000  # maximum number of validation rows
SAVE_EVERY = 10.0  # seconds


def new_network(
    data: TrainingData, rows: Split, template: Tensor, settings: Settings, init: ProjectionNetwork | None
) -> ProjectionNetwork:
    """Return a new network that predicts the mean target, or the same as `init`; it is determined by the seed."""
    mean, scale = _targets(data, rows.train)
    if init is not None:
        network = copy.deepcopy(init)
        network.restandardize(mean, scale)
        return network
    some = sample(rows.train, MEASURED)
    features = FaceFeatures.fit(data.vectors[some], data.image_sizes[some], template)
    size = SIZES[settings.size]
    architecture = Architecture(features.shape_basis.shape[1], size.width, size.depth, data.targets.shape[1])
    with torch.random.fork_rng(devices=[]):  # its layers draw random weights on the CPU, which are replaced below
        network = ProjectionNetwork(architecture)
    _draw_weights(network, torch.Generator().manual_seed(settings.seed))
    network.features = features
    network.target_mean.copy_(mean)
    network.target_scale.copy_(scale)
    return network


@torch.no_grad()
def _draw_weights(network: ProjectionNetwork, generator: torch.Generator) -> None:
    """Set torch's usual random weights in all linear layers except the last, which stays zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and layer is not network.leave:
            most = layer.in_features**-0.5
            layer.weight.uniform_(-most, most, generator=generator)
            layer.bias.uniform_(-most, most, generator=generator)


def _targets(data: TrainingData, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (W,) and the scale (W,) of the training targets.

    The scale is, for each part from one encoder (Space.parts), the root mean square after the mean is subtracted.
    """
    counts = data.target_index[rows].bincount(minlength=len(data.first_row)).double()  # (P,)
    present = counts.nonzero()[:, 0]
    total, squares = torch.zeros(2, data.targets.shape[1], dtype=torch.float64)
    for part in present.split(CHUNK):
        targets = data.unique_targets(part).double()
        total += counts[part] @ targets
        squares += counts[part] @ targets.square()
    mean = total / len(rows)
    variance = squares / len(rows) - mean.square()  # (W,)
    parts = variance.split(parts_of(len(variance)))
    scale = torch.cat([part.mean().clamp_min(0).sqrt().clamp_min(SMALLEST).expand(len(part)) for part in parts])
    return mean.float(), scale.float()


def seed_of(*numbers: int) -> int:
    """Return one seed derived from several numbers."""
    import numpy as np

    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Trained:
    """A network with its best weights on the validation rows, on the CPU."""

    network: ProjectionNetwork
    history: list[Epoch]
    finished: bool  # False: `stop` ended the training, and a state is kept to resume from


@threads.single
def train(
    data: TrainingData,
    rows: Split,
    template: Tensor,
    settings: Settings,
    *,
    init: ProjectionNetwork | None = None,
    state: StateFile | None = None,
    resume: bool = False,
    progress: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Trained:
    """Return a projection fitted to the training rows, with its best weights on the validation rows.

    Training starts from random weights or from those of `init`. With `state`, the run is saved regularly; with `resume`
    it continues from there and reaches the same weights as without an interruption (bit for bit on one processor).
    `progress` is called after each epoch and `stop` after each step: if `stop` returns True, the state is saved and
    training ends. An exception from either ends training immediately.

    Raises ValueError with the rows of the batch if the loss is no longer finite.
    """
    device, batch_size = torch.device(settings.device), settings.batch_for(len(rows.train))
    steps = -(-len(rows.train) // batch_size)  # per epoch
    last = steps * settings.epochs
    saved = state.read() if state is not None and resume else None
    network = new_network(data, rows, template, settings, init).to(device)
    if saved is not None:
        network.load_state_dict(saved["network"])  # before the table, whose features are computed with it
    table = make_table(network, data, rows.train)
    validation = make_table(network, data, sample(rows.validation, VALIDATED))
    run = Run(network)
    if saved is None:
        run.keep_if_best(validate(run.averaged, validation))
    else:
        run.load_state_dict(saved)

    patience = settings.patience_for(len(rows.train))
    order = _order(len(table), settings.seed, run.done // steps).to(device)
    while run.done < last and run.epoch - run.best_epoch < patience:
        epoch, step = divmod(run.done, steps)
        batch = order[step * batch_size : (step + 1) * batch_size]
        loss = losses(network.standardized(table.features_of(batch)), table.targets_of(batch)).mean()
        run.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(run.parameters, LONGEST_STEP)
        rate = settings.rate_for(batch_size) * _schedule(run.done, last)
        run.step(rate, loss.detach())
        if step == steps - 1:
            _check(run, table, order, batch_size)
            result = run.end_epoch(validate(run.averaged, validation), rate)
            order = _order(len(table), settings.seed, epoch + 1).to(device)
            if progress is not None:
                progress(result)
        stopping = stop is not None and stop()
        if state is not None and (stopping or run.unsaved > SAVE_EVERY):
            state.write(run.state_dict())
        if stopping:
            return Trained(run.best_network(), run.history, finished=False)
    return Trained(run.best_network(), run.history, finished=True)


def losses(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of each row (B,), in standardized units; other terms did not help (ablation.md)."""
    return (predicted - targets).square().mean(dim=1)


def _check(run: Run, table: Table, order: Tensor, batch_size: int) -> None:
    """Raise ValueError if the loss was not finite in a step of this epoch. This waits for the device."""
    step = int(run.first_bad)
    if step >= 0:
        bad = table.rows[order.cpu()[step * batch_size : (step + 1) * batch_size]].tolist()
        raise InputError(
            f"the loss is no longer finite in epoch {run.epoch + 1}, in the batch of the rows "
            f"{', '.join(map(str, bad))} (counted from 0); lower the learning rate (--lr) or check these rows"
        )


def _order(count: int, seed: int, epoch: int) -> Tensor:
    """Return the row order (count,) of an epoch; it depends only on the arguments, so a resumed run has the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, epoch)))


def _schedule(step: int, last: int) -> float:
    """Return the learning rate at a step, as a share of the maximum: a warm-up, then a half cosine down to 0."""
    warm_up = max(1, round(WARM_UP * last))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, last - warm_up))
