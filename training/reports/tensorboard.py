"""Curves for TensorBoard, where it is installed: `tensorboard --logdir <folder>`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..learning.run import Epoch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


@contextmanager
def tensorboard_log(folder: Path, wanted: bool = True) -> Iterator[Callable[[Epoch], None]]:
    """A function that logs an epoch below `folder`; it does nothing if not wanted, or without TensorBoard."""
    writer_type = _summary_writer() if wanted else None
    if writer_type is None:
        yield lambda epoch: None
        return
    writer = writer_type(str(folder / FOLDER / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")))

    def log(epoch: Epoch) -> None:
        writer.add_scalar("loss/train", epoch.loss, epoch.number)
        for name, value in epoch.validation.items():
            writer.add_scalar(f"validation/{name}", value, epoch.number)
        writer.add_scalar("learning_rate", epoch.learning_rate, epoch.number)

    try:
        yield log
    finally:
        writer.close()


def _summary_writer() -> type[SummaryWriter] | None:
    """torch's writer of TensorBoard's files; None without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter
