from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.mediapipe_landmarker import MediaPipeLandmarker
from perception_clip.perception.pictures import PictureError
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.perceivers import Perceivers


@pytest.fixture(scope="module")
def pictures(astronaut: np.ndarray) -> list[Tensor]:
    return [torch.tensor(np.roll(astronaut, 3 * shift, axis=1)) for shift in range(8)]


def test_threads_perceive_what_one_does(pictures: list[Tensor]) -> None:
    pipeline, before = PerceptionPipeline(), torch.get_num_threads()
    with Perceivers(pipeline, workers=3) as perceivers:
        assert perceivers.threads == 3
        found = [perceivers.start(pictures[start : start + 2]).result() for start in range(0, 8, 2)]
        at_once = [perceivers.start(pictures[start : start + 2]) for start in range(0, 8, 2)]
        for one, other in zip(found, at_once, strict=True):
            assert torch.equal(one.vectors, other.result().vectors)
    assert torch.get_num_threads() == before
    assert [len(batch) for batch in found] == [2, 2, 2, 2]
    torch.testing.assert_close(
        torch.cat([batch.vectors for batch in found]), pipeline(pictures).vectors, atol=1e-4, rtol=0
    )


def test_an_error_comes_with_its_batch(pictures: list[Tensor]) -> None:
    with Perceivers(PerceptionPipeline(), workers=2) as perceivers:
        bad, good = perceivers.start([torch.zeros(0, 0, 3, dtype=torch.uint8)]), perceivers.start(pictures[:1])
        with pytest.raises(PictureError, match="has no pixels"):
            bad.result()
        assert len(good.result()) == 1


def test_a_landmarker_that_bears_one_thread_gets_one(shared_data: Path) -> None:
    pytest.importorskip("mediapipe")
    landmarker = MediaPipeLandmarker(shared_data / "face_landmarker.task")
    with Perceivers(PerceptionPipeline(landmarker), workers=4) as perceivers:
        assert perceivers.threads == 1
