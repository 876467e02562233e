"""Emotions from the picture of a face, with a small bundled network: more accurate than from the shape alone.

The network is much too sure of itself: its logits are scaled down, and each emotion has a bias (Guo et al., 2017,
arXiv:1706.04599, vector scaling with one scale). With a neutral face of the same person as a reference, a face's
logits are relative to those of that face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...common import threads
from .. import weight_files
from ..engines import AND, Faces
from ..landmarks.networks import load, run
from .crops import upright_crops
from .expression import RELATIVE
from .face_expression_network import CROP_SIZE, FaceExpressionNet

NAME = "face_expression"  # of the weights
FAMILY = "face-expression-bundled/1"  # the identity without the hash of the weights

# From tools/calibrate_face_expression.py, fitted to half of FER2013's public test (1,704 faces, all classes alike). The
# biases are half of the fitted ones, which is best on other sets of photos; they mostly help fear.
SCALE = 0.198
BIASES = (0.01, 0.26, 0.44, -0.26, -0.02, -0.16, -0.28)
NEUTRAL_LOGITS = (-0.01, -0.33, -0.78, -0.15, 0.22, -0.31, 1.36)  # the mean of neutral faces, calibrated
PERSONAL = 0.5  # how much of a neutral face's difference from that mean is the person's own; see expression.py


def identity(weights: Path = weight_files.FOLDER) -> str:
    """Return the identity of the model with the weights in that folder. Raises weight_files.WeightFileError."""
    return f"{FAMILY}:{weight_files.read(weights / f'{NAME}.safetensors')[1][:8]}"


def reads_pictures(emotion_model: str) -> bool:
    """Return whether the identity is that of this model, also relative to a neutral face, and no other is joined."""
    return all(part.startswith(FAMILY) for part in emotion_model.split(AND))


class FaceExpressionNetworks(nn.ModuleList):
    """The network that the model keeps on its device, under a class name shown in the log of the host."""


class FaceExpressionModel:
    """Reads emotions from pictures of faces. Implements `engines.EmotionModel`.

    The network runs on `device`; crops are cut on the CPU. It is loaded here, once.
    Raises weight_files.WeightFileError.
    """

    def __init__(self, *, device: str | torch.device = "cpu", weights: Path = weight_files.FOLDER) -> None:
        self.device = torch.device(device)
        self._network = load(FaceExpressionNet, NAME, self.device, weights)
        self.networks = FaceExpressionNetworks([self._network])
        self.identity = identity(weights)

    @threads.single
    @torch.no_grad()
    def network_logits(self, pictures: Sequence[Tensor], faces: Sequence[Faces]) -> Tensor:
        """Return the network's own logits (total faces, 7), float32 on the CPU; arguments as of `classify`."""
        crops = upright_crops(pictures, faces, CROP_SIZE)
        return run(self._network, crops.to(self.device))[0].cpu()

    def calibrated(self, logits: Tensor) -> Tensor:
        """Return calibrated logits (N, 7) of the network's own; all emotions have the same prior."""
        return logits * SCALE + torch.tensor(BIASES)

    def classify(self, pictures: Sequence[Tensor], faces: Sequence[Faces]) -> Tensor:
        """Return probabilities (total faces, 7), float32 on the CPU, in face order and in the order of `EMOTIONS`.

        Pictures are (H, W, 3) uint8 RGB on any device; `faces` are the faces of each.
        Raises ValueError for NaN or infinite landmarks.
        """
        return self.calibrated(self.network_logits(pictures, faces)).softmax(dim=1)

    def relative_to(self, probabilities: Tensor) -> RelativeFaceExpressionModel:
        """Return an `EmotionModel` that measures every face relative to a neutral face of the person.

        `probabilities` (7,) are what this model reads from that face.
        """
        logits = probabilities.clamp_min(torch.finfo(torch.float32).tiny).log()
        difference = logits - torch.tensor(NEUTRAL_LOGITS)
        return RelativeFaceExpressionModel(self, PERSONAL * (difference - difference.mean()))


@dataclass(frozen=True, eq=False)
class RelativeFaceExpressionModel:
    """A face expression model for one person; see `FaceExpressionModel.relative_to`."""

    model: FaceExpressionModel
    person: Tensor  # (7,): what the person's logits have beyond other people's

    @property
    def identity(self) -> str:
        """Return the identity of the model with a suffix."""
        return f"{self.model.identity}{RELATIVE}"

    @property
    def networks(self) -> FaceExpressionNetworks:
        """Return those of the model."""
        return self.model.networks

    def classify(self, pictures: Sequence[Tensor], faces: Sequence[Faces]) -> Tensor:
        """The `EmotionModel` interface: (total faces, 7) float32 probabilities."""
        logits = self.model.calibrated(self.model.network_logits(pictures, faces))
        return (logits - self.person).softmax(dim=1)
