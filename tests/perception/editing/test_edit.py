"""Editing and mixing perceptions of real photos."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perception_clip.perception.editing.edit import edit, mix
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.vector import EMOTIONS, bounding_boxes, pack

from ..reference_faces import MODEL, posed, read, reference_faces

FACES = reference_faces()
HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


def test_editing_raises_the_emotion_of_both_photos() -> None:
    for index, emotion in enumerate(EMOTIONS):
        before = read(FACES)[:, index]
        for amount in (1.0, 2.0):
            edited = edit(FACES, {emotion: amount}, 1.0, MODEL)
            assert (read(edited)[:, index] > before).all(), (emotion, amount)
            assert torch.allclose(edited.emotions, read(edited), atol=1e-3)


def test_a_smile_gives_way() -> None:
    smiling = read(FACES)[0]
    assert smiling[HAPPY] > 0.8
    for emotion in ("angry", "disgust", "fear", "sad", "surprise", "neutral"):
        edited = read(edit(FACES, {emotion: 2.0}, 1.0, MODEL))[0]
        assert EMOTIONS[edited.argmax()] == emotion


def test_emotions_that_are_asked_for_together_spare_each_other() -> None:
    alone = read(edit(FACES, {"surprise": 1.0}, 1.0, MODEL))[0]
    both = read(edit(FACES, {"surprise": 1.0, "happy": 1.0}, 1.0, MODEL))[0]
    assert alone[HAPPY] < 0.5 < 0.8 < both[HAPPY]


def test_landmarks_move_by_the_formula() -> None:
    sliders = {"sad": 0.6, "fear": -0.3, "neutral": 0.2}
    expected = FACES.landmarks.clone()
    for index, name in enumerate(EMOTIONS):
        share = sliders.get(name, 0.0) - 0.6 * read(FACES)[:, index] * (1 - abs(sliders.get(name, 0.0)))
        toward = MODEL.displacement(FACES.landmarks, FACES.image_sizes, index)
        expected += (0.2 if name == "neutral" else share[:, None, None]) * toward
    torch.testing.assert_close(edit(FACES, sliders, 1.0, MODEL).landmarks, expected, atol=1e-6, rtol=0)


def test_less_than_nothing_takes_it_away() -> None:
    edited = edit(FACES, {"happy": -1.0}, 1.0, MODEL)
    assert edited.emotions[0, HAPPY] < FACES.emotions[0, HAPPY] / 2
    same = edit(FACES, {"happy": 1.0}, -1.0, MODEL)
    assert torch.equal(same.vectors, edited.vectors)


def test_nothing_to_do_is_the_identity_bit_for_bit() -> None:
    for sliders, strength in (({}, 1.0), (dict.fromkeys(EMOTIONS, 0.0), 1.0), (dict.fromkeys(EMOTIONS, 1.0), 0.0)):
        edited = edit(FACES, sliders, strength, MODEL)
        assert torch.equal(edited.vectors, FACES.vectors)
        assert torch.equal(edited.boxes, FACES.boxes)
    mixed = mix(FACES, FACES.select([1, 0]), 0.0, MODEL)
    assert torch.equal(mixed.vectors, FACES.vectors) and torch.equal(mixed.boxes, FACES.boxes)


def test_pose_place_and_the_rest_stay() -> None:
    before = posed(FACES)
    edited = edit(before, {"surprise": 1.5, "angry": 0.5}, 1.0, MODEL)
    poses = [head_pose(one.landmarks, one.image_sizes, MODEL.template) for one in (before, edited)]
    assert (poses[0] - poses[1]).abs().max() < 0.1  # degrees
    assert torch.allclose(before.landmarks.mean(dim=1), edited.landmarks.mean(dim=1), atol=1e-4)
    for name in ("image_sizes", "frames", "scores", "tracks"):
        assert torch.equal(getattr(edited, name), getattr(FACES, name))
    assert (edited.frame_count, edited.landmarker, edited.emotion_model) == (3, "reference/1", MODEL.identity)


def test_an_edit_is_the_same_in_any_pose() -> None:
    upright, turned = (edit(one, {"happy": -1.0, "fear": 1.0}, 0.8, MODEL) for one in (FACES, posed(FACES)))
    assert torch.allclose(upright.emotions, turned.emotions, atol=1e-3)


def test_boxes_follow_the_landmarks() -> None:
    edited = edit(FACES, {"surprise": 2.0}, 1.0, MODEL)
    margin = edited.boxes - bounding_boxes(edited.landmarks, edited.image_sizes)
    assert torch.allclose(margin, torch.tensor([[-5.0, -5.0, 5.0, 5.0]]).expand(2, 4), atol=1e-3)
    assert (edited.boxes - FACES.boxes).abs().max() > 1  # pixels


def test_another_models_judgment_is_moved_not_thrown_away() -> None:
    """A model that is sure of sadness: both become happier, by the same odds, and none starts anew."""
    sad = torch.full((2, 7), 0.02)
    sad[:, SAD] = 0.88
    other = replace(FACES, vectors=pack(FACES.landmarks, sad), emotion_model="another/1")
    edited = edit(other, {"happy": 1.0}, 1.0, MODEL)
    assert edited.emotion_model == "another/1"
    assert (edited.emotions[:, HAPPY] > other.emotions[:, HAPPY]).all()
    before, after = read(FACES), read(edited)
    odds = [table[1, HAPPY] / table[1, SAD] for table in (sad, edited.emotions, before, after)]
    assert odds[1] / odds[0] == pytest.approx((odds[3] / odds[2]).item(), rel=0.01)
    sure = replace(other, vectors=pack(FACES.landmarks, torch.eye(7)[[SAD, SAD]]))
    assert edit(sure, {"happy": 2.0}, 1.0, MODEL).emotions[1, HAPPY] > 0.002  # what was 0 can grow


def test_bad_sliders_are_named() -> None:
    with pytest.raises(ValueError, match="unknown emotion 'contempt'; choose from angry"):
        edit(FACES, {"contempt": 1.0}, 1.0, MODEL)
    with pytest.raises(ValueError, match="the amount of sad is nan"):
        edit(FACES, {"sad": float("nan")}, 1.0, MODEL)
    with pytest.raises(ValueError, match="the amount of sad is inf"):
        edit(FACES, {"sad": 1.0}, float("inf"), MODEL)


def test_no_face_and_a_point_are_no_crash() -> None:
    assert len(edit(FACES.select([]), {"sad": 1.0}, 1.0, MODEL)) == 0
    point = replace(FACES, vectors=pack(torch.full((2, 478, 3), 0.5), FACES.emotions))
    assert torch.equal(edit(point, {"sad": 1.0}, 1.0, MODEL).landmarks, point.landmarks)
    assert torch.equal(mix(point, FACES, 0.5, MODEL).landmarks, point.landmarks)


def test_share_one_is_the_seconds_shape_in_the_firsts_pose() -> None:
    first, second = posed(FACES), FACES.select([1, 0])
    mixed = mix(first, second, 1.0, MODEL)
    shapes = [MODEL.align(one.landmarks, one.image_sizes).points for one in (mixed, second, first)]
    assert (shapes[0] - shapes[1]).abs().max() < 1e-3  # inter-ocular distances
    assert (shapes[2] - shapes[1]).abs().max() > 0.1
    poses = [head_pose(one.landmarks, one.image_sizes, MODEL.template) for one in (mixed, first)]
    assert (poses[0] - poses[1]).abs().max() < 0.1  # degrees
    assert torch.allclose(mixed.emotions, second.emotions, atol=1e-6)
    assert torch.equal(mixed.frames, first.frames)
    assert torch.equal(mixed.image_sizes, first.image_sizes)


def test_in_between_is_in_between() -> None:
    mixed = mix(FACES, FACES.select([1, 0]), 0.25, MODEL)
    assert torch.allclose(mixed.emotions[0], 0.75 * FACES.emotions[0] + 0.25 * FACES.emotions[1], atol=1e-6)
    shapes = MODEL.align(FACES.landmarks, FACES.image_sizes).points
    mean = 0.75 * shapes[0] + 0.25 * shapes[1]
    assert (MODEL.align(mixed.landmarks, mixed.image_sizes).points[0] - mean).abs().max() < 5e-3
    happy = [mix(FACES, FACES.select([1, 0]), share, MODEL) for share in (0.0, 0.5, 1.0)]
    felt = [read(one)[0, HAPPY].item() for one in happy]
    assert felt == sorted(felt, reverse=True)


def test_one_face_serves_all_and_others_are_paired() -> None:
    alone = mix(FACES, FACES.select([0]), 1.0, MODEL)
    assert torch.allclose(alone.emotions, FACES.emotions[[0, 0]], atol=1e-6)
    with pytest.raises(ValueError, match="2 faces cannot be mixed with 3"):
        mix(FACES, FACES.select([0, 0, 1]), 0.5, MODEL)
    with pytest.raises(ValueError, match="2 faces cannot be mixed with 0"):
        mix(FACES, FACES.select([]), 0.5, MODEL)
    assert len(mix(FACES.select([]), FACES, 0.5, MODEL)) == 0
    with pytest.raises(ValueError, match="the share is 1.5; use a number from 0 to 1"):
        mix(FACES, FACES, 1.5, MODEL)
    with pytest.raises(ValueError, match="the share is nan"):
        mix(FACES, FACES, float("nan"), MODEL)


def test_both_origins_are_named() -> None:
    second = replace(FACES, emotion_model="another/1")
    mixed = mix(FACES, second, 0.5, MODEL)
    assert (mixed.landmarker, mixed.emotion_model) == ("reference/1", f"{MODEL.identity} + another/1")
    assert mix(mixed, second, 0.5, MODEL).emotion_model == mixed.emotion_model
