"""Numbers over the pictures of a sequence: gaps are held, trembling is smoothed."""

from __future__ import annotations

import pytest
import torch

from perception_clip.perception.actions.series import hold, smoothed


def test_gaps_hold_the_last_value_and_the_beginning_the_first() -> None:
    held = hold(torch.tensor([0.1, 0.4, 0.2]), [2, 3, 6], 8)
    assert torch.equal(held, torch.tensor([0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 0.2, 0.2]))
    assert torch.equal(hold(torch.tensor([0.3]), [0], 1), torch.tensor([0.3]))


def test_smoothing_calms_noise_and_follows_steps() -> None:
    noise = 0.05 * torch.randn(96, generator=torch.Generator().manual_seed(0))
    step = torch.cat([torch.zeros(48), torch.ones(48)])
    calm = smoothed(noise, 0.5, 24)
    assert calm[8:].std() < 0.5 * noise.std()
    assert smoothed(step, 0.5, 24)[56] > 0.8
    assert torch.equal(smoothed(noise, 0, 24), noise)


@pytest.mark.parametrize("amount", [-0.1, 1.5, float("nan")])
def test_another_amount_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="smoothing must be between 0 and 1"):
        smoothed(torch.zeros(3), amount, 24)
