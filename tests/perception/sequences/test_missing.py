from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.missing import MISSING_MODES, NoFaceError, fill
from perception_clip.perception.vector import EMOTIONS, Perceptions, bounding_boxes

SIZE = (300, 400)
WALL = np.full((300, 400, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def sequence(astronaut: np.ndarray) -> Perceptions:
    """A face in pictures 1, 2 and 5 of seven; it moves to the right by 10 pixels a picture."""
    first, second, last = (astronaut[20:320, 80 - shift : 480 - shift] for shift in (10, 20, 50))
    found = PerceptionPipeline()([WALL, first, second, WALL, WALL, last, WALL])
    assert found.frames.tolist() == [1, 2, 5] and found.tracks.tolist() == [0, 0, 0]
    return found


def middles(perceptions: Perceptions) -> list[float]:
    return ((perceptions.boxes[:, 0] + perceptions.boxes[:, 2]) / 2).tolist()


def test_previous(sequence: Perceptions) -> None:
    filled = fill(sequence, "previous", SIZE)
    assert filled.frames.tolist() == list(range(7)) and filled.empty_frames == []
    for frame, source in enumerate((0, 0, 1, 1, 1, 2, 2)):
        assert torch.equal(filled.vectors[frame], sequence.vectors[source]), frame
        assert torch.equal(filled.boxes[frame], sequence.boxes[source]), frame
    assert (filled.scores == 0).tolist() == [True, False, False, True, True, False, True]
    assert set(filled.tracks.tolist()) == {0}


def test_interpolate(sequence: Perceptions) -> None:
    filled = fill(sequence, "interpolate", SIZE)
    assert filled.frames.tolist() == list(range(7))
    first = middles(sequence)[0]
    assert middles(filled) == pytest.approx([first + 10 * step for step in (0, 0, 1, 2, 3, 4, 4)], abs=1.5)
    torch.testing.assert_close(filled.vectors[3], sequence.vectors[1] * 2 / 3 + sequence.vectors[2] / 3)
    torch.testing.assert_close(filled.emotions.sum(dim=1), torch.ones(7))
    assert (filled.scores == 0).tolist() == [True, False, False, True, True, False, True]


def test_interpolate_follows_tracks(sequence: Perceptions) -> None:
    """Two faces before the gap, two after it in the other order, of which one is a new one."""
    double = sequence.select([1, 1, 2, 2])
    double = replace(
        double,
        frames=torch.tensor([2, 2, 5, 5]),
        boxes=torch.tensor([[0.0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10], [30, 0, 40, 10]]),
        tracks=torch.tensor([0, 1, 2, 0]),
    )
    filled = fill(double, "interpolate", SIZE)
    gap = filled.select([i for i, frame in enumerate(filled.frames.tolist()) if frame in (3, 4)])
    assert gap.tracks.tolist() == [0, 0]
    torch.testing.assert_close(gap.boxes[:, 0], torch.tensor([10.0, 20.0]))
    # No face on both sides: the nearest picture's.
    apart = replace(double, tracks=torch.tensor([0, 1, 2, 3]))
    filled = fill(apart, "interpolate", SIZE)
    tracks = [[face.track for face in faces] for faces in filled.by_frame()]
    assert tracks == [[0, 1], [0, 1], [0, 1], [0, 1], [2, 3], [2, 3], [2, 3]]


@pytest.mark.parametrize("size", [(300, 400), (400, 300), (1, 1)])
def test_neutral(sequence: Perceptions, size: tuple[int, int]) -> None:
    filled = fill(sequence, "neutral", size)
    assert filled.frames.tolist() == list(range(7))
    added = filled.select([0, 3, 4, 6])
    assert (added.scores == 0).all() and set(added.tracks.tolist()) == {1}
    assert (added.emotions.argmax(dim=1) == EMOTIONS.index("neutral")).all() and (added.emotions > 0.02).all()
    for other in ("expression-model-bundled/2:0", f"{sequence.emotion_model} + expression-model-bundled/2:0"):
        by_shape = fill(replace(sequence, emotion_model=other), "neutral", size).select([0, 3])
        assert (by_shape.emotions[:, EMOTIONS.index("neutral")] == 1).all()
    left, top, right, bottom = added.boxes[0].tolist()
    height, width = size
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((width / 2, height / 2), abs=0.01 * min(size))
    assert bottom - top == pytest.approx(min(size) / 2, rel=1e-3)
    torch.testing.assert_close(bounding_boxes(added.landmarks, added.image_sizes), added.boxes)
    aligned = ExpressionModel.load().align(added.landmarks[:1], added.image_sizes[:1])
    torch.testing.assert_close(aligned.points[0], ExpressionModel.load().template, atol=1e-3, rtol=0)


def test_error_names_the_pictures(sequence: Perceptions) -> None:
    with pytest.raises(NoFaceError, match=r"no face in 4 of 7 pictures \(counted from 0: 0, 3, 4, 6\)"):
        fill(sequence, "error", SIZE)
    full = replace(sequence.select([0]), frames=torch.tensor([0]), frame_count=1)
    assert fill(full, "error", SIZE) is full and fill(sequence, "skip", SIZE) is sequence
    with pytest.raises(ValueError, match="choose one of skip, previous"):
        fill(sequence, "guess", SIZE)


@pytest.mark.parametrize("missing", MISSING_MODES)
def test_no_face_at_all(missing: str) -> None:
    nothing = PerceptionPipeline()([WALL] * 12)
    if missing == "error":
        with pytest.raises(NoFaceError, match=r"12 of 12 .* 9, …"):
            fill(nothing, missing, SIZE)
    else:
        assert len(fill(nothing, missing, SIZE)) == (12 if missing == "neutral" else 0)
    assert len(fill(PerceptionPipeline()([]), missing, SIZE)) == 0
