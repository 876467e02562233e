"""Which faces of a video show another expression than the one before."""

from __future__ import annotations

import torch
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel

EYES = (33, 263)  # the outer corners
CHANGE = 0.03  # of the distance between them: five times what a still face moves from one frame to the next


class ExpressionChanges:
    """Follows one face through the frames of one video; head movements do not count as changes.

    Two expressions differ if their landmarks, laid onto each other, are `change` apart (root mean square, in
    distances between the outer eye corners, without depth, which is noisy).
    """

    def __init__(self, model: ExpressionModel, change: float = CHANGE) -> None:
        self._model = model
        self._change = change
        self._last: Tensor | None = None  # (478, 2) of the face that was last told to be new

    def is_new(self, landmarks: Tensor, image_size: Tensor) -> bool:
        """Whether landmarks (478, 3), in a picture of (height, width) (2,), differ from the last that were new."""
        shape = self._model.align(landmarks[None], image_size[None]).points[0, :, :2]
        shape = shape / (shape[EYES[0]] - shape[EYES[1]]).norm().clamp_min(torch.finfo(shape.dtype).tiny)
        if self._last is not None:
            difference = (shape - self._last).square().sum(dim=1).mean().sqrt()
            if float(difference) < self._change:
                return False
        self._last = shape
        return True
