"""Ridge regression in closed form: a rule that a projection has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

PENALTIES = tuple(10.0 ** (step / 4) for step in range(-32, 13))  # in mean squared features summed over the rows
CHUNK = 8192  # rows that are made float64 in one step
SMALLEST = 1e-100  # mean strength, so that features without any variance divide by no zero


def best_ridge(features: Tensor, targets: Tensor, held_features: Tensor, held_targets: Tensor) -> tuple[Tensor, Tensor]:
    """Fit targets (N, D) to features (N, F): weights (D, F) and bias (D,) of a linear layer, like the targets.

    Minimises the squared error plus a penalty times the squared weights; the bias is free (Hoerl & Kennard 1970,
    "Ridge regression", Technometrics 12(1)). Of `PENALTIES`, times the features' mean variance × N, it is the one
    with the least squared error on the held-out rows (H, F) and (H, D). Calculates in float64, on the processor.
    """
    centre, middle = (rows.mean(dim=0).cpu().double() for rows in (features, targets))
    gram, product = _moments(features, targets, centre, middle)  # (F, F), (F, D)
    held_gram, held_product = _moments(held_features, held_targets, centre, middle)
    strengths, axes = torch.linalg.eigh(gram)  # (F,), (F, F): with these, every penalty costs next to nothing
    unit = strengths.mean().clamp_min(SMALLEST)
    shrink = 1 / (strengths.clamp_min(0) + unit * torch.tensor(PENALTIES, dtype=torch.float64)[:, None])  # (A, F)
    product = axes.T @ product  # weights are axes @ (shrink × product)
    linear = (product * (axes.T @ held_product)).sum(dim=1)  # (F,)
    square = (product @ product.T) * (axes.T @ held_gram @ axes)  # (F, F)
    errors = ((shrink @ square) * shrink).sum(dim=1) - 2 * shrink @ linear  # (A,) but for the targets' own square
    weights = (axes @ (shrink[errors.argmin()][:, None] * product)).T  # (D, F)
    return weights.to(targets), (middle - weights @ centre).to(targets)


def _moments(features: Tensor, targets: Tensor, centre: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Of features x (N, F) and targets y (N, D) around the points given: xᵀx (F, F) and xᵀy (F, D) in float64."""
    gram, product = centre.new_zeros(len(centre), len(centre)), centre.new_zeros(len(centre), len(middle))
    for x, y in zip(features.split(CHUNK), targets.split(CHUNK), strict=True):
        x, y = x.cpu().double() - centre, y.cpu().double() - middle
        gram += x.T @ x
        product += x.T @ y
    return gram, product
