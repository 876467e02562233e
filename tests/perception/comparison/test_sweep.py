"""A sweep's strengths, its recommendation, and its chart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.comparison.compare import compare
from perception_clip.perception.comparison.expressions import ExpressionReader
from perception_clip.perception.comparison.sweep import (
    even_strengths,
    measure_sweep,
    parse,
    recommend,
    strengths_text,
    sweep_table,
)
from perception_clip.perception.drawing.comparison_picture import comparison_picture
from perception_clip.perception.drawing.panels import DIMMED
from perception_clip.perception.drawing.sweep_chart import CURVES, sweep_chart
from perception_clip.perception.editing.edit import edit
from perception_clip.perception.vector import Perceptions

from ..reference_faces import MODEL, reference_faces

READER = ExpressionReader(MODEL, ActionModel.load())
FACES = reference_faces()
SMILING, CALM = (replace(FACES.select([row]), frames=torch.tensor([0]), frame_count=1) for row in (0, 1))
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)


def sweep_of(strengths: tuple[float, ...], *, without: tuple[int, ...] = ()) -> Perceptions:
    """The calm face with its joy edited by each strength, a face in each picture."""
    edited = [edit(CALM, {"happy": 1.0}, strength, MODEL).vectors for strength in strengths]
    together = CALM.select([0] * len(edited))
    together = replace(together, vectors=torch.cat(edited), frames=torch.arange(len(edited)), frame_count=len(edited))
    return together.select([row for row in range(len(edited)) if row not in without])


def test_strengths_are_even_and_survive_as_text() -> None:
    assert even_strengths(0, 2, 5) == STRENGTHS
    assert even_strengths(1, -0.5, 4) == (1, 0.5, 0, -0.5)
    assert 0.0 in even_strengths(-0.3, 0.6, 10)
    for strengths in (STRENGTHS, even_strengths(-2, 3, 25)):
        assert parse(strengths_text(strengths)) == pytest.approx(strengths, abs=1e-5)
    for text in ("", "a, b", "1; 2", "nan, 1", "1, inf"):
        with pytest.raises(ValueError, match="separated by commas"):
            parse(text)
    with pytest.raises(ValueError, match="at least 2 pictures"):
        even_strengths(0, 1, 1)


@pytest.mark.parametrize(
    ("gains", "faces", "strength", "reason"),
    [
        ((0, 0.4, 0.8, 1.2, 1.5), "11111", 1.25, "reaches 1"),
        ((0, 0.3, 0.5, 0.6, 0.7), "11111", 2, "highest gain is 0.70"),
        ((0, 0.3, 0.6, 0.4, 1.2), "11111", 1, "falls from 1.5 on"),
        ((0, 0.3, 0.55, 0.5, 0.7), "11111", 2, "highest gain is 0.70"),  # a dip within the noise
        ((0, 0.3, 0.6, 0, 1.2), "11101", 1, "no face at 1.5"),
        ((0, 0.02, 0.05, -0.04, 0.01), "11111", 0, "no effect"),
        ((0, -0.2, -0.3, -0.5, -0.6), "11111", 0, "no effect"),
        ((0, 0, 0, 0, 0), "00000", 0, "no face at 0.5"),
        ((0, 0.6, 1, 1.2, 1.3), "01111", 1, "reaches 1"),  # the gains start at the average neutral face
        ((1.1, 1.2, 1.3, 1.3, 1.3), "11111", 0, "try lower ones"),
    ],
)
def test_the_recommended_strength(gains: tuple[float, ...], faces: str, strength: float, reason: str) -> None:
    seen = [face == "1" for face in faces]
    for order in (slice(None), slice(None, None, -1)):  # a sweep may run downward
        number, why = recommend(STRENGTHS[order], gains[order], seen[order])
        assert number == strength and reason in why
    assert recommend((-1.0, *STRENGTHS), (2.0, *gains), (True, *seen))[0] == strength  # negative ones do not count
    assert recommend((-1.0, 0.0), (2.0, 0.0), (True, True)) == (0, "there is no picture at a strength above 0")


def test_edits_of_known_strength_are_recommended_where_they_reach_the_target() -> None:
    target = edit(CALM, {"happy": 1.0}, 1.2, MODEL)
    sweep = measure_sweep(target, sweep_of(STRENGTHS), STRENGTHS, READER)
    assert sweep.recommended == pytest.approx(1.2, abs=0.1)
    assert np.diff(sweep.comparison.gains).min() > 0.2 and sweep.comparison.gains[0] == pytest.approx(0, abs=0.01)
    assert np.argmax(sweep.comparison.matches) == 2
    assert sweep_table(sweep).startswith(f"recommended strength {sweep.recommended:g}: where the gain reaches 1")
    without_start = measure_sweep(target, sweep_of(STRENGTHS, without=(0,)), STRENGTHS, READER)
    assert 0.8 < without_start.recommended < 1.6 and "| 0 | no face | |" in sweep_table(without_start)
    with pytest.raises(ValueError, match="result has 5 pictures, but there are 3 strengths"):
        measure_sweep(target, sweep_of(STRENGTHS), (0, 1, 2), READER)


@pytest.mark.parametrize("count", [2, 5, 25])
def test_the_chart_has_a_column_for_each_picture(count: int) -> None:
    strengths = even_strengths(0, 2, count)
    sweep = measure_sweep(SMILING, sweep_of(strengths, without=(1,)), strengths, READER)
    colors = [(255, index * 10, 0) for index in range(count)]
    chart = np.asarray(sweep_chart(sweep, [Image.new("RGB", (300, 200), color) for color in colors]))
    assert 640 <= chart.shape[1] <= 2400 and 400 < chart.shape[0] < 900
    shown = [(chart == color).all(axis=2) for color in colors]
    areas = {int(mask.sum()) for mask in shown}
    assert len(areas) == 1 and areas.pop() >= 80 * 53
    lefts = [int(np.flatnonzero(mask.any(axis=0))[0]) for mask in shown]
    assert (np.diff(lefts) > 0).all()
    gain_line = (chart == (255, 213, 79)).all(axis=2)
    assert gain_line.sum() > 100


@pytest.mark.parametrize(
    ("strengths", "recommended", "place"),  # columns from the first picture's middle
    [
        ((0.0, 1.0, 2.0), 0.25, 0.25),
        ((2.0, 1.0, 0.0), 0.25, 1.75),
        ((0.0, 0.5, 2.0), 1.25, 1.5),
        ((0.0, 0.5, 1.0), 1.25, None),
    ],
)
def test_the_recommended_strength_has_a_line_in_the_chart(
    strengths: tuple[float, ...], recommended: float, place: float | None
) -> None:
    sweep = replace(measure_sweep(SMILING, sweep_of(strengths), strengths, READER), recommended=recommended)
    chart = np.asarray(sweep_chart(sweep, [Image.new("RGB", (300, 200), (255, 0, 0))] * 3)).astype(int)
    pictures = (chart == (255, 0, 0)).all(axis=2)
    below = chart[np.flatnonzero(pictures.any(axis=1))[-1] + 1 :]
    heights = (abs(below - DIMMED) < 30).all(axis=2).sum(axis=0)  # of gray lines, in each column of pixels
    if place is None:
        assert heights.max() < CURVES / 2
        return
    assert heights.max() > 0.9 * CURVES
    edges = np.flatnonzero(np.diff(pictures.any(axis=0).astype(int)))  # of the pictures, from the left
    assert abs(heights.argmax() - (edges[0] + edges[1]) / 2 - place * (edges[2] - edges[0])) <= 2


def test_a_comparison_is_drawn_with_and_without_a_baseline_and_without_faces() -> None:
    nobody = replace(SMILING.select([]), frame_count=2)
    sizes = []
    for result, baseline in ((CALM, None), (CALM, CALM), (nobody, None)):
        picture = comparison_picture(compare(SMILING, result, baseline, READER), SMILING, result, baseline)
        pixels = np.asarray(picture)
        assert picture.width == 832 and pixels.max() > 200
        sizes.append(picture.height)
    assert sizes[2] < 120 < 600 < sizes[0]
