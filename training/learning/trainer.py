"""Train the projection network, from its first weights on: one page, top to bottom."""

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
from .cores import share_rows
from .data import CHUNK, Table, TrainingData, make_table, sample
from .run import Epoch, Run, validate
from .settings import SIZES, Settings
from .split import Split
from .state import StateFile

SMALLEST = 1e-6

WARM_UP = 0.02  # share of the steps in which the learning rate rises
LONGEST_STEP = 1.0  # norm of a gradient that is not shortened
VALIDATED = 20_000  # validation rows at most
SAVE_EVERY = 10.0  # seconds


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
    features = FaceFeatures.fit(data.vectors[some], data.image_sizes[some], template)
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


@dataclass(frozen=True)
class Trained:
    """A network as it was at its best on the validation rows, on the CPU."""

    network: ProjectionNetwork
    history: list[Epoch]
    finished: bool  # False: `stop` asked for the end, and a state is left to resume from


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
    """Fit a projection to the training rows, and return it as it was at its best on the validation rows.

    It starts from random weights, or from those of `init`. With `state` the run is saved now and then; with `resume` it
    goes on from there, to the same weights as without a break (on one processor, bit by bit). `progress` is called
    after each epoch, `stop` after each step: if it says True, the state is saved and training ends. Either may raise,
    which ends training at once.

    Raises ValueError, naming the batch's rows, if the loss stops being finite.
    """
    device, batch_size = torch.device(settings.device), settings.batch_for(len(rows.train))
    steps = -(-len(rows.train) // batch_size)  # of an epoch
    last = steps * settings.epochs
    saved = state.read() if state is not None and resume else None
    network = new_network(data, rows, template, settings, init).to(device)
    if saved is not None:
        network.load_state_dict(saved["network"])  # before the table: its features are made with it
    table = make_table(network, data, rows.train)
    held = make_table(network, data, sample(rows.validation, VALIDATED))
    run = Run(network)
    if saved is None:
        run.keep_if_best(validate(run.averaged, held))
    else:
        run.load_state_dict(saved)

    order = _order(len(table), settings.seed, run.done // steps).to(device)
    while run.done < last and run.epoch - run.best_epoch < settings.patience:
        epoch, step = divmod(run.done, steps)
        batch = order[step * batch_size : (step + 1) * batch_size]
        loss = _gradients(run, table, batch)
        nn.utils.clip_grad_norm_(run.parameters, LONGEST_STEP)
        rate = settings.rate_for(batch_size) * _schedule(run.done, last)
        run.step(rate, loss)
        if step == steps - 1:
            _check(run, table, order, batch_size)
            made = run.end_epoch(validate(run.averaged, held), rate)
            order = _order(len(table), settings.seed, epoch + 1).to(device)
            if progress is not None:
                progress(made)
        asked = stop is not None and stop()
        if state is not None and (asked or run.unsaved > SAVE_EVERY):
            state.write(run.state_dict())
        if asked:
            return Trained(run.best_network(), run.history, finished=False)
    return Trained(run.best_network(), run.history, finished=True)


def _gradients(run: Run, table: Table, batch: Tensor) -> Tensor:
    """Leave the gradients of the batch's mean loss in the parameters, and return that loss ()."""

    def part(rows: Tensor) -> list[Tensor]:
        """The loss of some rows of the batch, and its gradients."""
        predicted = run.network.standardised(table.features_of(rows))
        loss = losses(predicted, table.targets_of(rows)).sum() / len(batch)
        return [loss.detach(), *torch.autograd.grad(loss, run.parameters)]

    found, *others = share_rows(part, batch, batch.device.type)
    for more in others:
        for total, term in zip(found, more, strict=True):
            total += term
    loss, *gradients = found
    for parameter, gradient in zip(run.parameters, gradients, strict=True):
        parameter.grad = gradient
    return loss


def losses(predicted: Tensor, own: Tensor) -> Tensor:
    """The loss of each row (B,): its mean squared error, in standardised units. More did not pay (ablation.md)."""
    return (predicted - own).square().mean(dim=1)


def _check(run: Run, table: Table, order: Tensor, batch_size: int) -> None:
    """Raise ValueError if the loss was not finite in a step of this epoch. It waits for the device."""
    step = int(run.first_bad)
    if step >= 0:
        bad = table.rows[order.cpu()[step * batch_size : (step + 1) * batch_size]].tolist()
        raise InputError(
            f"the loss stopped being finite in epoch {run.epoch + 1}, in the batch of the rows "
            f"{', '.join(map(str, bad))} (counted from 0); lower the learning rate (--lr), or look at these rows"
        )


def _order(count: int, seed: int, epoch: int) -> Tensor:
    """The rows (count,) in this epoch's order: it depends on nothing else, so a resumed run has the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, epoch)))


def _schedule(step: int, last: int) -> float:
    """The learning rate at a step, as a share of the highest: a warm-up, then half a cosine down to 0."""
    warm_up = max(1, round(WARM_UP * last))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, last - warm_up))
