"""Curves for TensorBoard, where it is installed: `tensorboard --logdir <folder>`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from .learning.run import Epoch

FOLDER = "tensorboard"


@contextmanager
def tensorboard_log(folder: Path, wanted: bool = True) -> Iterator[Callable[[Epoch], None]]:
    """A function that logs an epoch below `folder`; it does nothing if not wanted, or without TensorBoard."""
    if not wanted or find_spec("tensorboard") is None:
        yield lambda epoch: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / FOLDER / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")))

    def log(epoch: Epoch) -> None:
        writer.add_scalar("loss/train", epoch.loss, epoch.number)
        for name, value in epoch.validation.items():
            writer.add_scalar(f"validation/{name}", value, epoch.number)
        writer.add_scalar("learning_rate", epoch.learning_rate, epoch.number)

    try:
        yield log
    finally:
        writer.close()
