from __future__ import annotations

import pytest

from perception_clip.training.learning.settings import BATCHES, STEPS, Settings


@pytest.mark.parametrize("count", [1, 3, 32, 511, 512, 4000, 16_000, 900_000])
def test_the_batch_grows_with_the_samples(count: int) -> None:
    smallest, largest = BATCHES
    batch = Settings().batch_for(count)
    assert smallest <= batch <= largest and batch & (batch - 1) == 0
    assert batch == smallest or -(-count // batch) >= STEPS
    assert batch == largest or batch * 2 * STEPS > count  # twice as large would be too large


def test_a_batch_that_was_asked_for_is_used() -> None:
    assert Settings(batch_size=7).batch_for(10**6) == 7


def test_the_rate_grows_with_the_root_of_the_batch() -> None:
    settings = Settings(learning_rate=1e-3)
    assert settings.rate_for(32) == 1e-3
    assert settings.rate_for(512) == pytest.approx(4e-3)
