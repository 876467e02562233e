"""The settings of a training run and the available network sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...projection.spaces import SD15

BASE_BATCH = 32  # batch size that a learning rate refers to
BATCHES = (32, 256)  # rows: the smallest and the largest batch size chosen automatically
STEPS = 8  # minimum number that an epoch should have
STARTER_SAMPLES = 12_000  # number of synthetic faces of a starter projection
LEAST_PATIENCE, PATIENT_ROWS = 4, 40_000  # epochs, and rows trained on, without improvement; see `patience_for`


@dataclass(frozen=True)
class Size:
    """The size of a network."""

    width: int
    depth: int  # residual blocks


SIZES = {"small": Size(128, 2), "base": Size(256, 2), "large": Size(512, 4)}


@dataclass(frozen=True)
class Settings:
    """The settings of a training run."""

    epochs: int = 100
    batch_size: int | None = None  # None: chosen from the number of samples
    learning_rate: float = 2e-3  # for a batch of BASE_BATCH rows; see `rate_for`
    size: str = "base"  # one of SIZES
    seed: int = 0
    device: str = "cpu"
    val_split: float = 0.2  # share of the groups held out: half for early stopping, half for the evaluation
    patience: int | None = 20  # epochs without improvement before training stops; None: depends on the number of rows
    space: str = SD15.name  # one of SPACES: the text space to project into
    ignore_splits: bool = False  # split the groups at random, whatever the dataset says

    def rate_for(self, batch_size: int) -> float:
        """Return the maximum learning rate, which grows with the square root of the batch size.

        (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms".)
        """
        return self.learning_rate * math.sqrt(batch_size / BASE_BATCH)

    def batch_for(self, count: int) -> int:
        """Return the batch size for training on `count` rows."""
        if self.batch_size is not None:
            return self.batch_size
        smallest, largest = BATCHES
        batch = smallest
        while batch < largest and batch * 2 * STEPS <= count:
            batch *= 2
        return batch

    def patience_for(self, count: int) -> int:
        """Return the patience for training on `count` rows: by default, more epochs where these are short."""
        return max(LEAST_PATIENCE, round(PATIENT_ROWS / count)) if self.patience is None else self.patience


STARTER = Settings(epochs=40, patience=None)  # validation is usually best after 10 to 20, at the highest learning rates
