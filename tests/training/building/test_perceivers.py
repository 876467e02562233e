from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.pictures import PictureError
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.building.parallel import PerceptionPool


@pytest.fixture(scope="module")
def pictures(astronaut: np.ndarray) -> list[Tensor]:
    return [torch.tensor(np.roll(astronaut, 3 * shift, axis=1)) for shift in range(8)]


def test_batches_give_what_they_give_alone_in_their_order(pictures: list[Tensor]) -> None:
    pipeline = PerceptionPipeline()
    with PerceptionPool(pipeline) as perceivers:
        started = [perceivers.start(pictures[start : start + 2]) for start in range(0, 8, 2)]
        found = [one.result() for one in started]
    assert [len(batch) for batch in found] == [2, 2, 2, 2]
    vectors = torch.cat([batch.vectors for batch in found])
    torch.testing.assert_close(vectors, pipeline(pictures).vectors, atol=1e-4, rtol=0)


def test_an_error_comes_with_its_batch(pictures: list[Tensor]) -> None:
    with PerceptionPool(PerceptionPipeline()) as perceivers:
        bad, good = perceivers.start([torch.zeros(0, 0, 3, dtype=torch.uint8)]), perceivers.start(pictures[:1])
        with pytest.raises(PictureError, match="has no pixels"):
            bad.result()
        assert len(good.result()) == 1


def test_what_has_not_begun_is_given_up(pictures: list[Tensor]) -> None:
    with pytest.raises(KeyboardInterrupt), PerceptionPool(PerceptionPipeline()) as perceivers:
        started = [perceivers.start(pictures) for _ in range(20)]
        raise KeyboardInterrupt
    assert started[-1].cancelled()
