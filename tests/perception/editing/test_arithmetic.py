"""A + strength × (B − C) on the faces of real photos."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perception_clip.perception.editing.arithmetic import add_difference
from perception_clip.perception.editing.edit import FLOOR, edit
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.vector import EMOTIONS, Perceptions, bounding_boxes, pack

from ..reference_faces import MODEL, posed, read, reference_faces

FACES = reference_faces()
SMILING, COMPOSED = FACES.select([0]), FACES.select([1])
HAPPY = EMOTIONS.index("happy")
KEPT = ("image_sizes", "frames", "scores", "tracks")
# How far two ways to the same face may lie apart: a difference does not change a face's size exactly as the rigid fit
# sees it, by what is of second order in it. Image widths; these faces are a quarter of one wide.
NEAR = 2e-3

strengths = st.floats(min_value=-3, max_value=3).filter(lambda strength: abs(strength) > 1e-3)
expressions = st.dictionaries(st.sampled_from(EMOTIONS), st.floats(min_value=-1, max_value=1), min_size=1, max_size=3)


def add(a: Perceptions, b: Perceptions, c: Perceptions, strength: float = 1.0) -> Perceptions:
    return add_difference(a, b, c, strength, MODEL)


def with_emotions(faces: Perceptions, *emotions: list[float]) -> Perceptions:
    return replace(faces, vectors=pack(faces.landmarks, torch.tensor(emotions)))


def test_the_smile_of_an_edit_is_carried_over() -> None:
    happy = edit(COMPOSED, {"happy": 1.5}, 1.0, MODEL)
    added = add(COMPOSED, happy, COMPOSED)
    assert read(COMPOSED)[0, HAPPY] < 0.5
    for felt in (read(added)[0], added.emotions[0]):
        assert felt.argmax() == HAPPY and felt[HAPPY] > 0.8
    assert (added.landmarks - happy.landmarks).abs().max() < NEAR


def test_one_persons_smile_makes_another_smile() -> None:
    """From the astronaut, and her face with the smile taken away, onto Grace Hopper's."""
    sober = edit(SMILING, {"happy": -1.0}, 1.0, MODEL)
    felt = [read(add(COMPOSED, SMILING, sober, strength))[0, HAPPY].item() for strength in (-1, 0, 0.5, 1, 2)]
    assert felt == sorted(felt)
    assert felt[1] < 0.5 and felt[3] > felt[1] + 0.2 and felt[4] > 0.8
    taken = add(SMILING, SMILING, sober, -1.0)
    assert read(taken)[0, HAPPY] < 0.5 < read(SMILING)[0, HAPPY]


def test_pose_place_and_the_rest_stay() -> None:
    before = posed(FACES)
    added = add(before, SMILING, COMPOSED, 1.5)
    poses = [head_pose(one.landmarks, one.image_sizes, MODEL.template) for one in (before, added)]
    assert (poses[0] - poses[1]).abs().max() < 0.1  # degrees
    torch.testing.assert_close(added.landmarks.mean(dim=1), before.landmarks.mean(dim=1), atol=1e-4, rtol=0)
    for name in KEPT:
        assert torch.equal(getattr(added, name), getattr(before, name)), name
    shift = bounding_boxes(added.landmarks, added.image_sizes) - bounding_boxes(before.landmarks, before.image_sizes)
    torch.testing.assert_close(added.boxes - before.boxes, shift, atol=1e-3, rtol=0)
    assert shift.abs().max() > 1  # pixels
    assert (added.frame_count, added.landmarker, added.emotion_model) == (3, "reference/1", MODEL.identity)


def test_the_pose_of_b_and_c_does_not_matter() -> None:
    for b, c in ((posed(SMILING), COMPOSED), (SMILING, posed(COMPOSED))):
        torch.testing.assert_close(
            add(FACES, b, c).landmarks, add(FACES, SMILING, COMPOSED).landmarks, atol=1e-4, rtol=0
        )


@settings(max_examples=40)
@given(expressions, strengths)
def test_what_is_added_can_be_taken_away_again(sliders: dict[str, float], strength: float) -> None:
    strength /= 2  # three times an edit is a caricature, for which `NEAR` is too small
    other = edit(FACES, sliders, 1.0, MODEL)
    there = add(FACES, other, FACES, strength)
    assume((there.emotions > FLOOR).all())  # what falls below does not come back as it was
    back = add(there, other, FACES, -strength)
    assert (back.landmarks - FACES.landmarks).abs().max() < NEAR
    assert (back.boxes - FACES.boxes).abs().max() < NEAR * 600
    assert (back.emotions - FACES.emotions).abs().max() < 2e-3


@settings(max_examples=30)
@given(strengths)
def test_the_same_b_and_c_change_nothing(strength: float) -> None:
    sure = with_emotions(FACES, [0, 0, 0, 1, 0, 0, 0], [0.5, 0, 0, 0, 0.5, 0, 0])
    for faces in (FACES, sure):
        for same in (COMPOSED, sure):
            added = add(faces, same, same, strength)
            assert torch.equal(added.vectors, faces.vectors)
            assert torch.equal(added.boxes, faces.boxes)


def test_the_emotions_follow_the_formula() -> None:
    a, b, c = [0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.3], [0.05] * 3 + [0.7] + [0.05] * 3, [0.1] * 6 + [0.4]
    added = add(with_emotions(COMPOSED, a), with_emotions(SMILING, b), with_emotions(COMPOSED, c), 1.5)
    p = [of_a * (of_b / of_c) ** 1.5 for of_a, of_b, of_c in zip(a, b, c, strict=True)]
    assert added.emotions[0].tolist() == pytest.approx([one / sum(p) for one in p], abs=1e-6)


probabilities = (
    st.lists(st.floats(min_value=0, max_value=1), min_size=7, max_size=7)
    .filter(any)
    .map(lambda p: [one / sum(p) for one in p])
)


@settings(max_examples=50)
@given(probabilities, probabilities, probabilities, st.floats(allow_nan=False, allow_infinity=False))
def test_any_probabilities_and_strength_stay_a_distribution(
    a: list[float], b: list[float], c: list[float], strength: float
) -> None:
    added = add(with_emotions(COMPOSED, a), with_emotions(COMPOSED, b), with_emotions(COMPOSED, c), strength)
    assert added.vectors.isfinite().all() and added.boxes.isfinite().all()
    assert added.emotions.min() >= 0
    assert added.emotions.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("strength", [-1e9, -3.0, 3.0, 1e9])
def test_a_strong_difference_stays_finite(strength: float) -> None:
    added = add(FACES, SMILING, COMPOSED, strength)
    assert added.vectors.isfinite().all() and added.boxes.isfinite().all()
    point = replace(FACES, vectors=pack(torch.full((2, 478, 3), 0.5), FACES.emotions))
    assert torch.equal(add(point, SMILING, COMPOSED, strength).landmarks, point.landmarks)
    assert add(FACES, point, COMPOSED, strength).vectors.isfinite().all()


def test_nothing_to_add_gives_the_same_object() -> None:
    assert add(FACES, SMILING, COMPOSED, 0.0) is FACES
    nobody = FACES.select([])
    assert add(nobody, SMILING, COMPOSED) is nobody
    assert add(FACES, nobody, nobody, 0.0) is FACES


def test_one_face_serves_all_and_others_are_paired() -> None:
    paired = add(FACES, FACES.select([1, 0]), FACES)
    for row in (0, 1):
        alone = add(FACES.select([row]), FACES.select([1 - row]), FACES.select([row]))
        torch.testing.assert_close(paired.vectors[row], alone.vectors[0], atol=1e-5, rtol=0)
    for b, c in ((SMILING, COMPOSED), (FACES.select([0, 0]), COMPOSED), (SMILING, FACES.select([1, 1]))):
        torch.testing.assert_close(add(FACES, b, c).vectors, add(FACES, SMILING, COMPOSED).vectors)
    for b, c, words in (
        (FACES.select([0, 1, 0]), COMPOSED, "2 faces in a cannot be paired with 3 in b"),
        (SMILING, FACES.select([0, 1, 0]), "2 faces in a cannot be paired with 3 in c"),
        (FACES.select([]), COMPOSED, "2 faces in a cannot be paired with 0 in b"),
    ):
        with pytest.raises(ValueError, match=words):
            add(FACES, b, c)


def test_all_origins_are_named() -> None:
    b, c = replace(SMILING, landmarker="another/1"), replace(COMPOSED, emotion_model="third/1")
    added = add(FACES, b, c)
    assert added.landmarker == "reference/1 + another/1"
    assert added.emotion_model == f"{MODEL.identity} + third/1"


@pytest.mark.parametrize(
    ("strength", "message"),
    [(strength, f"the strength is {strength}; use a finite number") for strength in (math.nan, math.inf, -math.inf)]
    + [(strength, "moves landmarks beyond all bounds") for strength in (1e37, -1e300)],
)
def test_bad_strengths_are_refused(strength: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add(FACES, SMILING, COMPOSED, strength)
