"""Read the 52 actions of faces from their landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...common import threads
from ...common.errors import InputError
from .. import weight_files
from ..geometry import true_proportions
from ..vector import LANDMARKS
from .names import ACTIONS
from .network import POINTS, ActionNetwork

BUNDLED = weight_files.FOLDER / "actions.safetensors"
BATCH = 32  # faces per pass: what suits a processor's caches


@dataclass(frozen=True, eq=False)
class ActionModel:
    """Reads actions from landmarks alone, so also those of edited, saved and foreign perceptions."""

    network: ActionNetwork
    identity: str

    @classmethod
    def load(cls, path: Path = BUNDLED) -> ActionModel:
        """Return the bundled model, on the CPU. Raises WeightFileError with the file and the remedy."""
        network, digest = weight_files.filled(lambda: ActionNetwork(len(ACTIONS)), path)
        return cls(network, f"action-model-bundled/1:{digest[:8]}")

    def actions(self, landmarks: Tensor, image_sizes: Tensor) -> Tensor:
        """Return actions (N, 52) in 0…1, float32 on the CPU, in the order of `ACTIONS`.

        Landmarks (N, 478, 3) are normalized, of pictures with (height, width) (N, 2). Faces are distributed over the
        cores, and a face reads the same in any batch. Raises ValueError for another shape, and for landmarks that are
        NaN or infinite.
        """
        if landmarks.ndim != 3 or landmarks.shape[1:] != (LANDMARKS, 3):
            raise ValueError(f"landmarks must have the shape (N, {LANDMARKS}, 3), not {tuple(landmarks.shape)}")
        if image_sizes.shape != (len(landmarks), 2):
            raise ValueError(f"image sizes must have the shape ({len(landmarks)}, 2), not {tuple(image_sizes.shape)}")
        points = true_proportions(landmarks.float().cpu(), image_sizes.cpu())[:, list(POINTS), :2]
        bad = (~points.isfinite().flatten(1).all(dim=1)).nonzero()[:, 0].tolist()
        if bad:
            raise InputError(f"the landmarks of face {bad[0]} contain NaN or infinite values; leave that face out")
        if not len(points):
            return torch.zeros(0, len(ACTIONS))
        return torch.cat(threads.share(self._read, points.tensor_split(threads.parts(points))))

    def _read(self, points: Tensor) -> Tensor:
        return torch.cat([self.network(some) for some in points.split(BATCH)])
