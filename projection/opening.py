"""Open a projection file of any origin, a checkpoint of this pack or of another script: start here."""

from __future__ import annotations

from pathlib import Path

from .checkpoint import Checkpoint, assembled
from .checkpoint_file import read
from .foreign import ForeignCheckpoint, rebuild

Projection = Checkpoint | ForeignCheckpoint


def open_projection(path: Path) -> Projection:
    """Return a checkpoint of this pack, or a network rebuilt from a bare state_dict, on the CPU.

    No code in the file is ever run. Raises CheckpointError with the file name and the remedy if the file is neither.
    """
    content = read(path)
    if content.description is None:
        return rebuild(path, content.tensors)
    return assembled(path, content)
