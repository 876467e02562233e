"""The faces of real photos as keys, spread over frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perception_clip.perception.editing.schedule import EASINGS, first_faces, spread
from perception_clip.perception.vector import Perceptions

from ..reference_faces import reference_faces

FACES = reference_faces()
PICTURES = ("vectors", "image_sizes", "boxes", "scores")


def keys(order: list[int]) -> Perceptions:
    """The faces of those rows, each in a frame of its own."""
    return replace(FACES.select(order), frames=torch.arange(len(order)), frame_count=len(order))


def pixels(faces: Perceptions) -> Tensor:
    """Landmarks (N, 478, 3) in pixels."""
    height, width = faces.image_sizes.unbind(dim=1)
    return faces.landmarks * torch.stack([width, height, width], dim=1)[:, None]


def assert_is_key(spread_out: Perceptions, frame: int, faces: Perceptions, key: int) -> None:
    for name in PICTURES:
        assert torch.equal(getattr(spread_out, name)[frame], getattr(faces, name)[key]), (frame, key, name)


@given(
    st.lists(st.sampled_from([0, 1]), min_size=1, max_size=6),
    st.integers(min_value=1, max_value=40),
    st.sampled_from(EASINGS),
)
def test_every_frame_has_one_sound_face(order: list[int], frames: int, easing: str) -> None:
    result = spread(keys(order), frames, easing)
    assert result.frames.tolist() == list(range(frames)) and result.frame_count == frames
    assert not result.tracks.any() and result.empty_frames == []
    assert [result.vectors.dtype, result.boxes.dtype, result.scores.dtype] == [torch.float32] * 3
    assert [result.image_sizes.dtype, result.frames.dtype, result.tracks.dtype] == [torch.int32] + [torch.int64] * 2
    torch.testing.assert_close(result.emotions.sum(dim=1), torch.ones(frames))
    assert (result.scores >= FACES.scores.min()).all() and (result.scores <= FACES.scores.max()).all()
    assert (result.boxes[:, :2] < result.boxes[:, 2:]).all()
    assert_is_key(result, 0, FACES, order[0])
    if frames > 1 and easing != "hold":
        assert_is_key(result, frames - 1, FACES, order[-1])


@given(
    st.integers(min_value=2, max_value=5), st.integers(min_value=1, max_value=9), st.sampled_from(["linear", "ease"])
)
def test_a_frame_that_falls_on_a_key_is_that_key_bit_for_bit(count: int, step: int, easing: str) -> None:
    order = [number % 2 for number in range(count)]
    result = spread(keys(order), (count - 1) * step + 1, easing)
    for key in range(count):
        assert_is_key(result, key * step, FACES, order[key])
    between = [frame for frame in range(len(result)) if frame % step]
    assert all(not torch.equal(result.vectors[frame], FACES.vectors[row]) for frame in between for row in (0, 1))


@pytest.mark.parametrize(
    ("easing", "way"), [("linear", [0, 0.25, 0.5, 0.75, 1]), ("ease", [0, 0.15625, 0.5, 0.84375, 1])]
)
def test_pixels_go_straight_between_pictures_of_different_sizes(easing: str, way: list[float]) -> None:
    large = replace(FACES, image_sizes=FACES.image_sizes * torch.tensor([[1, 1], [2, 3]], dtype=torch.int32))
    result = spread(large, 5, easing)
    shares = torch.tensor(way)
    first, last = pixels(large)
    torch.testing.assert_close(pixels(result), first + shares[:, None, None] * (last - first), atol=2e-3, rtol=0)
    torch.testing.assert_close(result.boxes, large.boxes[0] + shares[:, None] * (large.boxes[1] - large.boxes[0]))
    heights_and_widths = 512 + shares[:, None] * torch.tensor([1200 - 512, 1536 - 512])
    assert torch.equal(result.image_sizes, heights_and_widths.round().int())
    torch.testing.assert_close(result.emotions, torch.lerp(FACES.emotions[0], FACES.emotions[1], shares[:, None]))
    torch.testing.assert_close(result.scores, 0.9 - 0.2 * shares)


@settings(max_examples=50)
@given(st.integers(min_value=1, max_value=6), st.integers(min_value=1, max_value=30))
def test_hold_gives_each_key_an_equal_share(count: int, frames: int) -> None:
    faces = keys([0] * count)
    faces = replace(faces, scores=torch.arange(count) / 10)  # to tell them apart
    held = [round(score * 10) for score in spread(faces, frames, "hold").scores.tolist()]
    assert held == [frame * count // frames for frame in range(frames)]
    shares = [held.count(key) for key in range(count)]
    assert max(shares) - min(shares) <= 1


def test_more_keys_than_frames_are_sampled() -> None:
    faces = replace(keys([0] * 9), scores=torch.arange(9) / 10)
    for easing in ("linear", "ease"):
        scores = spread(faces, 3, easing).scores
        assert torch.equal(scores, faces.scores[[0, 4, 8]])
    assert torch.equal(spread(faces, 3, "hold").scores, faces.scores[[0, 3, 6]])
    assert torch.equal(spread(faces, 1, "linear").scores, faces.scores[:1])


@pytest.mark.parametrize("easing", EASINGS)
def test_a_single_key_is_constant(easing: str) -> None:
    result = spread(FACES.select([1]), 6, easing)
    for frame in range(6):
        assert_is_key(result, frame, FACES, 1)


def test_keys_are_the_first_faces_in_the_order_of_the_frames() -> None:
    crowd = replace(FACES.select([1, 0, 0, 1]), frames=torch.tensor([3, 3, 1, 1]), frame_count=5)
    found = first_faces(crowd)
    assert found.frames.tolist() == [1, 3]
    assert torch.equal(found.vectors, FACES.vectors[[0, 1]])
    result = spread(crowd, 2, "linear")
    assert_is_key(result, 0, FACES, 0)
    assert_is_key(result, 1, FACES, 1)


@pytest.mark.parametrize("easing", EASINGS)
def test_without_a_face_the_frames_have_none(easing: str) -> None:
    result = spread(FACES.select([]), 8, easing)
    assert len(result) == 0 and result.empty_frames == list(range(8))
    assert result.landmarker == "reference/1"


def test_nothing_is_changed_in_place() -> None:
    before = FACES.vectors.clone()
    spread(FACES, 9, "ease").vectors.zero_()
    spread(FACES.select([0]), 9, "hold").boxes.zero_()
    assert torch.equal(FACES.vectors, before) and FACES.boxes.all()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="easing cannot be 'bounce'; choose one of linear, ease, hold"):
        spread(FACES, 8, "bounce")
    for frames in (0, -3):
        with pytest.raises(ValueError, match=f"frames cannot be {frames}; use 1 or more"):
            spread(FACES, frames, "linear")
    with pytest.raises(ValueError, match="frames cannot be 0; use 1 or more"):
        spread(FACES.select([]), 0, "linear")
