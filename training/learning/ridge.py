"""Ridge regression in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

# In units of the mean variance of the features, summed over the rows.
PENALTIES = tuple(10.0 ** (step / 4) for step in range(-32, 13))
ROWS_AT_ONCE = 8192  # rows converted to float64 in one step
SMALLEST = 1e-100  # minimum mean strength, so that features without variance cause no division by zero


def best_ridge(features: Tensor, targets: Tensor, held_features: Tensor, held_targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights (D, F) and bias (D,) of a linear layer fitted from features (N, F) to targets (N, D).

    It minimizes the squared error plus a penalty times the squared weights; the bias is not penalized (Hoerl & Kennard
    1970, "Ridge regression", Technometrics 12(1)). The penalty is the one of `PENALTIES`, times the mean variance of
    the features × N, with the smallest squared error on the held-out rows (H, F) and (H, D). It is computed in float64
    on the CPU; the result has the dtype and device of the targets.
    """
    center, middle = (rows.mean(dim=0).cpu().double() for rows in (features, targets))
    gram, product = _moments(features, targets, center, middle)  # (F, F), (F, D)
    held_gram, held_product = _moments(held_features, held_targets, center, middle)
    strengths, axes = torch.linalg.eigh(gram)  # (F,), (F, F): with these, every penalty is cheap
    unit = strengths.mean().clamp_min(SMALLEST)
    shrink = 1 / (strengths.clamp_min(0) + unit * torch.tensor(PENALTIES, dtype=torch.float64)[:, None])  # (A, F)
    product = axes.T @ product  # weights are axes @ (shrink × product)
    linear = (product * (axes.T @ held_product)).sum(dim=1)  # (F,)
    square = (product @ product.T) * (axes.T @ held_gram @ axes)  # (F, F)
    # (A,), except for the constant square of the targets:
    errors = ((shrink @ square) * shrink).sum(dim=1) - 2 * shrink @ linear
    weights = (axes @ (shrink[errors.argmin()][:, None] * product)).T  # (D, F)
    return weights.to(targets), (middle - weights @ center).to(targets)


def _moments(features: Tensor, targets: Tensor, center: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Return xᵀx (F, F) and xᵀy (F, D), float64, of features x (N, F) and targets y (N, D) around the given points."""
    gram, product = center.new_zeros(len(center), len(center)), center.new_zeros(len(center), len(middle))
    for x, y in zip(features.split(ROWS_AT_ONCE), targets.split(ROWS_AT_ONCE), strict=True):
        x, y = x.cpu().double() - center, y.cpu().double() - middle
        gram += x.T @ x
        product += x.T @ y
    return gram, product
