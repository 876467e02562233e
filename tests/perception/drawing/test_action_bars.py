"""The chart of a face's actions: bars as long as the values, on the person's sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from perception_clip.perception.actions.names import ACTIONS, INDEX, NAMES
from perception_clip.perception.drawing.action_bars import (
    BAR,
    BLUE,
    CHOSEN,
    GROUPS,
    MARGIN,
    SIDE,
    action_picture,
    nothing_to_draw,
)

from ..reference_faces import reference_faces

FACE = reference_faces()[0]
ANGLES = (3.0, -4.0, 5.0, 0.2, -0.2)


def chart(chosen: str = "jawOpen", curve: tuple[float, ...] = (), **values: float) -> np.ndarray:
    actions = torch.zeros(52)
    for name, value in values.items():
        actions[INDEX[name]] = value
    return np.asarray(action_picture(FACE, actions, ANGLES, "picture 0", chosen, curve))


def extent(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[int, float]:
    """How many columns of the bars have a color, and the middle of these, from 0 to 1."""
    bars = picture[:, 2 * MARGIN + SIDE :]
    columns = (np.abs(bars.astype(int) - color).max(axis=2) < 8).any(axis=0).nonzero()[0]
    return len(columns), float(np.sum(columns) / max(len(columns), 1) / bars.shape[1])


def test_every_action_has_its_bar() -> None:
    shown = [name for group in GROUPS for _, right, left in group for name in {right, left}]
    assert sorted(shown) == sorted(ACTIONS[1:])
    assert {label for group in GROUPS for label, *_ in group} >= set(NAMES) - set(ACTIONS)


@pytest.mark.parametrize(("name", "side"), [("eyeBlinkLeft", 0.7), ("eyeBlinkRight", 0.3)])
@pytest.mark.parametrize("value", [0.25, 0.8])
def test_a_bar_is_as_long_as_its_value_on_the_persons_side(name: str, side: float, value: float) -> None:
    length, middle = extent(chart(**{name: value}), BLUE)
    assert length == pytest.approx(value * BAR, abs=2)
    assert middle == pytest.approx(side, abs=0.15)


@pytest.mark.parametrize(
    ("chosen", "both"), [("mouthSmile", True), ("mouthSmileLeft", False), ("mouthSmileRight", False)]
)
def test_the_chosen_action_stands_out(chosen: str, both: bool) -> None:
    picture = chart(chosen, mouthSmileLeft=0.5, mouthSmileRight=0.5)
    assert extent(picture, CHOSEN)[0] == pytest.approx(0.5 * BAR * (2 if both else 1), abs=4)
    assert (extent(picture, BLUE)[0] == 0) if both else (extent(picture, BLUE)[0] > 0)


def test_a_sequence_has_a_curve() -> None:
    flat, curve = (chart(curve=values)[:, : 2 * MARGIN + SIDE] for values in ((), (0.0, 1.0, 0.5)))
    yellow = (np.abs(curve.astype(int) - CHOSEN).max(axis=2) < 8).any(axis=0)
    assert yellow.sum() > 200 and (flat != curve).any()
    assert np.array_equal(flat, chart(curve=(0.3,))[:, : 2 * MARGIN + SIDE])  # one picture is no sequence


def test_without_a_face_there_is_the_reason() -> None:
    picture = nothing_to_draw("there is no face with track 3 in picture 0: no face in 1 picture")
    assert isinstance(picture, Image.Image) and picture.width == chart().shape[1]
    assert np.asarray(picture).max() > 200
