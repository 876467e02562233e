"""Measure how unusual a face is, to find landmarks that are mirrored, stretched, shuffled or torn.

The landmarks of a face, without pose, position and size, are compared with the face space of the expression model
(perception/emotions/expression.py). The part inside that space is measured in standard deviations and the part outside
in lengths, each relative to its typical value; the larger of the two is the *outlier score*: about 1 for a
typical photo.

The constants were measured on the 13,635 faces of an expression photo set, from which the model was built: at the
limit of 4, 10 of them are outliers. Of 656 other photos and video frames, one is: a cut-off face; a head in profile can
be another. Of 1,000 faces whose landmarks were mirrored, shuffled, flattened, doubled in width or depth or mixed with
those of another, or of which three landmarks were moved far, all are outliers. Of those stretched by half, eight in ten
are when stretched in width and hardly any in height, because long faces are common.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.geometry import pose_of
from ...perception.vector import LANDMARKS, split
from ...projection.checkpoint import SQUARE
from ..dataset.samples import Floats

SYMMETRIC, ANTISYMMETRIC = 44, 20  # components that describe a face; the others are mostly noise of the landmarker
COMPONENTS = SYMMETRIC + ANTISYMMETRIC
USUAL_WITHIN, USUAL_OUTSIDE = 0.705, 0.00162  # medians: standard deviations, and lengths per landmark
USUAL = 1.1  # median outlier score
LIMIT = 4.0  # outlier score above which a face is an outlier …
LENIENCE = 2.0  # … or up to this factor higher in a dataset whose faces are all slightly unusual


class FaceSpace:
    """Measures faces. Lengths are root mean squares over the landmarks, in units of the distance between the eyes."""

    def __init__(self, model: ExpressionModel | None = None) -> None:
        self.model = model = model or ExpressionModel.load()
        self._basis = torch.cat([model.symmetric, model.antisymmetric]).flatten(1)  # (S + A, 1434), orthonormal
        center = model.means.mean(dim=0)  # (S,): every emotion has the same weight, so that rare ones are not outliers
        between = (model.modes.flatten(0, 1) - center).square().mean(dim=0)
        self._center = torch.cat([center, torch.zeros_like(model.asymmetry)])
        self._spread = torch.cat([(model.covariance.diagonal() + between).sqrt(), model.asymmetry])
        symmetric = torch.arange(SYMMETRIC)
        self._kept = torch.cat([symmetric, len(model.symmetric) + torch.arange(ANTISYMMETRIC)])

    def measure(self, perceptions: Floats, image_sizes: NDArray[np.int32]) -> tuple[Floats, Floats, Floats]:
        """Return components (N, 64), outlier scores (N,), and yaw, pitch and roll (N, 3) in degrees.

        They are those of perceptions (N, 1441) in pictures of the sizes (N, 2). The distance between the components of
        two faces is the distance between the faces. Pictures of unknown size, 0, count as square, as in training.
        """
        sizes = np.where(image_sizes > 0, image_sizes, np.array(SQUARE, dtype=np.int32))
        landmarks, _ = split(torch.tensor(perceptions))
        aligned = self.model.align(landmarks, torch.from_numpy(sizes))
        shapes = (aligned.points - self.model.mean).flatten(1)  # (N, 1434)
        components = shapes @ self._basis.T  # (N, S + A)
        within = ((components - self._center) / self._spread).square().mean(dim=1).sqrt()
        beyond = (shapes.square().sum(dim=1) - components.square().sum(dim=1)).clamp_min(0)
        outside = (beyond / LANDMARKS).sqrt()
        outlier_score = torch.maximum(within / USUAL_WITHIN, outside / USUAL_OUTSIDE)
        kept = components[:, self._kept] / LANDMARKS**0.5
        return kept.numpy(), outlier_score.numpy(), pose_of(aligned.rotation).numpy()

    def face(self, components: Floats) -> Floats:
        """Return the face (478, 3) described by components (64,), in the frame of the template."""
        weights: Tensor = torch.from_numpy(np.asarray(components, dtype=np.float32)) * LANDMARKS**0.5
        face: Floats = (self.model.mean + (weights @ self._basis[self._kept]).unflatten(0, (LANDMARKS, 3))).numpy()
        return face


def outlier_limit(outlier_score: Floats) -> float:
    """Return the limit above which a face of a dataset with these outlier scores (N,) is an outlier.

    It increases with the median: with another landmarker or other heads, every face may be slightly unusual.
    """
    median = float(np.median(outlier_score)) if len(outlier_score) else USUAL
    return LIMIT * min(max(median / USUAL, 1.0), LENIENCE)
