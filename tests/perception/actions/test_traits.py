"""What a face shows: thresholds at the right places, the right sides, no contradictions, and real faces."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.actions.gaze import gaze
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import ACTIONS, INDEX
from perception_clip.perception.actions.traits import (
    EXCLUSIONS,
    NAMES,
    TRAITS,
    Trait,
    action_findings,
    findings,
    gaze_findings,
    pose_findings,
)
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.vector import EMOTIONS

from ..reference_faces import reference_faces

AHEAD, STRAIGHT = (0.0, 0.0), (0.0, 0.0, 0.0)


def actions_with(**values: float) -> torch.Tensor:
    """Actions (52,); a name without a side sets both."""
    actions = torch.zeros(52)
    for name, value in values.items():
        actions[[INDEX[each] for each in (name, f"{name}Left", f"{name}Right") if each in INDEX]] = value
    return actions


def emotions_with(**values: float) -> torch.Tensor:
    """Probabilities with these; the rest is neutral."""
    return torch.tensor([values.get(name, 1 - sum(values.values()) if name == "neutral" else 0.0) for name in EMOTIONS])


def found(
    actions: dict[str, float], emotions: dict[str, float] | None = None, gaze: tuple[float, float] = AHEAD
) -> dict[str, int]:
    result = findings(actions_with(**actions), emotions_with(**(emotions or {})), gaze, STRAIGHT)
    return {finding.name: finding.level for finding in result}


@pytest.mark.parametrize("trait", TRAITS, ids=lambda trait: trait.name)
def test_every_trait_has_three_levels_in_reach(trait: Trait) -> None:
    low, middle, high = trait.thresholds
    assert 0.05 < low < middle < high < 1
    every = set(INDEX) | {name.removesuffix(side) for name in INDEX for side in ("Left", "Right")}
    assert {*trait.plus, *trait.minus} <= every


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ({}, {}),
        ({"mouthSmile": 0.2}, {"smile": 1}),
        ({"mouthSmile": 0.95}, {"smile": 3}),
        ({"jawOpen": 0.4}, {"jaw": 2}),
        ({"eyeBlink": 0.7}, {"closed": 3}),
        ({"eyeBlinkLeft": 0.3, "mouthLeft": 0.32}, {}),  # slight values of rare traits are noise
        ({"mouthLeft": 0.5}, {"mouth left": 2}),
    ],
)
def test_actions(actions: dict[str, float], expected: dict[str, int]) -> None:
    assert {finding.name: finding.level for finding in action_findings(actions_with(**actions))} == expected


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((5, -5), [("gaze camera", 1)]),
        ((15, 0), [("gaze left", 1)]),  # the person's left is the picture's right
        ((-50, 25), [("gaze right", 3), ("gaze up", 2)]),
        ((0, -22), [("gaze down", 2)]),
    ],
)
def test_gaze(angles: tuple[float, float], expected: list[tuple[str, int]]) -> None:
    assert [(finding.name, finding.level) for finding in gaze_findings(*angles)] == expected


@pytest.mark.parametrize(
    ("angles", "expected"),
    [
        ((0, 0, 0), []),
        ((25, 0, 0), [("turn left", 2)]),
        ((-12, -35, 0), [("turn right", 1), ("nod down", 3)]),
        ((0, 12, 20), [("nod up", 1), ("tilt left", 2)]),  # clockwise in the picture: toward the left shoulder
    ],
)
def test_pose(angles: tuple[float, float, float], expected: list[tuple[str, int]]) -> None:
    assert [(finding.name, finding.level) for finding in pose_findings(*angles)] == expected


@pytest.mark.parametrize(
    ("actions", "emotions", "expected"),
    [
        ({}, {}, {"neutral": 2, "gaze camera": 1}),
        ({}, {"fear": 0.4, "surprise": 0.4}, {"gaze camera": 1}),  # neither calm nor an emotion
        ({"mouthSmile": 0.95}, {"happy": 0.9}, {"smile": 3, "gaze camera": 1}),  # said once
        ({}, {"happy": 0.7}, {"happy": 2, "gaze camera": 1}),
        ({"mouthSmile": 0.95, "eyeBlink": 0.7}, {"sad": 0.95}, {"sad": 3, "closed": 3}),  # crying
        ({"mouthSmile": 0.7}, {"sad": 0.5, "happy": 0.4}, {"smile": 2, "gaze camera": 1}),
        ({"mouthSmile": 0.2}, {"sad": 0.5, "happy": 0.4}, {"sad": 1, "gaze camera": 1}),
        ({"mouthSmile": 0.7, "mouthFrown": 0.5, "browDown": 0.9}, {"happy": 0.8}, {"smile": 2, "gaze camera": 1}),
        ({"mouthSmile": 0.7, "eyeBlink": 0.4}, {"happy": 0.8}, {"smile": 2, "gaze camera": 1}),
        ({"mouthSmile": 0.7, "eyeBlink": 0.5}, {"happy": 0.8}, {"smile": 2, "closed": 2, "gaze camera": 1}),
        ({"jawOpen": 0.6, "mouthPress": 0.5}, {"surprise": 0.95}, {"surprise": 3, "jaw": 3, "gaze camera": 1}),
        ({"eyeBlinkLeft": 0.95, "eyeBlinkRight": 0.1}, {}, {"wink left": 3, "gaze camera": 1}),
        ({"eyeBlinkLeft": 0.05, "eyeBlinkRight": 0.7}, {}, {"wink right": 3, "gaze camera": 1}),
        ({"eyeBlinkLeft": 0.75, "eyeBlinkRight": 0.39}, {}, {"closed": 2, "gaze camera": 1}),
        ({"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.1}, {"sad": 0.7}, {"sad": 2, "closed": 2, "gaze camera": 1}),
    ],
)
def test_contradictions_are_resolved(
    actions: dict[str, float], emotions: dict[str, float], expected: dict[str, int]
) -> None:
    assert found(actions, emotions) == expected


def test_closed_eyes_look_nowhere() -> None:
    assert found({"eyeBlink": 0.8}, gaze=(30.0, 0.0)) == {"closed": 3}


numbers = st.lists(st.floats(0, 1), min_size=len(ACTIONS), max_size=len(ACTIONS)).map(torch.tensor)
shares = (
    st.lists(st.floats(0.001, 1), min_size=7, max_size=7).map(torch.tensor).map(lambda values: values / values.sum())
)
turns = st.tuples(*[st.floats(-90, 90)] * 5)


@given(numbers, shares, turns)
def test_any_face_is_described_without_contradictions(
    actions: torch.Tensor, emotions: torch.Tensor, angles: tuple[float, ...]
) -> None:
    result = findings(actions, emotions, angles[:2], angles[2:])  # type: ignore[arg-type]
    levels = {finding.name: finding.level for finding in result}
    assert len(levels) == len(result) and levels.keys() <= set(NAMES) and {*levels.values()} <= {1, 2, 3}
    for rule in EXCLUSIONS:
        if levels.get(rule.name, 0) >= rule.level:
            assert not [name for name in rule.others if 0 < levels.get(name, 0) <= rule.most]
    assert len({"closed", "wink left", "wink right"} & levels.keys()) <= 1
    rest = [finding.level for finding in result if finding.name not in EMOTIONS]
    assert all(one >= other for one, other in pairwise(rest))
    assert len(result) - len(rest) <= 1 and not [f for f in result[1:] if f.name in EMOTIONS]


def test_two_real_faces() -> None:
    faces, template = reference_faces(), ExpressionModel.load().template
    measured = zip(
        ActionModel.load().actions(faces.landmarks, faces.image_sizes),
        faces.emotions,
        gaze(faces.landmarks, faces.image_sizes, template).tolist(),
        head_pose(faces.landmarks, faces.image_sizes, template).tolist(),
        strict=True,
    )
    smiling, composed = ({finding.name: finding.level for finding in findings(*face)} for face in measured)
    assert smiling == {"smile": 3, "gaze camera": 1}
    assert composed == {"neutral": 2, "gaze camera": 1}


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="must have the shape"):
        action_findings(torch.zeros(1, 52))
