"""Expressions without any photo: which muscles move, and how that changes the measurements of a face.

Ekman and Friesen's Facial Action Coding System (1978) and its table of prototypes for the basic emotions (EMFACS)
name the action units (AU) of each expression. Here an action unit is a change of a few distances on the face, and
an emotion is a small table of such changes. It is the prior from which tools/expression_estimation.py learns, and
all it has for emotions with hardly any faces in the data file.
"""

from __future__ import annotations

import torch
from torch import Tensor

from perception_clip.perception.vector import EMOTIONS, LANDMARKS

# A measurement is the mean coordinate of some landmarks minus that of others. Left landmarks stand for both sides.
# x points away from the face's middle, y points down. Measurement: (axis, landmarks added, landmarks subtracted).
MEASUREMENTS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
    "inner brow raised": ("y", (133,), (107, 55, 65)),
    "outer brow raised": ("y", (33,), (70, 63, 46, 53)),
    "brows apart": ("x", (55, 107), ()),
    "upper lid raised": ("y", (33, 133), (158, 159, 160)),
    "lower lid raised": ("y", (33, 133), (144, 145, 153)),
    "mouth corners raised": ("y", (0, 17), (61,)),
    "mouth wide": ("x", (61,), ()),
    "lips parted": ("y", (14,), (13,)),
    "upper lip raised": ("y", (2,), (0,)),
    "nostrils raised": ("y", (133,), (129, 98, 64)),
    "jaw dropped": ("y", (152,), (2,)),
    "lips full": ("y", (13, 17), (0, 14)),
    "chin raised": ("y", (17,), (152,)),
}
# Changes in standard deviations of each measurement within an emotion; the comments name the action units.
PROTOTYPES: dict[str, dict[str, float]] = {
    # 4 brow lowerer, 5 or 7 lids tightened, 23 lips tightened
    "angry": {
        "inner brow raised": -1.2,
        "outer brow raised": -0.6,
        "brows apart": -1.0,
        "upper lid raised": -0.2,
        "lower lid raised": 0.5,
        "lips full": -0.6,
        "mouth corners raised": -0.3,
    },
    # 9 nose wrinkler, 10 upper lip raiser, with 4 and 7
    "disgust": {
        "inner brow raised": -0.7,
        "outer brow raised": -0.6,
        "brows apart": -0.5,
        "lower lid raised": 0.8,
        "upper lid raised": -0.6,
        "upper lip raised": 1.2,
        "nostrils raised": 0.8,
        "lips parted": 0.3,
        "mouth corners raised": -0.1,
    },
    # 1 + 2 + 4 brows raised and drawn together, 5 upper lid raiser, 20 lip stretcher, 25 lips parted
    "fear": {
        "inner brow raised": 1.2,
        "outer brow raised": 0.5,
        "brows apart": -0.3,
        "upper lid raised": 0.9,
        "mouth wide": 0.7,
        "lips parted": 0.6,
        "mouth corners raised": -0.4,
        "lips full": -0.2,
    },
    # 6 cheek raiser, 12 lip corner puller, often 25
    "happy": {
        "mouth corners raised": 1.2,
        "mouth wide": 1.2,
        "lips parted": 0.5,
        "lower lid raised": 0.4,
        "upper lip raised": 0.5,
    },
    # 1 + 4 inner brows, 15 lip corner depressor, 17 chin raiser
    "sad": {
        "inner brow raised": 0.6,
        "outer brow raised": -0.2,
        "brows apart": -0.2,
        "upper lid raised": -0.6,
        "mouth corners raised": -0.8,
        "chin raised": 0.5,
        "lips parted": -0.1,
    },
    # 1 + 2 brow raisers, 5 upper lid raiser, 26 jaw drop
    "surprise": {
        "inner brow raised": 1.0,
        "outer brow raised": 1.1,
        "upper lid raised": 0.8,
        "lips parted": 1.3,
        "jaw dropped": 1.0,
        "mouth wide": -0.5,
    },
}
# Share of a measurement's variance that the measurements do not explain. Without it, unlikely combinations of
# correlated measurements would need huge changes of shape.
SLACK = 0.15


def measurement_weights(template: Tensor, mirror: Tensor) -> Tensor:
    """Return the measurements as linear maps of a face's shape: (measurements, 478, 3) float64."""
    weights = torch.zeros(len(MEASUREMENTS), LANDMARKS, 3, dtype=torch.float64)
    for row, (axis, added, taken) in zip(weights, MEASUREMENTS.values(), strict=True):
        for landmarks, sign in ((added, 1.0), (taken, -1.0)):
            for landmark in landmarks:
                for side in (landmark, int(mirror[landmark])):
                    outward = float(template[side, 0].sign()) if axis == "x" else 1.0
                    row[side, "xyz".index(axis)] += sign * outward / (2 * len(landmarks))
    return weights


def posed_expressions(template: Tensor, mirror: Tensor, symmetric: Tensor, covariance: Tensor) -> Tensor:
    """Return how each emotion's prototype differs from a neutral face, (7, S) float64, in the symmetric components.

    This is the most likely change of shape, given the measurements, under the covariance (S, S) of faces within an
    emotion; `symmetric` (S, 478, 3) are the components' shapes.
    """
    targets = torch.zeros(len(EMOTIONS), len(MEASUREMENTS), dtype=torch.float64)
    for emotion, changes in PROTOTYPES.items():
        for name, change in changes.items():
            targets[EMOTIONS.index(emotion), list(MEASUREMENTS).index(name)] = change
    maps = symmetric.flatten(1).double() @ measurement_weights(template, mirror).flatten(1).T  # (S, measurements)
    variances = maps.T @ covariance @ maps
    spread = variances.diagonal().sqrt()
    correlations = variances / spread / spread[:, None] + SLACK * torch.eye(len(spread), dtype=torch.float64)
    return torch.linalg.solve(correlations, targets.T).T @ (covariance @ maps / spread).T
