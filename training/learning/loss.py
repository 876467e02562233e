"""How far predictions are from their targets."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, normalize

from .settings import Loss


def losses(loss: Loss, predicted: Tensor, own: Tensor, candidates: Tensor, number: Tensor) -> Tensor:
    """The loss of each row (B,).

    Args:
        predicted: (B, 768) in standardised units, whose zero is the mean target.
        own: (B, 768) the rows' targets, in the same units.
        candidates: (C, 768) the distinct targets of the batch; used by `contrast` alone.
        number: (B,) which candidate is each row's own: rows with one prompt are positives together.
    """
    total = loss.squared * (predicted - own).square().mean(dim=1)
    total = total + loss.cosine * (1 - cosine_similarity(predicted, own, dim=1))
    if loss.contrast:
        # InfoNCE: van den Oord et al. (2018), "Representation learning with contrastive predictive coding".
        similarity = normalize(predicted, dim=1) @ normalize(candidates, dim=1).T  # (B, C)
        total = total + loss.contrast * cross_entropy(similarity / loss.temperature, number, reduction="none")
    return total
