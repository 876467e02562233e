"""Words for a face: thresholds at the right places, the right sides, and real faces described as they look."""

from __future__ import annotations

import pytest
import torch

from perception_clip.perception.actions.gaze import gaze
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import INDEX
from perception_clip.perception.actions.words import (
    TRAITS,
    Trait,
    describe,
    words_of_actions,
    words_of_gaze,
    words_of_pose,
)
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import head_pose

from ..reference_faces import reference_faces


def said(**values: float) -> list[str]:
    actions = torch.zeros(52)
    for name, value in values.items():
        actions[INDEX[name]] = value
    return [phrase.text for phrase in words_of_actions(actions)]


def test_an_empty_face_does_nothing() -> None:
    assert said() == [] and words_of_pose(0, 0, 0) == []


@pytest.mark.parametrize("trait", TRAITS, ids=lambda trait: trait.name)
def test_every_trait_has_three_levels_in_reach(trait: Trait) -> None:
    low, middle, high = trait.thresholds
    assert 0.05 < low < middle < high < 1
    assert len(set(trait.phrases)) == 3
    every = set(INDEX) | {name.removesuffix(side) for name in INDEX for side in ("Left", "Right")}
    assert {*trait.plus, *trait.minus} <= every


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mouthSmileLeft": 0.2, "mouthSmileRight": 0.2}, "smiling slightly"),
        ({"mouthSmileLeft": 0.95, "mouthSmileRight": 0.95}, "smiling broadly"),
        ({"jawOpen": 0.4}, "mouth open"),
        ({"eyeBlinkLeft": 0.7, "eyeBlinkRight": 0.7}, "eyes closed"),
        ({"eyeBlinkLeft": 0.7, "eyeBlinkRight": 0.05}, "left eye closed"),
        ({"eyeBlinkLeft": 0.05, "eyeBlinkRight": 0.7}, "right eye closed"),
        ({"mouthLeft": 0.5}, "mouth pulled to the left"),
    ],
)
def test_actions(values: dict[str, float], expected: str) -> None:
    assert expected in said(**values)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((5, -5), ["looking into the camera"]),
        ((15, 0), ["looking slightly to the picture's right"]),
        ((-50, 25), ["looking far to the picture's left", "looking up"]),
        ((0, -22), ["looking down"]),
    ],
)
def test_gaze(angles: tuple[float, float], expected: list[str]) -> None:
    assert [phrase.text for phrase in words_of_gaze(*angles)] == expected


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((25, 0, 0), ["head turned to the picture's right"]),
        ((-12, -35, 0), ["head slightly turned to the picture's left", "head strongly lowered"]),
        ((0, 12, 20), ["head slightly raised", "head tilted to the picture's right"]),
    ],
)
def test_pose(angles: tuple[float, float, float], expected: list[str]) -> None:
    assert [phrase.text for phrase in words_of_pose(*angles)] == expected


def test_two_real_faces() -> None:
    faces, template = reference_faces(), ExpressionModel.load().template
    measured = (
        ActionModel.load().actions(faces.landmarks, faces.image_sizes),
        gaze(faces.landmarks, faces.image_sizes, template).tolist(),
        head_pose(faces.landmarks, faces.image_sizes, template).tolist(),
    )
    smiling, composed = ([phrase.text for phrase in describe(*face)] for face in zip(*measured, strict=True))
    assert "smiling broadly" in smiling and "looking into the camera" in smiling
    assert not [text for text in composed if "smiling" in text or "mouth" in text]


def test_closed_eyes_look_nowhere() -> None:
    actions = torch.zeros(52)
    actions[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = 0.8
    assert [phrase.text for phrase in describe(actions, (30, 0), (0, 0, 0))] == ["eyes closed"]


def test_an_eye_is_closed_once() -> None:
    assert said(eyeBlinkLeft=0.95, eyeBlinkRight=0.1) == ["left eye closed"]
    assert said(eyeBlinkLeft=0.75, eyeBlinkRight=0.39) == ["eyes half closed"]


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="must have the shape"):
        words_of_actions(torch.zeros(1, 52))
