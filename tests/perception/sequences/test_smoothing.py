from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.smoothing import one_euro, smooth
from perception_clip.perception.vector import Perceptions, bounding_boxes, pack

RATE = 24.0
ONE = torch.ones(())


def times(count: int, rate: float = RATE) -> list[float]:
    return [i / rate for i in range(count)]


def by_the_paper(values: list[float], rate: float, cutoff: float, beta: float) -> list[float]:
    """The filter for one number at a constant rate, as the paper's pseudo-code has it."""

    def alpha(hertz: float) -> float:
        tau = 1 / (2 * math.pi * hertz)
        return 1 / (1 + tau * rate)

    smoothed, speed, out = values[0], 0.0, [values[0]]
    for value in values[1:]:
        change = (value - smoothed) * rate
        speed = alpha(1.0) * change + (1 - alpha(1.0)) * speed
        share = alpha(cutoff + beta * abs(speed))
        smoothed = share * value + (1 - share) * smoothed
        out.append(smoothed)
    return out


def test_agrees_with_the_papers_recursion() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(0)).cumsum(dim=0)
    filtered = one_euro(values.double(), times(50), cutoff=0.7, beta=0.3, unit=ONE)
    assert filtered.tolist() == pytest.approx(by_the_paper(values.tolist(), RATE, 0.7, 0.3), rel=1e-6)


def moved(sequence: Perceptions, offsets: Tensor) -> Perceptions:
    """The sequence's one face, moved by offsets (T, 478 or 1, 3) in normalized image coordinates."""
    landmarks = sequence.landmarks[:1] + offsets
    vectors = pack(landmarks, sequence.emotions[:1].expand(len(offsets), -1))
    sizes = sequence.image_sizes[:1].expand(len(offsets), -1)
    count = len(offsets)
    return replace(
        sequence.select([0] * count),
        vectors=vectors,
        boxes=bounding_boxes(landmarks, sizes),
        frames=torch.arange(count),
        tracks=torch.zeros(count, dtype=torch.int64),
        frame_count=count,
    )


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> Perceptions:
    return PerceptionPipeline()(astronaut)


def test_a_face_at_rest_trembles_less_the_more_it_is_smoothed(face: Perceptions) -> None:
    trembling = moved(face, 0.001 * torch.randn(96, 478, 3, generator=torch.Generator().manual_seed(0)))
    left = [
        float(smooth(trembling, amount, times(96)).landmarks[24:].std(dim=0).mean()) for amount in (0.0, 0.25, 0.5, 1.0)
    ]
    assert left[0] == pytest.approx(0.001, rel=0.05)
    assert left[1] < 0.75 * left[0] and left[2] < 0.45 * left[0] and left[3] < 0.4 * left[0]


def test_a_moving_face_hardly_lags(face: Perceptions) -> None:
    """It crosses its own width, a fifth of the picture, every second."""
    steady = moved(face, (torch.arange(48)[:, None, None] / RATE * 0.2).expand(-1, 1, 3) * torch.tensor([1.0, 0, 0]))
    lag = (steady.landmarks - smooth(steady, 0.5, times(48)).landmarks)[24:, :, 0] / 0.2
    assert 0 < float(lag.mean()) < 0.04


def test_emotions_stay_probabilities_and_follow(face: Perceptions) -> None:
    sequence = moved(face, torch.zeros(48, 1, 3))
    vectors = sequence.vectors.clone()
    vectors[:, 1434:] = torch.eye(7)[[6] * 24 + [3] * 24]  # from neutral to happy at once
    smoothed = smooth(replace(sequence, vectors=vectors), 0.5, times(48))
    assert (smoothed.emotions >= 0).all()
    torch.testing.assert_close(smoothed.emotions.sum(dim=1), torch.ones(48))
    happy = smoothed.emotions[:, 3]
    assert happy[23] == 0 and 0.2 < happy[24] < 0.9 and happy[30] > 0.9
    torch.testing.assert_close(smoothed.boxes, bounding_boxes(smoothed.landmarks, smoothed.image_sizes))


def test_tracks_are_smoothed_apart(face: Perceptions) -> None:
    steps = 0.001 * torch.randn(20, 478, 3, generator=torch.Generator().manual_seed(0))
    alone = smooth(moved(face, steps), 0.5, times(20))
    both = moved(face, steps).select([i for i in range(20) for _ in range(2)])
    tracks = torch.tensor([0, 1] * 20)
    shifted = both.landmarks + tracks[:, None, None] * 0.3
    both = replace(both, tracks=tracks, vectors=pack(shifted, both.emotions))
    together = smooth(both, 0.5, times(20))
    torch.testing.assert_close(together.vectors[::2], alone.vectors)


def test_uneven_times_count() -> None:
    values = torch.tensor([0.0, 1.0, 1.0])
    near = one_euro(values, [0, 0.01, 0.02], cutoff=1.0, beta=0.0, unit=ONE)
    far = one_euro(values, [0, 1.0, 2.0], cutoff=1.0, beta=0.0, unit=ONE)
    assert near[1] < 0.1 and far[1] > 0.8
    assert one_euro(values, [0, 0, 0], cutoff=1.0, beta=0.0, unit=ONE).tolist() == [0, 1, 1]


def test_off_is_the_identity_and_wrong_values_are_named(face: Perceptions) -> None:
    assert smooth(face, 0.0, [0.0]) is face
    with pytest.raises(ValueError, match="between 0 and 1, not 2"):
        smooth(face, 2, [0.0])
    with pytest.raises(ValueError, match="one time for each of 1 picture, not 2"):
        smooth(face, 0.5, [0.0, 1.0])
