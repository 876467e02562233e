"""What the face expression model would read in the picture of a face of which only the landmarks are known.

Sampled faces have no picture, but their emotions must look like those of real faces. The calibrated logits of the model
(face_expression.py) are estimated from the symmetric shape components of a face (expression.py) and its emotion by a
linear regression; the rest, which the shape does not determine, has a Gaussian distribution.

The weights are created by tools/train_picture_estimate.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from .. import weight_files
from ..vector import EMOTIONS
from ..weight_files import WeightFileError

BUNDLED = weight_files.FOLDER / "picture_estimate.safetensors"
DRAWS = 100  # at most; of 6,000 faces, 82 never read as their emotion


@dataclass(frozen=True, eq=False, repr=False)
class PictureEstimate:
    """See the module. S counts the symmetric shape components; all tensors are float32."""

    shape: Tensor  # (S, 7): logits per shape component
    emotions: Tensor  # (7, 7): what a picture of each emotion adds to that; 0 for neutral
    offset: Tensor  # (7,)
    rest: Tensor  # (7, 7): turns white noise into the part of the logits that the shape does not determine
    identity: str = "picture-estimate-unsaved/2"  # the number also changes with the way that faces are sampled

    @classmethod
    @cache
    def load(cls, path: Path = BUNDLED) -> PictureEstimate:
        """Return the estimate, read once. Raises WeightFileError with the file and the remedy if it is damaged."""
        tensors, digest = weight_files.read(path)
        count = len(EMOTIONS)
        components = len(tensors.get("shape", ()))
        shapes = {
            "shape": (components, count),
            "emotions": (count, count),
            "offset": (count,),
            "rest": (count, count),
        }
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
            raise WeightFileError(path, "is not a picture estimate of this version")
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
        return cls(**tensors, identity=f"picture-estimate-bundled/2:{digest[:8]}")

    def logits(self, components: Tensor, emotions: Tensor) -> Tensor:
        """Return the mean logits (N, 7) of faces with components (N, S) and emotions (N, 7), 1 for the one shown."""
        return components @ self.shape + emotions @ self.emotions + self.offset

    def sample(self, components: Tensor, emotions: Tensor, generator: torch.Generator) -> Tensor:
        """Return random probabilities (N, 7) of faces with components (N, S) and emotions (N,), indices.

        A face that would read as another emotion is drawn again: its label would be wrong.
        """
        mean = self.logits(components, torch.nn.functional.one_hot(emotions, len(EMOTIONS)).float())
        logits, wrong = mean, torch.ones(len(mean), dtype=torch.bool)
        for _ in range(DRAWS):
            drawn = mean + torch.randn(mean.shape, generator=generator) @ self.rest
            logits = torch.where(wrong[:, None], drawn, logits)
            wrong &= logits.argmax(dim=1) != emotions
        return logits.softmax(dim=1)
