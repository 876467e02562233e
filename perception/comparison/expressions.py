"""The expression of a face as numbers that do not depend on who it is, where it is, or how its head is turned.

An expression is a vector of 59 numbers: the 52 actions, read from the landmarks after the head has been turned to the
front, and the logarithms of the seven emotion probabilities relative to their mean. The weights were chosen on faces
sampled from the expression model, where people and expressions are known: between two people with the same expression,
actions and emotions differ about equally. Where the eyes look is only in part an expression, and is weighted less.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..actions.model import ActionModel
from ..actions.names import ACTIONS
from ..emotions.expression import ExpressionModel
from ..vector import NEUTRAL, Perceptions

GAZE_WEIGHT, EMOTION_WEIGHT = 0.5, 2.0  # an action's is 1
FLOOR = 0.1  # added to probabilities: differences between smaller ones say nothing
PEOPLE = 200  # neutral faces that are sampled
PERSONAL_VARIETY = 0.6  # of that of the photos, which also differ by half-hearted expressions and wrong labels
ACTION_WEIGHTS = torch.tensor([GAZE_WEIGHT if name.startswith("eyeLook") else 1.0 for name in ACTIONS])


@dataclass(frozen=True)
class Expressions:
    """The expressions of N faces."""

    actions: Tensor  # (N, 52) in 0…1
    emotions: Tensor  # (N, 7) probabilities

    @property
    def vectors(self) -> Tensor:
        """Return the weighted vectors (N, 59); their squared distances are differences in expression."""
        logs = (self.emotions + FLOOR).log()
        logs = logs - logs.mean(dim=1, keepdim=True)
        return torch.cat([self.actions * ACTION_WEIGHTS, logs * EMOTION_WEIGHT], dim=1)


@dataclass(frozen=True)
class ExpressionReader:
    """Reads expressions from landmarks."""

    model: ExpressionModel
    actions: ActionModel

    def frontal(self, perceptions: Perceptions) -> Tensor:
        """Return the landmarks (N, 478, 3) of faces turned to the front, in the frame of the model's template."""
        return self.model.align(perceptions.landmarks, perceptions.image_sizes).points

    def read(self, points: Tensor, emotions: Tensor | None = None) -> Expressions:
        """Return the expressions of frontal faces (N, 478, 3); without `emotions` (N, 7), with those of the model."""
        square = torch.ones(len(points), 2)  # the pictures' sizes: points already have true proportions
        emotions = self.model.probabilities(points, square) if emotions is None else emotions
        return Expressions(self.actions.actions(points, square), emotions)

    @property
    def neutral_face(self) -> Tensor:
        """Return the average neutral face (478, 3), from the front."""
        face: Tensor = self.model.mean + torch.tensordot(self.model.means[NEUTRAL], self.model.symmetric, dims=1)
        return face


@lru_cache(maxsize=2)
def neutral_actions(reader: ExpressionReader) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation (59,) of different people's neutral faces, as vectors.

    Both are 0 for the emotions, which may come from another model than that of the reader.
    """
    generator = torch.Generator().manual_seed(0)
    neutral = torch.full((PEOPLE,), NEUTRAL)
    faces = reader.model.sample(neutral, torch.zeros(PEOPLE), generator, PERSONAL_VARIETY)
    vectors = reader.read(reader.model.align(*faces).points).vectors
    vectors[:, len(ACTIONS) :] = 0
    return vectors.mean(dim=0), vectors.std(dim=0)
