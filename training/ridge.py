"""Ridge regression in closed form: the start of training, and a rival that it has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-3, 5))  # of standardised features, per training row


def ridge(features: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Fit targets (N, D) to features (N, F): weights (D, F) and bias (D,) of a linear layer.

    Minimises the squared error plus `penalty` × the squared weights; the bias is free
    (Hoerl & Kennard 1970, "Ridge regression").
    """
    x, y = features.cpu().double(), targets.cpu().double()  # not every device has float64
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, x.T @ y).T  # (D, F)
    return weights.to(targets), (y_mean - weights @ x_mean).to(targets)


def best_ridge(features: Tensor, targets: Tensor, held_features: Tensor, held_targets: Tensor) -> tuple[Tensor, Tensor]:
    """The ridge whose penalty gives the least squared error on held-out rows."""
    fits = [ridge(features, targets, penalty) for penalty in PENALTIES]
    errors = [float((held_features @ weights.T + bias - held_targets).square().mean()) for weights, bias in fits]
    return fits[errors.index(min(errors))]
