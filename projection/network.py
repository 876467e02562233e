"""The perception projection network, from the 1441 numbers of a face to a vector in Stable Diffusion's text space."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    subject: int = 0  # width of the subject's vector (face_vectors.py); 0: not learned

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
        """Return the number of values that the network predicts."""
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
    """A small residual MLP on the features that maps perceptions to CLIP vectors.

    Its last layer is initialized to zero, so training starts from the mean target. Outputs have the scale of the
    targets: `target_mean` and `target_scale` undo the standardization used in training.

    The subject's vector, if it is learned, is a linear map of the same hidden state (training/learning/subject.py).
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
        self.leave = nn.Linear(architecture.width, architecture.output)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.subject = nn.Linear(architecture.width, architecture.subject) if architecture.subject else None
        self.register_buffer("target_mean", torch.zeros(architecture.output))
        self.register_buffer("target_scale", torch.ones(architecture.output))

    @torch.no_grad()
    def restandardize(self, mean: Tensor, scale: Tensor) -> None:
        """Change the standardization to this mean and scale, (768,) each, without changing any prediction."""
        ratio = self.target_scale / scale
        self.leave.weight.mul_(ratio[:, None])
        self.leave.bias.mul_(ratio).add_((self.target_mean - mean) / scale)
        self.target_mean.copy_(mean)
        self.target_scale.copy_(scale)

    @torch.no_grad()
    def set_subject(self, weight: Tensor, bias: Tensor) -> None:
        """Predict the subject's vector (T,) from the hidden state with this weight (T, width) and bias (T,)."""
        self.architecture = replace(self.architecture, subject=len(bias))
        self.subject = nn.utils.skip_init(nn.Linear, self.architecture.width, len(bias))
        self.subject.weight.copy_(weight)
        self.subject.bias.copy_(bias)

    def remove_subject(self) -> None:
        self.architecture, self.subject = replace(self.architecture, subject=0), None

    def hidden(self, features: Tensor) -> Tensor:
        """Return the last hidden state (N, width) for features (N, F)."""
        hidden = self.enter(features)
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)  # type: ignore[no-any-return]

    def standardized(self, features: Tensor) -> Tensor:
        """Return the standardized predictions (N, 768) for features (N, F), on which the loss is computed."""
        return self.leave(self.hidden(features))  # type: ignore[no-any-return]

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        """Return the CLIP vectors, float32, of perceptions (N, 1441) float32 and (height, width) (N, 2).

        They are (N, 768), or (N, 768 + T) with the subject's vectors, which `FaceVectors.split` separates.
        """
        features = self.features(vectors, image_sizes)
        end = self.standardized(features) * self.target_scale + self.target_mean
        return end if self.subject is None else torch.cat([end, self.subject(self.hidden(features))], dim=1)
