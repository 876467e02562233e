"""A projection from a file, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

from .checkpoint import Checkpoint, assembled
from .checkpoint_file import read
from .foreign import ForeignCheckpoint, rebuild

Projection = Checkpoint | ForeignCheckpoint


def open_projection(path: Path) -> Projection:
    """A checkpoint of this pack, or a network rebuilt from a bare state_dict, on the CPU.

    No code in the file is ever run. Raises CheckpointError, naming the file and the remedy, for one that is neither.
    """
    content = read(path)
    if content.description is None:
        return rebuild(path, content.tensors)
    return assembled(path, content)
