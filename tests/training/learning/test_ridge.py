from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from perception_clip.training.learning import ridge
from perception_clip.training.learning.ridge import PENALTIES, best_ridge


def data(rows: int, noise: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of very different spreads, as principal components have, and targets that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, 12, generator=generator) * torch.logspace(0, -3, 12) + 3
    truth = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    return features, features @ truth + 7 + noise * torch.randn(rows, 5, generator=generator)


def error(fit: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> float:
    return float((held[0] @ fit[0].T + fit[1] - held[1]).square().mean())


@pytest.mark.parametrize("rows", [8, 50, 400])  # fewer and more than features
@pytest.mark.parametrize("noise", [0.0, 0.5, 5.0])
def test_no_penalty_of_scikit_learns_does_better(rows: int, noise: float) -> None:
    known, held = data(rows, noise), data(100, noise, seed=2)
    found = error(best_ridge(*known, *held), held)
    unit = float(known[0].double().var(dim=0, correction=0).mean()) * rows
    errors = []
    for penalty in PENALTIES:
        model = Ridge(alpha=penalty * unit).fit(known[0].double().numpy(), known[1].double().numpy())
        errors.append(float(np.square(model.predict(held[0].double().numpy()) - held[1].double().numpy()).mean()))
    assert found == pytest.approx(min(errors), rel=1e-3, abs=1e-6)
    ends = (errors[0], errors[-1])
    assert noise == 0 or min(ends) > min(errors)  # the range is wide enough


def test_equals_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = data(50)
    unit = float(features.double().var(dim=0, correction=0).mean()) * 50
    monkeypatch.setattr(ridge, "PENALTIES", (0.01,))
    monkeypatch.setattr(ridge, "ROWS_AT_ONCE", 7)
    weights, bias = best_ridge(features, targets, *data(10, seed=2))
    reference = Ridge(alpha=0.01 * unit).fit(features.double().numpy(), targets.double().numpy())
    assert weights.dtype == torch.float32 and weights.shape == (5, 12)
    assert np.allclose(weights.numpy(), reference.coef_, atol=1e-4)
    assert np.allclose(bias.numpy(), reference.intercept_, atol=1e-3)


def test_features_that_do_not_vary() -> None:
    _, targets = data(20)
    weights, bias = best_ridge(torch.ones(20, 3), targets, torch.ones(4, 3), targets[:4])
    assert weights.abs().max() < 1e-6
    assert torch.allclose(bias, targets.mean(dim=0), atol=1e-5)
