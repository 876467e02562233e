"""The action basis: directions in which the landmarks move when a face does something.

Each direction was learned on neutral faces (tools/learn_action_basis.py) so that the action network reads the moved
face as edited, and each has a curve from amounts to lengths of the move, because the network's readings are sigmoids.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import weight_files
from ..vector import LANDMARKS
from ..weight_files import WeightFileError

BUNDLED = weight_files.FOLDER / "action_basis.safetensors"
# Left and right are the person's own; without a side, a direction moves both.
DIRECTIONS = (
    *("brow up", "brow up left", "brow up right", "brow down", "brow down left", "brow down right"),
    *("eye closed", "eye closed left", "eye closed right", "gaze x", "gaze y"),
    *("jaw open", "smile", "smile left", "smile right", "frown", "pucker", "press"),
)
AMOUNTS = (0.25, 0.5, 0.75, 1.0)  # where the curves are known


@dataclass(frozen=True, eq=False, repr=False)
class ActionBasis:
    """Directions in the frame of the expression model's template, in its inter-ocular distances."""

    directions: Tensor  # (18, 478, 3) float32, in the order of `DIRECTIONS`
    curves: Tensor  # (18, 4) float32: the length of the move for each of `AMOUNTS`
    identity: str

    @classmethod
    def load(cls, path: Path = BUNDLED) -> ActionBasis:
        """Return the bundled basis, on the CPU. Raises WeightFileError with the file and the remedy."""
        tensors, digest = weight_files.read(path)
        shapes = {"directions": (len(DIRECTIONS), LANDMARKS, 3), "curves": (len(DIRECTIONS), len(AMOUNTS))}
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
            raise WeightFileError(path, "is not an action basis of this version")
        return cls(
            **{name: tensor.float() for name, tensor in tensors.items()}, identity=f"action-basis/1:{digest[:8]}"
        )

    def length(self, name: str, amounts: Tensor) -> Tensor:
        """Return the lengths (N,) of moves for amounts (N,) of a direction; beyond −1…1, they grow linearly."""
        curve = [0.0, *self.curves[DIRECTIONS.index(name)].tolist()]
        within = np.interp(amounts.abs().clamp_max(1).numpy(), [0.0, *AMOUNTS], curve)
        lengths: Tensor = torch.from_numpy(within).float() * amounts.abs().clamp_min(1) * amounts.sign()
        return lengths
