"""The state of a training run: the network, its moving average, the optimizer, and the best weights so far."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ...projection.network import ProjectionNetwork
from .data import CHUNK, Table, centered_cosine

WEIGHT_DECAY = 0.01
AVERAGING = 0.99  # weight of the previous average at each step …
AVERAGED_FROM = 9  # … but less in the first steps, so that the initial weights fade quickly
COUNTERS = ("done", "steps", "epoch", "best_score", "best_epoch")  # in the state of a run


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch."""

    number: int  # from 1
    loss: float  # mean over the rows of the epoch
    validation: dict[str, float]  # "centered_cosine" and "recall_at_1" on the validation rows
    best: bool  # whether it is the best so far
    learning_rate: float  # at the end of the epoch
    seconds: float  # training time so far


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch whose weights were kept: the last one that was the best so far, or None."""
    return next((epoch for epoch in reversed(history) if epoch.best), None)


class Run:
    """The changing state of training. The moving average of the weights is validated and kept."""

    def __init__(self, network: ProjectionNetwork) -> None:
        self.network = network.train()
        self.average = AveragedModel(network, avg_fn=self._updated)
        self.average.train(False)
        self.average.n_averaged.fill_(1)  # the initial network
        self.parameters: list[Tensor] = list(network.parameters())
        device = self.parameters[0].device
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, weight_decay=WEIGHT_DECAY, fused=device.type in ("cpu", "cuda")
        )
        self.done = 0  # steps in all epochs
        self.total = torch.zeros((), device=device)  # total loss of the steps in this epoch
        self.first_bad = torch.tensor(-1, device=device)  # first step of this epoch with a non-finite loss
        self.steps = 0  # in this epoch
        self.epoch = 0  # number of finished epochs
        self.history: list[Epoch] = []
        self.best = copy.deepcopy(self.averaged.state_dict())
        self.best_score, self.best_epoch = -torch.inf, 0
        self._started = self._saved = time.monotonic()
        self._seconds_before = 0.0

    def step(self, rate: float, loss: Tensor) -> None:
        """Take one step along the gradients stored in the parameters. Nothing here waits for the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.total += loss
        bad = ~loss.isfinite() & (self.first_bad < 0)
        self.first_bad = torch.where(bad, self.steps, self.first_bad)
        self.steps += 1
        self.done += 1

    def keep_if_best(self, validation: dict[str, float]) -> bool:
        """Keep the average if its validation is the best so far; return whether it is."""
        better = sum(validation.values()) > self.best_score
        if better:
            self.best_score, self.best_epoch = sum(validation.values()), self.epoch
            self.best = copy.deepcopy(self.averaged.state_dict())
        return better

    def end_epoch(self, validation: dict[str, float], rate: float) -> Epoch:
        """Return the results of an epoch after its last step, and start the next."""
        loss, self.steps = float(self.total) / self.steps, 0
        self.total.zero_()
        self.epoch += 1
        better = self.keep_if_best(validation)
        self.history.append(Epoch(self.epoch, loss, validation, better, rate, self.seconds))
        return self.history[-1]

    def _updated(self, average: Tensor, weight: Tensor, _: Tensor | int) -> Tensor:
        """Return a weight's moving average after this step.

        The steps are counted here: torch's count is on the weight's device, and reading it would wait for that.
        """
        kept = min(AVERAGING, (self.done + 1) / (self.done + 1 + AVERAGED_FROM))
        return average.lerp(weight, 1 - kept)

    @property
    def averaged(self) -> ProjectionNetwork:
        """Return the network with the moving average of the weights."""
        return cast(ProjectionNetwork, self.average.module)

    @property
    def seconds(self) -> float:
        """Return the duration of the run in seconds, without interruptions."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def unsaved(self) -> float:
        """Return the seconds since the state was last requested."""
        return time.monotonic() - self._saved

    def state_dict(self) -> dict[str, Any]:
        self._saved = time.monotonic()
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": [asdict(epoch) for epoch in self.history],
            "total": self.total,
            "first_bad": self.first_bad,
            "seconds": self.seconds,
            **{name: getattr(self, name) for name in COUNTERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = {name: value.to(self.total.device) for name, value in state["best"].items()}
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.total.copy_(state["total"])
        self.first_bad = state["first_bad"].to(self.total.device)
        self._seconds_before = state["seconds"]
        for name in COUNTERS:
            setattr(self, name, state[name])

    def best_network(self) -> ProjectionNetwork:
        """Return the network with its best weights, on the CPU."""
        self.averaged.load_state_dict(self.best)
        return self.averaged.cpu()


@torch.no_grad()
def validate(network: ProjectionNetwork, table: Table) -> dict[str, float]:
    """Return the mean-centered cosine and recall@1 on the rows of a table; the center is the mean training target."""
    present, own = table.target_index.unique(return_inverse=True)
    directions = torch.nn.functional.normalize(table.distinct(present), dim=1)  # (P, 768)
    cosines, hits = torch.zeros(2, device=table.device)
    for rows in torch.arange(len(table), device=table.device).split(CHUNK):
        predicted = network.standardized(table.features_of(rows))  # (n, 768)
        cosines += centered_cosine(predicted, table.targets_of(rows), torch.zeros_like(predicted[0])).sum()
        hits += ((predicted @ directions.T).argmax(dim=1) == own[rows]).sum()
    return {"centered_cosine": float(cosines) / len(table), "recall_at_1": float(hits) / len(table)}
