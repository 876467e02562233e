"""The perception projection network, from the 1441 numbers of a face to a vector in Stable Diffusion's text space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..perception.vector import LANDMARK_VALUES
from .features import FaceFeatures


@dataclass(frozen=True)
class Architecture:
    """Everything needed to build the network before its weights are loaded."""

    components: int  # number of principal shape components in the features
    width: int = 256
    depth: int = 2  # residual blocks
    output: int = 768  # width of its text space; 768 is that of CLIP ViT-L/14
    subject: int = 0  # width of the subject's vector (face_vectors.py), which follows the output; 0: not learned

    def __post_init__(self) -> None:
        for name, least, most in (
            ("components", 1, LANDMARK_VALUES),
            ("width", 1, 65536),
            ("depth", 1, 64),
            ("output", 1, 65536),
            ("subject", 0, 65536),
        ):
            value = getattr(self, name)
            if not (isinstance(value, int) and least <= value <= most):
                raise ValueError(f"the architecture's {name} must be {least} to {most}, not {value!r}")

    @property
    def outputs(self) -> int:
        """Return the number of values that the network predicts, D."""
        return self.output + self.subject


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.reduce = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:  # (N, width) → (N, width)
        update = self.reduce(nn.functional.gelu(self.expand(self.norm(hidden))))
        return hidden + update  # type: ignore[no-any-return]


class ProjectionNetwork(nn.Module):
    """A small residual MLP on the features that maps perceptions to CLIP vectors (N, D).

    D is 768 for the end of the text in the sd15 space, and 768 + 768 if the subject's vector is learned too.

    Its last layer is initialized to zero, so training starts from the mean target. Outputs have the scale of the
    targets: `target_mean` and `target_scale` undo the standardization used in training.
    """

    target_mean: Tensor
    target_scale: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.features = FaceFeatures(architecture.components)
        self.enter = nn.Linear(self.features.count, architecture.width)
        self.blocks = nn.ModuleList(ResidualBlock(architecture.width) for _ in range(architecture.depth))
        self.norm = nn.LayerNorm(architecture.width)
        self.leave = nn.Linear(architecture.width, architecture.outputs)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("target_mean", torch.zeros(architecture.outputs))
        self.register_buffer("target_scale", torch.ones(architecture.outputs))

    @torch.no_grad()
    def restandardize(self, mean: Tensor, scale: Tensor) -> None:
        """Change the standardization to this mean and scale, (D,) each, without changing any prediction."""
        ratio = self.target_scale / scale
        self.leave.weight.mul_(ratio[:, None])
        self.leave.bias.mul_(ratio).add_((self.target_mean - mean) / scale)
        self.target_mean.copy_(mean)
        self.target_scale.copy_(scale)

    def standardized(self, features: Tensor) -> Tensor:
        """Return the standardized predictions (N, D) for features (N, F), on which the loss is computed."""
        hidden = self.enter(features)  # (N, width)
        for block in self.blocks:
            hidden = block(hidden)
        return self.leave(self.norm(hidden))  # type: ignore[no-any-return]

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        """Return the CLIP vectors (N, D), float32, of perceptions (N, 1441) float32 and (height, width) (N, 2)."""
        return self.standardized(self.features(vectors, image_sizes)) * self.target_scale + self.target_mean
