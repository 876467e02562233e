"""The pictures that ComfyUI shows of training: what is drawn where, and that all of it fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.drawing.canvas import BACKGROUND
from perception_clip.training.learning.run import Epoch
from perception_clip.training.reports.node_picture import (
    BLUE,
    GREEN,
    ORANGE,
    curve_picture,
    number,
    result_picture,
    ticks,
)

METHODS = ("projection", "ridge", "nearest neighbor", "emotion mix", "mean")


def epochs(count: int, best: int = 1, loss: float | None = None) -> list[Epoch]:
    """Loss falls and validation rises; the best is the one epoch of that number."""
    return [
        Epoch(
            number=n,
            loss=1 / n if loss is None else loss,
            validation={"centered_cosine": 1 - 1 / n, "recall_at_1": 0.5 - 0.5 / n},
            best=n == best,
            learning_rate=1e-3,
            seconds=float(n),
        )
        for n in range(1, count + 1)
    ]


def metrics(value: float = 0.6, half: float = 0.05, *, ready: bool = True, verdict: Sequence[str] = ("One.",)) -> Any:
    """Of a checkpoint: the projection has `value`, the others less and less."""
    means = {method: value - 0.1 * place for place, method in enumerate(METHODS)}
    intervals = {method: [mean, mean - half, mean + half] for method, mean in means.items()}
    scores = {method: {"centered_cosine": each, "recall_at_1": each} for method, each in intervals.items()}
    evaluated = {"prompts": 7, "evaluated_rows": 40, "evaluated_groups": 8}
    return {"scores": scores, "ready": ready, "verdict": verdict, **evaluated}


def places(picture: Any, color: tuple[int, int, int], rows: slice = slice(None)) -> np.ndarray:
    """(n, 2): rows and columns of the pixels of that color."""
    near = np.abs(np.asarray(picture, dtype=int)[rows] - color).max(axis=2) < 12
    return np.argwhere(near)


def test_the_loss_falls_and_validation_rises_to_the_right() -> None:
    picture = curve_picture(epochs(30), 480, 360)
    assert picture.size == (480, 360) and picture.mode == "RGB"
    for color, rows, rising in ((ORANGE, slice(40, 180), False), (BLUE, slice(220, 360), True)):
        drawn = places(picture, color, rows)
        left, right = (drawn[abs(drawn[:, 1] - end) < 6][:, 0].mean() for end in (66, 455))
        assert (right < left) == rising and abs(right - left) > 60


def test_the_best_epoch_is_marked_where_it_is() -> None:
    marks = []
    for best in (5, 25):
        white = places(curve_picture(epochs(30, best), 480, 360), (255, 255, 255), slice(60, 140))
        columns, counts = np.unique(white[:, 1], return_counts=True)
        marks.append(float(columns[counts >= 60].mean()))
    assert marks == [pytest.approx(58 + (best - 1) / 29 * 406, abs=2) for best in (5, 25)]


def test_side_by_side_where_there_is_width() -> None:
    wide = curve_picture(epochs(20), 1000, 300)
    assert places(wide, ORANGE)[:, 1].max() < 500 < places(wide, BLUE)[:, 1].min()


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_any_number_of_epochs_is_drawn(count: int) -> None:
    assert len(places(curve_picture(epochs(count), 320, 200), ORANGE)) > 30
    for loss in (math.nan, math.inf, 0.0, 1e30, -1e-30):
        assert curve_picture(epochs(count, loss=loss), 320, 200).size == (320, 200)


def test_the_verdict_stands_on_top_in_its_color() -> None:
    ready, not_yet = (result_picture(metrics(ready=ready), epochs(9)) for ready in (True, False))
    assert len(places(ready, GREEN, slice(0, 60))) > 100 > len(places(not_yet, GREEN, slice(0, 60)))
    assert len(places(not_yet, ORANGE, slice(0, 60))) > 100
    assert ready.width == 1024 and 500 < ready.height < 900


def test_a_dot_lies_in_its_interval_and_further_right_is_better() -> None:
    def span(**values: float) -> np.ndarray:
        return places(result_picture(metrics(**values)), BLUE, slice(150, None))[:, 1]

    low, high = span(value=0.3), span(value=0.6)
    assert low.min() < low.max() and high.min() < high.max() < 214 + 250
    assert np.ptp(span(half=0.2)) > 2 * np.ptp(span(half=0.01))
    with pytest.raises(KeyError):
        result_picture({"scores": {}})


def test_nothing_reaches_the_border() -> None:
    held = metrics(ready=False, verdict=["Ünïcödé “quotes” " + "x" * 400, "many words " * 60])
    held["scores"]["a checkpoint whose name is far too long for its column"] = held["scores"]["mean"]
    pixels = np.asarray(result_picture(held, epochs(50)))
    border = np.concatenate([pixels[:6].reshape(-1, 3), pixels[-4:].reshape(-1, 3), pixels[:, :10].reshape(-1, 3)])
    assert (border == BACKGROUND).all() and (pixels[:, -10:] == BACKGROUND).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_in_range_and_tell_apart(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 13
    assert all(low - 1e-6 * span <= value <= low + span + 1e-6 * span for value in found)
    assert len({number(value, span) for value in found}) == len(found) or span < 1e-3 * abs(low) or span > 1e5


@pytest.mark.parametrize(
    ("value", "span", "said"),
    [
        (0.25, 1.0, "0.2"),
        (0.03126, 5.7e-5, "0.03126"),
        (0.0, 1e-5, "0"),
        (3e-5, 1e-4, "3e-05"),
        (2.5e6, 1e7, "2.5e+06"),
    ],
)
def test_a_number_has_the_digits_that_tell_ticks_apart(value: float, span: float, said: str) -> None:
    assert number(value, span) == said
