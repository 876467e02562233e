"""The cosine that means something between CLIP vectors: around their mean, which all of them share."""

from __future__ import annotations

import torch
from torch import Tensor

NO_DIRECTION = 1e-6  # a centred prediction shorter than this points nowhere


def centred_cosine(predicted: Tensor, targets: Tensor, centre: Tensor) -> Tensor:
    """Row-wise cosine (N,) of predictions and targets (N, D) around `centre` (D,); 0 at the centre itself."""
    return torch.cosine_similarity(predicted - centre, targets - centre, dim=1, eps=NO_DIRECTION)
