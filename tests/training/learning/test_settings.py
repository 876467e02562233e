from __future__ import annotations

import pytest

from perception_clip.training.learning.settings import STARTER, Settings


def test_the_batch_grows_with_the_samples_unless_it_was_chosen() -> None:
    sizes = {count: Settings().batch_for(count) for count in (3, 240, 511, 512, 2000, 8000, 10**6)}
    assert sizes == {3: 32, 240: 32, 511: 32, 512: 64, 2000: 128, 8000: 256, 10**6: 256}
    assert Settings(batch_size=7).batch_for(10**6) == 7


def test_the_rate_grows_with_the_root_of_the_batch() -> None:
    settings = Settings(learning_rate=1e-3)
    assert settings.rate_for(32) == 1e-3
    assert settings.rate_for(512) == pytest.approx(4e-3)


def test_a_starter_of_few_faces_has_more_patience() -> None:
    assert [STARTER.patience_for(count) for count in (800, 2400, 9600, 10**6)] == [50, 17, 4, 4]
    assert Settings().patience_for(800) == Settings().patience_for(10**6) == 20
