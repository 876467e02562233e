"""What the network sees of a perception: the expression, without pose, place, size or picture shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..perception.alignment import align, true_proportions
from ..perception.vector import EMOTIONS, LANDMARKS, split

SHAPE_COMPONENTS = 64  # at most; a small dataset supports fewer
NOISE = 1e-2  # components with less than this share of the first one's spread are mostly landmark noise
SMALLEST = 1e-6  # spread, so that faces that are all alike divide by no zero
RAREST = 1e-4  # probabilities are clamped here, so that their logarithms stay finite


class ExpressionFeatures(nn.Module):
    """Perceptions (N, 1441) and picture sizes (N, 2) → standardised features (N, components + 7).

    Landmarks are laid onto a template face by a rigid fit and expressed in the principal components of the
    training faces (whitened); emotion probabilities become standardised log-probabilities. `fit` measures
    both from training data; the numbers are buffers and are saved with the network.

    Args:
        components: number of principal shape components.
    """

    template: Tensor
    shape_mean: Tensor
    shape_basis: Tensor
    emotion_mean: Tensor
    emotion_spread: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("template", torch.zeros(LANDMARKS, 3))
        self.register_buffer("shape_mean", torch.zeros(LANDMARKS * 3))
        self.register_buffer("shape_basis", torch.zeros(LANDMARKS * 3, components))
        self.register_buffer("emotion_mean", torch.zeros(len(EMOTIONS)))
        self.register_buffer("emotion_spread", torch.ones(len(EMOTIONS)))

    @classmethod
    def fit(cls, vectors: Tensor, image_sizes: Tensor, template: Tensor) -> ExpressionFeatures:
        """Measure the features of training perceptions (N, 1441), N ≥ 1, around a template face (478, 3)."""
        shapes = _shapes(vectors, image_sizes, template)
        mean = shapes.mean(dim=0)
        centred = (shapes - mean).double()
        variances, axes = torch.linalg.eigh(centred.T @ centred / max(len(centred) - 1, 1))  # ascending
        spread, axes = variances.clamp_min(0).sqrt().flip(0), axes.flip(1)  # (1434,), (1434, 1434)
        kept = int((spread > spread[0].clamp_min(SMALLEST) * NOISE).sum().clamp(1, SHAPE_COMPONENTS))
        features = cls(kept)
        features.template.copy_(template)
        features.shape_mean.copy_(mean)
        features.shape_basis.copy_(axes[:, :kept] / spread[:kept].clamp_min(SMALLEST))
        emotions = _log_probabilities(vectors)
        features.emotion_mean.copy_(emotions.mean(dim=0))
        features.emotion_spread.copy_(emotions.std(dim=0, correction=0).clamp_min(1e-2))
        return features

    @property
    def count(self) -> int:
        """How many features there are."""
        return self.shape_basis.shape[1] + len(EMOTIONS)

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        shapes = _shapes(vectors, image_sizes, self.template)  # (N, 1434)
        components = (shapes - self.shape_mean) @ self.shape_basis  # (N, components)
        emotions = (_log_probabilities(vectors) - self.emotion_mean) / self.emotion_spread  # (N, 7)
        return torch.cat([components, emotions], dim=1)


def _shapes(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
    """(N, 1441) → landmarks in the template's frame, (N, 1434)."""
    landmarks, _ = split(vectors)
    return align(true_proportions(landmarks, image_sizes), template).points.flatten(1)


def _log_probabilities(vectors: Tensor) -> Tensor:
    return split(vectors)[1].clamp_min(RAREST).log()
