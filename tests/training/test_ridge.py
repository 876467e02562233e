from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import Ridge

from perception_clip.training.ridge import best_ridge, ridge


def data(rows: int, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(rows, 12, generator=generator) + 3
    truth = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    return features, features @ truth + 7 + noise * torch.randn(rows, 5, generator=generator)


def test_equals_scikit_learn() -> None:
    features, targets = data(50)
    weights, bias = ridge(features, targets, penalty=2.5)
    reference = Ridge(alpha=2.5).fit(features.numpy(), targets.numpy())
    assert np.allclose(weights.numpy(), reference.coef_, atol=1e-4)
    assert np.allclose(bias.numpy(), reference.intercept_, atol=1e-3)


def test_more_features_than_rows() -> None:
    features, targets = data(5)
    weights, bias = ridge(features, targets, penalty=1.0)
    assert weights.shape == (5, 12) and weights.isfinite().all() and bias.isfinite().all()


def test_noise_calls_for_a_penalty() -> None:
    features, targets = data(20, noise=5)
    held = data(400, noise=0)
    weights, bias = best_ridge(features, targets, *held)
    plain, plain_bias = ridge(features, targets, 1e-3)
    error = (held[0] @ weights.T + bias - held[1]).square().mean()
    assert error < (held[0] @ plain.T + plain_bias - held[1]).square().mean()
