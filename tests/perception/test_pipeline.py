from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.engines import Faces
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.vector import EMOTIONS

CHUNK = 5
WALL = np.full((90, 160, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


def test_photos_of_different_sizes(
    pipeline: PerceptionPipeline, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> None:
    perceptions = pipeline([astronaut, WALL, grace_hopper])
    assert len(perceptions) == 2 and perceptions.frame_count == 3
    assert perceptions.frames.tolist() == [0, 2] and perceptions.empty_frames == [1]
    assert perceptions.image_sizes.tolist() == [[512, 512], [600, 512]]
    assert perceptions.vectors.shape == (2, 1441)
    assert [EMOTIONS[i] for i in perceptions.emotions.argmax(dim=1)] == ["happy", "neutral"]
    assert torch.allclose(perceptions.emotions.sum(dim=1), torch.ones(2), atol=1e-5)
    nose = perceptions.landmarks[0, 1, :2] * 512
    assert nose.tolist() == pytest.approx([227, 128], abs=6)
    assert perceptions.landmarker == pipeline.landmarker.identity
    assert perceptions.emotion_model == pipeline.emotion_model.identity


def test_a_comfyui_batch_equals_the_files(pipeline: PerceptionPipeline, astronaut: np.ndarray) -> None:
    batch = torch.from_numpy(astronaut)[None].float().div(255).repeat(2, 1, 1, 1)
    from_batch, from_file = pipeline(batch), pipeline(astronaut)
    assert from_batch.frames.tolist() == [0, 1]
    assert (from_batch.vectors - from_file.vectors).abs().max() < 1e-4


@pytest.mark.parametrize("pictures", [[], [WALL], [np.zeros((1, 1, 3), np.uint8)], [np.zeros((16, 10_000), np.uint8)]])
def test_nothing_found(pipeline: PerceptionPipeline, pictures: list[np.ndarray]) -> None:
    perceptions = pipeline(pictures)
    assert len(perceptions) == 0
    assert perceptions.empty_frames == list(range(len(pictures)))


def test_what_lies_behind_the_landmarks_stays_on_the_cpu(pipeline: PerceptionPipeline, astronaut: np.ndarray) -> None:
    """Whatever the device: Apple's has no float64 and no decompositions, and all are slow at so little work."""
    elsewhere = PerceptionPipeline(pipeline.landmarker, ExpressionModel.load(), device="meta")
    tensors = [value for value in vars(elsewhere.emotion_model).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) > 10 and all(tensor.device.type == "cpu" for tensor in tensors)
    assert torch.equal(elsewhere(astronaut).landmarks, pipeline(astronaut).landmarks)


class CountingLandmarker:
    """No faces, but a record of what it was asked."""

    identity = "counting"
    batch_size = CHUNK

    def __init__(self) -> None:
        self.chunks: list[int] = []

    def detect(self, pictures: Sequence[torch.Tensor], *, min_confidence: float = 0.5) -> list[Faces]:
        self.chunks.append(len(pictures))
        return [Faces(torch.zeros(0, 478, 3), torch.zeros(0, 4), torch.zeros(0)) for _ in pictures]


def test_progress_and_cancel() -> None:
    landmarker = CountingLandmarker()
    pipeline = PerceptionPipeline(landmarker)
    seen: list[int] = []
    pipeline([WALL] * (2 * CHUNK + 3), progress=seen.append)
    assert seen == [CHUNK, 2 * CHUNK, 2 * CHUNK + 3]
    assert landmarker.chunks == [CHUNK, CHUNK, 3]

    class CancelError(Exception):
        pass

    def cancel(done: int) -> None:
        raise CancelError

    landmarker.chunks.clear()
    with pytest.raises(CancelError):
        pipeline([WALL] * (3 * CHUNK), progress=cancel)
    assert landmarker.chunks == [CHUNK]
