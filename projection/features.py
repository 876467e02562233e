"""Compute the input features of the network: the upright, centered face, its roll, its irises and its emotions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..perception.geometry import true_proportions
from ..perception.topology import LEFT_EYE_CORNERS, LEFT_IRIS, RIGHT_EYE_CORNERS, RIGHT_IRIS
from ..perception.vector import EMOTIONS, LANDMARK_VALUES, LANDMARKS, split

COMPONENTS = 128  # at most; a small dataset supports fewer
SPARE = 12  # additional components that are computed, for precision
ITERATIONS = 4  # of the power method, for precision
MEASURED = 5_000  # maximum number of training faces that the components are measured on
SHAPE_VARIANCE = 64.0  # total of all components, compared with 7 for the emotions
NOISE = 1e-3  # components with less than this share of the first one's spread are noise of the landmarker
SMALLEST = 1e-6  # minimum spread, so that identical faces do not cause a division by zero
REACHED = 0.99  # share of the training faces that lie within a distance of 1
CUES = 3  # the roll of the head, and how far the irises are from the middle of the eyes, x and y
LEAST_SPREADS = (0.1, 0.02, 0.02)  # of the cues, in radians and distances between the eyes
FARTHEST = 3.0  # standard deviations of a cue: a picture that lies on its side is a strongly tilted head, no more
RAREST = 1e-4  # probabilities are clamped here, so that their logarithms stay finite


class FaceFeatures(nn.Module):
    """Convert perceptions (N, 1441) and picture sizes (N, 2) to features (N, components + 3 + 7).

    Position, size, picture shape and roll are removed from the landmarks of a face (`upright`), which are then
    expressed in the principal components of the training faces. The components keep their natural proportions: opening
    the mouth or turning the head has large values, small variations have small ones. (If whitened, small variations
    would outweigh the expression; see ablation.md.) Three cues that the components lack or hardly show are added in
    units of their standard deviations: the roll, and where the irises are. Emotion probabilities become standardized
    log-probabilities. `fit` measures all of this from training data; the numbers are buffers and are saved with the
    network.

    Args:
        components: number of principal components.
    """

    template: Tensor
    shape_mean: Tensor
    shape_basis: Tensor
    cue_mean: Tensor
    cue_spread: Tensor
    emotion_mean: Tensor
    emotion_spread: Tensor
    reach: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("template", torch.zeros(LANDMARKS, 3))
        self.register_buffer("shape_mean", torch.zeros(LANDMARK_VALUES))
        self.register_buffer("shape_basis", torch.zeros(LANDMARK_VALUES, components))
        self.register_buffer("cue_mean", torch.zeros(CUES))
        self.register_buffer("cue_spread", torch.ones(CUES))
        self.register_buffer("emotion_mean", torch.zeros(len(EMOTIONS)))
        self.register_buffer("emotion_spread", torch.ones(len(EMOTIONS)))
        self.register_buffer("reach", torch.ones(()))

    @classmethod
    def fit(cls, vectors: Tensor, image_sizes: Tensor, template: Tensor) -> FaceFeatures:
        """Return the features measured from training perceptions (N, 1441), N ≥ 1, and a template face (478, 3)."""
        shapes, cues = _shapes_and_cues(vectors, image_sizes, template)
        mean = shapes.mean(dim=0)
        spread, axes = _principal(shapes - mean)
        kept = int((spread > spread[0].clamp_min(SMALLEST) * NOISE).sum().clamp(1, COMPONENTS))
        features = cls(kept)
        features.template.copy_(template)
        features.shape_mean.copy_(mean)
        total = spread[:kept].square().sum().sqrt().clamp_min(SMALLEST)
        features.shape_basis.copy_(axes[:, :kept] * (SHAPE_VARIANCE**0.5 / total))
        features.cue_mean.copy_(cues.mean(dim=0))
        features.cue_spread.copy_(cues.std(dim=0, correction=0).maximum(torch.tensor(LEAST_SPREADS)))
        emotions = _log_probabilities(vectors)
        features.emotion_mean.copy_(emotions.mean(dim=0))
        features.emotion_spread.copy_(emotions.std(dim=0, correction=0).clamp_min(1e-2))
        features.reach.copy_((shapes - mean).norm(dim=1).quantile(REACHED).clamp_min(SMALLEST))
        return features

    @property
    def count(self) -> int:
        """Return the number of features."""
        return self.shape_basis.shape[1] + CUES + len(EMOTIONS)

    def distance(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        """Return the distances (N,) of faces from the mean training face; 99 % of training faces are within 1.

        The distance covers shape and pose.
        """
        offsets = _shapes_and_cues(vectors, image_sizes, self.template)[0] - self.shape_mean  # (N, 1434)
        distance: Tensor = torch.linalg.vector_norm(offsets, dim=1) / self.reach
        return distance

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        shapes, cues = _shapes_and_cues(vectors, image_sizes, self.template)  # (N, 1434), (N, 3)
        components = (shapes - self.shape_mean) @ self.shape_basis  # (N, components)
        cues = (cues - self.cue_mean) / self.cue_spread
        emotions = (_log_probabilities(vectors) - self.emotion_mean) / self.emotion_spread  # (N, 7)
        return torch.cat([components, cues.clamp(-FARTHEST, FARTHEST), emotions], dim=1)


def upright(points: Tensor, template: Tensor) -> Tensor:
    """Return points (N, L, 3) in true proportions centered, scaled to the template (L, 3) and rotated upright.

    The rotation is the one about the line of sight that best aligns a face with the template: the planar case of
    Umeyama's fit (see perception/geometry.py). Yaw and pitch stay. Faces whose points all coincide become zeros.
    """
    points = points - points.mean(dim=1, keepdim=True)
    size = points.square().sum(dim=(1, 2)).sqrt()  # (N,)
    x, y, depth = points.unbind(dim=2)  # (N, L) each
    roll = _roll(points, template)[:, None]
    turned = torch.stack([x * roll.cos() + y * roll.sin(), y * roll.cos() - x * roll.sin(), depth], dim=2)
    aligned: Tensor = turned * (template.norm() / size.clamp_min(SMALLEST))[:, None, None]
    return aligned


def _roll(points: Tensor, template: Tensor) -> Tensor:
    """Return the rolls (N,) in radians of points (N, L, 3) in true proportions: the rotation that `upright` removes."""
    x, y = (points - points.mean(dim=1, keepdim=True))[..., :2].unbind(dim=2)  # (N, L) each
    along = (x * template[:, 0] + y * template[:, 1]).sum(dim=1)
    across = (y * template[:, 0] - x * template[:, 1]).sum(dim=1)
    return torch.atan2(across, along)


def _principal(centered: Tensor) -> tuple[Tensor, Tensor]:
    """Return the spreads of the first principal components of centered rows (N, D), descending, and their axes (D, …).

    There are up to `COMPONENTS` of them. The method is randomized: Halko et al. (2011), "Finding structure with
    randomness", SIAM Review 53(2), algorithm 5.1 after subspace iterations (4.4). The exact method takes seconds on a
    busy processor. torch's version (svd_lowrank) uses the global random number generator; this one does not.
    """
    few = len(centered) < centered.shape[1]
    tall = centered.T if few else centered
    sketched = min(COMPONENTS + SPARE, *tall.shape)
    sketch = tall @ torch.randn(tall.shape[1], sketched, generator=torch.Generator().manual_seed(0))
    for _ in range(ITERATIONS):
        sketch = tall @ torch.linalg.qr(tall.T @ torch.linalg.qr(sketch)[0])[0]
    basis = torch.linalg.qr(sketch)[0]  # orthonormal columns
    left, singular, right = torch.linalg.svd(basis.T @ tall, full_matrices=False)
    axes = basis @ left if few else right.T
    return (singular / len(centered) ** 0.5)[:COMPONENTS], axes[:, :COMPONENTS]


def _shapes_and_cues(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upright faces (N, 1434), and their cues (N, 3): roll in radians, and the irises' mean offset x, y."""
    points = true_proportions(split(vectors)[0], image_sizes)
    face = upright(points, template)
    left, right = (
        face[:, iris[0], :2] - face[:, list(corners), :2].mean(dim=1)
        for iris, corners in ((LEFT_IRIS, LEFT_EYE_CORNERS), (RIGHT_IRIS, RIGHT_EYE_CORNERS))
    )
    return face.flatten(1), torch.cat([_roll(points, template)[:, None], (left + right) / 2], dim=1)


def _log_probabilities(vectors: Tensor) -> Tensor:
    return split(vectors)[1].clamp_min(RAREST).log()
