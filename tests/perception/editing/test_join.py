"""The faces of real photos, one batch after the other."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.perception.editing.join import join
from perception_clip.perception.vector import Perceptions

from ..reference_faces import reference_faces

FACES = reference_faces()  # in frames 0 and 2 of 3, on tracks 4 and 7
UNTOUCHED = ("vectors", "image_sizes", "boxes", "scores")


def test_the_seconds_frames_and_tracks_are_counted_on() -> None:
    second = replace(FACES.select([1, 0]), frames=torch.tensor([1, 1]), tracks=torch.tensor([0, 4]), frame_count=2)
    joined = join(FACES, second)
    assert joined.frames.tolist() == [0, 2, 4, 4] and joined.frame_count == 5
    assert joined.empty_frames == [1, 3]
    assert joined.tracks.tolist() == [4, 7, 8, 12]
    for name in UNTOUCHED:
        assert torch.equal(getattr(joined, name), torch.cat([getattr(FACES, name), getattr(second, name)])), name
    assert joined.frames.dtype == joined.tracks.dtype == torch.int64
    assert second.frames.tolist() == [1, 1] and second.tracks.tolist() == [0, 4]  # not in place


def test_a_batch_without_faces_still_has_its_frames() -> None:
    nobody = FACES.select([])
    after, before = join(FACES, nobody), join(nobody, FACES)
    assert (after.frames.tolist(), before.frames.tolist()) == ([0, 2], [3, 5])
    assert after.tracks.tolist() == before.tracks.tolist() == [4, 7]
    assert after.frame_count == before.frame_count == join(nobody, nobody).frame_count == 6
    assert len(join(nobody, nobody)) == 0


rows = st.lists(st.sampled_from([0, 1]), max_size=3)


@settings(max_examples=30)
@given(rows, rows, rows)
def test_joining_is_associative(first: list[int], second: list[int], third: list[int]) -> None:
    a, b, c = (FACES.select(sorted(chosen)) for chosen in (first, second, third))
    left, right = join(join(a, b), c), join(a, join(b, c))
    for name in (*UNTOUCHED, "frames", "tracks"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert left.frame_count == right.frame_count == 9
    assert left.frames.tolist() == sorted(left.frames.tolist())


def test_both_origins_are_named_once() -> None:
    other = replace(FACES, landmarker="another/1")
    joined: Perceptions = join(FACES, other)
    assert joined.landmarker == "reference/1 + another/1"
    assert joined.emotion_model == FACES.emotion_model
    assert join(joined, joined).landmarker == join(joined, other).landmarker == joined.landmarker
