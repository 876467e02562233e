"""Editing and mixing perceptions of real photos."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perception_clip.perception.editing.edit import edit, mix
from perception_clip.perception.emotions.expression import ExpressionModel, rotations
from perception_clip.perception.geometry import from_true_proportions, head_pose, true_proportions
from perception_clip.perception.vector import EMOTIONS, Perceptions, bounding_boxes, pack

from ..reference_faces import MODEL, reference_faces

HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    return MODEL


@pytest.fixture(scope="module")
def faces() -> Perceptions:
    return reference_faces()


def read(faces: Perceptions, model: ExpressionModel) -> torch.Tensor:
    return model.probabilities(faces.landmarks, faces.image_sizes)


def posed(faces: Perceptions) -> Perceptions:
    """The same faces elsewhere, smaller and turned."""
    points = true_proportions(faces.landmarks, faces.image_sizes)
    turn = rotations(torch.tensor([[10.0, 25.0, -30.0]]).deg2rad())[0]
    landmarks = from_true_proportions(points @ turn.T * 0.5 + torch.tensor([0.2, 0.6, 0.1]), faces.image_sizes)
    return replace(faces, vectors=pack(landmarks, faces.emotions))


def test_editing_raises_the_emotion_of_both_photos(model: ExpressionModel, faces: Perceptions) -> None:
    for index, emotion in enumerate(EMOTIONS):
        before = read(faces, model)[:, index]
        for amount in (1.0, 2.0):
            edited = edit(faces, {emotion: amount}, 1.0, model)
            assert (read(edited, model)[:, index] > before).all(), (emotion, amount)
            assert torch.allclose(edited.emotions, read(edited, model), atol=1e-3)


def test_a_smile_gives_way(model: ExpressionModel, faces: Perceptions) -> None:
    smiling = read(faces, model)[0]
    assert smiling[HAPPY] > 0.8
    for emotion in ("angry", "disgust", "fear", "sad", "surprise", "neutral"):
        edited = read(edit(faces, {emotion: 2.0}, 1.0, model), model)[0]
        assert EMOTIONS[edited.argmax()] == emotion


def test_emotions_that_are_asked_for_together_spare_each_other(model: ExpressionModel, faces: Perceptions) -> None:
    alone = read(edit(faces, {"surprise": 1.0}, 1.0, model), model)[0]
    both = read(edit(faces, {"surprise": 1.0, "happy": 1.0}, 1.0, model), model)[0]
    assert alone[HAPPY] < 0.5 < 0.8 < both[HAPPY]


def test_less_than_nothing_takes_it_away(model: ExpressionModel, faces: Perceptions) -> None:
    edited = edit(faces, {"happy": -1.0}, 1.0, model)
    assert edited.emotions[0, HAPPY] < faces.emotions[0, HAPPY] / 2
    same = edit(faces, {"happy": 1.0}, -1.0, model)
    assert torch.equal(same.vectors, edited.vectors)


def test_nothing_to_do_is_the_identity_bit_for_bit(model: ExpressionModel, faces: Perceptions) -> None:
    for sliders, strength in (({}, 1.0), (dict.fromkeys(EMOTIONS, 0.0), 1.0), (dict.fromkeys(EMOTIONS, 1.0), 0.0)):
        edited = edit(faces, sliders, strength, model)
        assert torch.equal(edited.vectors, faces.vectors)
        assert torch.equal(edited.boxes, faces.boxes)


def test_a_little_changes_little(model: ExpressionModel, faces: Perceptions) -> None:
    edited = edit(faces, {"sad": 1e-3}, 1.0, model)
    assert (edited.landmarks - faces.landmarks).abs().max() < 1e-3
    assert (edited.emotions - faces.emotions).abs().max() < 5e-3


def test_pose_place_and_the_rest_stay(model: ExpressionModel, faces: Perceptions) -> None:
    before = posed(faces)
    edited = edit(before, {"surprise": 1.5, "angry": 0.5}, 1.0, model)
    poses = [head_pose(one.landmarks, one.image_sizes, model.template) for one in (before, edited)]
    assert (poses[0] - poses[1]).abs().max() < 0.1  # degrees
    assert torch.allclose(before.landmarks.mean(dim=1), edited.landmarks.mean(dim=1), atol=1e-4)
    for name in ("image_sizes", "frames", "scores", "tracks"):
        assert torch.equal(getattr(edited, name), getattr(faces, name))
    assert (edited.frame_count, edited.landmarker, edited.emotion_model) == (3, "reference/1", model.identity)


def test_an_edit_is_the_same_in_any_pose(model: ExpressionModel, faces: Perceptions) -> None:
    upright, turned = (edit(one, {"happy": -1.0, "fear": 1.0}, 0.8, model) for one in (faces, posed(faces)))
    assert torch.allclose(upright.emotions, turned.emotions, atol=1e-3)


def test_boxes_follow_the_landmarks(model: ExpressionModel, faces: Perceptions) -> None:
    edited = edit(faces, {"surprise": 2.0}, 1.0, model)
    margin = edited.boxes - bounding_boxes(edited.landmarks, edited.image_sizes)
    assert torch.allclose(margin, torch.tensor([[-5.0, -5.0, 5.0, 5.0]]).expand(2, 4), atol=1e-3)
    assert (edited.boxes - faces.boxes).abs().max() > 1  # pixels


def test_another_models_judgment_is_moved_not_thrown_away(model: ExpressionModel, faces: Perceptions) -> None:
    """A model that is sure of sadness: both become happier, by the same odds, and none starts anew."""
    sad = torch.full((2, 7), 0.02)
    sad[:, SAD] = 0.88
    other = replace(faces, vectors=pack(faces.landmarks, sad), emotion_model="another/1")
    edited = edit(other, {"happy": 1.0}, 1.0, model)
    assert edited.emotion_model == "another/1"
    assert (edited.emotions[:, HAPPY] > other.emotions[:, HAPPY]).all()
    before, after = read(faces, model), read(edited, model)
    odds = [table[1, HAPPY] / table[1, SAD] for table in (sad, edited.emotions, before, after)]
    assert odds[1] / odds[0] == pytest.approx((odds[3] / odds[2]).item(), rel=0.01)
    sure = replace(other, vectors=pack(faces.landmarks, torch.eye(7)[[SAD, SAD]]))
    assert edit(sure, {"happy": 2.0}, 1.0, model).emotions[1, HAPPY] > 0.002  # what was 0 can grow


def test_bad_sliders_are_named(model: ExpressionModel, faces: Perceptions) -> None:
    with pytest.raises(ValueError, match="unknown emotion 'contempt'; choose from angry"):
        edit(faces, {"contempt": 1.0}, 1.0, model)
    with pytest.raises(ValueError, match="the amount of sad is nan"):
        edit(faces, {"sad": float("nan")}, 1.0, model)
    with pytest.raises(ValueError, match="the amount of sad is inf"):
        edit(faces, {"sad": 1.0}, float("inf"), model)


def test_no_face_and_a_point_are_no_crash(model: ExpressionModel, faces: Perceptions) -> None:
    assert len(edit(faces.select([]), {"sad": 1.0}, 1.0, model)) == 0
    point = replace(faces, vectors=pack(torch.full((2, 478, 3), 0.5), faces.emotions))
    assert torch.equal(edit(point, {"sad": 1.0}, 1.0, model).landmarks, point.landmarks)
    assert torch.equal(mix(point, faces, 0.5, model).landmarks, point.landmarks)


# --- mix -----------------------------------------------------------------------------------------------------


def test_share_zero_is_the_first_exactly(model: ExpressionModel, faces: Perceptions) -> None:
    mixed = mix(faces, faces.select([1, 0]), 0.0, model)
    assert torch.equal(mixed.vectors, faces.vectors)
    assert torch.equal(mixed.boxes, faces.boxes)


def test_share_one_is_the_seconds_shape_in_the_firsts_pose(model: ExpressionModel, faces: Perceptions) -> None:
    first, second = posed(faces), faces.select([1, 0])
    mixed = mix(first, second, 1.0, model)
    shapes = [model.align(one.landmarks, one.image_sizes).points for one in (mixed, second, first)]
    assert (shapes[0] - shapes[1]).abs().max() < 1e-3  # inter-ocular distances
    assert (shapes[2] - shapes[1]).abs().max() > 0.1
    poses = [head_pose(one.landmarks, one.image_sizes, model.template) for one in (mixed, first)]
    assert (poses[0] - poses[1]).abs().max() < 0.1  # degrees
    assert torch.allclose(mixed.emotions, second.emotions, atol=1e-6)
    assert torch.equal(mixed.frames, first.frames)
    assert torch.equal(mixed.image_sizes, first.image_sizes)


def test_in_between_is_in_between(model: ExpressionModel, faces: Perceptions) -> None:
    mixed = mix(faces, faces.select([1, 0]), 0.25, model)
    assert torch.allclose(mixed.emotions[0], 0.75 * faces.emotions[0] + 0.25 * faces.emotions[1], atol=1e-6)
    shapes = model.align(faces.landmarks, faces.image_sizes).points
    mean = 0.75 * shapes[0] + 0.25 * shapes[1]
    assert (model.align(mixed.landmarks, mixed.image_sizes).points[0] - mean).abs().max() < 5e-3
    happy = [mix(faces, faces.select([1, 0]), share, model) for share in (0.0, 0.5, 1.0)]
    felt = [read(one, model)[0, HAPPY].item() for one in happy]
    assert felt == sorted(felt, reverse=True)


def test_one_face_serves_all_and_others_are_paired(model: ExpressionModel, faces: Perceptions) -> None:
    alone = mix(faces, faces.select([0]), 1.0, model)
    assert torch.allclose(alone.emotions, faces.emotions[[0, 0]], atol=1e-6)
    with pytest.raises(ValueError, match="2 faces cannot be mixed with 3"):
        mix(faces, faces.select([0, 0, 1]), 0.5, model)
    with pytest.raises(ValueError, match="2 faces cannot be mixed with 0"):
        mix(faces, faces.select([]), 0.5, model)
    assert len(mix(faces.select([]), faces, 0.5, model)) == 0
    with pytest.raises(ValueError, match="the share is 1.5; use a number from 0 to 1"):
        mix(faces, faces, 1.5, model)
    with pytest.raises(ValueError, match="the share is nan"):
        mix(faces, faces, float("nan"), model)


def test_both_origins_are_named(model: ExpressionModel, faces: Perceptions) -> None:
    second = replace(faces, emotion_model="another/1")
    mixed = mix(faces, second, 0.5, model)
    assert (mixed.landmarker, mixed.emotion_model) == ("reference/1", f"{model.identity} + another/1")
    assert mix(mixed, second, 0.5, model).emotion_model == mixed.emotion_model
