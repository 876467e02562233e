"""How far a face is from what faces look like: what finds landmarks that are mirrored, stretched, shuffled or torn.

A face's landmarks, freed of pose, place and size, are held against the expression model's face space
(perception/emotions/expression.py). The parts inside are measured in standard deviations, and what lies outside in
lengths, each in units of what is usual; the larger of the two is the face's *strangeness*: about 1 for a usual photo.

The constants were measured on the 13,635 faces of an expression photo set, those that the model was made of: at the
limit of 4, 10 of them are called outliers. Of 656 other photos and video frames it is one, a cut-off face; a head in
profile can be another. Of 1,000 faces whose landmarks were mirrored, shuffled, flattened, doubled in width or depth or
mixed with another's, or of which three landmarks were moved far, all are. Of those stretched by half, it is eight in
ten in width and hardly any in height: a long face is no strange face.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.vector import LANDMARKS, split
from ...projection.checkpoint import SQUARE
from ..dataset.samples import Floats

SYMMETRIC, ANTISYMMETRIC = 44, 20  # components that describe a face; the others are mostly the landmarker's noise
COMPONENTS = SYMMETRIC + ANTISYMMETRIC
USUAL_WITHIN, USUAL_OUTSIDE = 0.705, 0.00162  # medians: standard deviations, and lengths per landmark
USUAL = 1.1  # median strangeness
LIMIT = 4.0  # strangeness beyond which a face is an outlier …
LENIENCE = 2.0  # … or up to so many times that, in a dataset whose faces are all a little strange


class FaceSpace:
    """Measures faces. Lengths are in distances between the eyes, as a root mean square over the landmarks."""

    def __init__(self, model: ExpressionModel | None = None) -> None:
        self.model = model = model or ExpressionModel.load()
        self._basis = torch.cat([model.symmetric, model.antisymmetric]).flatten(1)  # (S + A, 1434), orthonormal
        centre = model.means.mean(dim=0)  # (S,): every emotion counts the same, so that no rare one is strange
        between = (model.modes.flatten(0, 1) - centre).square().mean(dim=0)
        self._centre = torch.cat([centre, torch.zeros_like(model.asymmetry)])
        self._spread = torch.cat([(model.covariance.diagonal() + between).sqrt(), model.asymmetry])
        symmetric = torch.arange(SYMMETRIC)
        self._kept = torch.cat([symmetric, len(model.symmetric) + torch.arange(ANTISYMMETRIC)])

    def measure(self, perceptions: Floats, image_sizes: NDArray[np.int32]) -> tuple[Floats, Floats]:
        """Perceptions (N, 1441) and picture sizes (N, 2) → components (N, 64) and strangeness (N,).

        The distance between two faces' components is that between the faces. Sizes of 0 are unknown: such pictures
        count as square, as in training.
        """
        sizes = np.where(image_sizes > 0, image_sizes, np.array(SQUARE, dtype=np.int32))
        landmarks, _ = split(torch.tensor(perceptions))
        shapes = (self.model.align(landmarks, torch.from_numpy(sizes)).points - self.model.mean).flatten(1)  # (N, 1434)
        components = shapes @ self._basis.T  # (N, S + A)
        within = ((components - self._centre) / self._spread).square().mean(dim=1).sqrt()
        beyond = (shapes.square().sum(dim=1) - components.square().sum(dim=1)).clamp_min(0)
        outside = (beyond / LANDMARKS).sqrt()
        strangeness = torch.maximum(within / USUAL_WITHIN, outside / USUAL_OUTSIDE)
        return (components[:, self._kept] / LANDMARKS**0.5).numpy(), strangeness.numpy()

    def face(self, components: Floats) -> Floats:
        """Components (64,) → the face (478, 3) that they describe, in the template's frame."""
        weights: Tensor = torch.from_numpy(np.asarray(components, dtype=np.float32)) * LANDMARKS**0.5
        face: Floats = (self.model.mean + (weights @ self._basis[self._kept]).unflatten(0, (LANDMARKS, 3))).numpy()
        return face


def outlier_limit(strangeness: Floats) -> float:
    """The strangeness (N,) beyond which a face of this dataset is an outlier.

    It grows with the dataset's median: another landmarker or other heads may make every face a little strange.
    """
    median = float(np.median(strangeness)) if len(strangeness) else USUAL
    return LIMIT * min(max(median / USUAL, 1.0), LENIENCE)
