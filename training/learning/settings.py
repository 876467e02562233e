"""The knobs of a training run, and the sizes of network that it can make."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...projection.spaces import SD15

BASE_BATCH = 32  # rows that a learning rate is meant for
BATCHES = (32, 256)  # rows: the smallest and the largest batch that is chosen without being asked for
STEPS = 8  # that an epoch should have at least
STARTER_SAMPLES = 6000  # faces that are sampled for someone without data
STARTER_EPOCHS = 40  # they come from a linear model: more would add next to nothing


@dataclass(frozen=True)
class Size:
    """A network's size."""

    width: int
    depth: int  # residual blocks


SIZES = {"small": Size(128, 2), "base": Size(256, 2), "large": Size(512, 4)}


@dataclass(frozen=True)
class Settings:
    """The knobs of a training run."""

    epochs: int = 100
    batch_size: int | None = None  # None: chosen by the number of samples
    learning_rate: float = 2e-3  # for a batch of BASE_BATCH rows; see `rate_for`
    size: str = "base"  # one of SIZES
    seed: int = 0
    device: str = "cpu"
    val_split: float = 0.2  # share of the groups held out: half of them choose when to stop, half judge the result
    patience: int = 20  # epochs without a better validation before training stops
    space: str = SD15.name  # one of SPACES: whose text space to project into

    def rate_for(self, batch_size: int) -> float:
        """The highest learning rate: it grows with the square root of the batch.

        (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms".)
        """
        return self.learning_rate * math.sqrt(batch_size / BASE_BATCH)

    def batch_for(self, count: int) -> int:
        """The rows of a batch, in training on `count` of them, over all processes together."""
        if self.batch_size is not None:
            return self.batch_size
        smallest, largest = BATCHES
        batch = smallest
        while batch < largest and batch * 2 * STEPS <= count:
            batch *= 2
        return batch
