"""The numbers behind a training report's pictures, and that they are drawn legibly whatever the data is like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from perception_clip.training.evaluation.metrics import Interval
from perception_clip.training.reports import plots
from perception_clip.training.reports.analysis import (
    OTHER_PROMPTS,
    confusion,
    importance,
    prompt_map,
    worst_predictions,
)
from perception_clip.training.reports.numbers import OTHERS as OTHER_RANK

from .evaluated_faces import Evaluated, evaluated
from .legibility import assert_legible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONG = "портрет 😀 日本語 $x_1^{2}$ a_b " + "very_long_" * 20


@pytest.fixture(scope="module")
def case() -> Evaluated:
    return evaluated()


@pytest.fixture(scope="module")
def single() -> Evaluated:
    return evaluated(rows=60, prompts=1, held=20)


@pytest.fixture(scope="module")
def many() -> Evaluated:
    return evaluated(rows=500, prompts=140, held=200, name=lambda number: f"{number} {LONG}")


def test_confusion_counts_what_is_taken_for_what(case: Evaluated) -> None:
    table, evaluation = confusion(case.evaluation), case.evaluation
    assert len(table.names) == 21 and OTHER_PROMPTS not in table.names
    np.testing.assert_allclose(table.shares.sum(axis=1), 1)
    assert table.counts.tolist() == sorted(table.counts.tolist(), reverse=True)
    assert table.counts.sum() == len(evaluation.rows)
    right = (table.counts * np.diag(table.shares)).sum() / table.counts.sum()
    assert right == pytest.approx(evaluation.scores["projection"]["recall_at_1"].value)
    first, second = (evaluation.names.index(name) for name in table.names[:2])
    own = evaluation.target_index == first
    assert table.shares[0, 1] == pytest.approx(float((evaluation.chosen[own] == second).double().mean()))


def test_rare_prompts_are_merged(case: Evaluated) -> None:
    table = confusion(case.evaluation, most=5)
    whole = confusion(case.evaluation)
    assert table.names == [*whole.names[:5], OTHER_PROMPTS]
    assert table.counts[5] == whole.counts[5:].sum()
    np.testing.assert_allclose(table.shares[:5, :5], whole.shares[:5, :5])
    np.testing.assert_allclose(table.shares.sum(axis=1), 1)


def test_the_map_shows_the_plane_in_which_the_prompts_differ_most(case: Evaluated) -> None:
    places, evaluation = prompt_map(case.evaluation), case.evaluation
    assert places.targets.shape == (21, 2) and places.predictions.shape == (140, 2)
    centered = (evaluation.candidates - evaluation.candidates.mean(dim=0)).double()
    spread = torch.linalg.svdvals(centered)
    np.testing.assert_allclose(np.linalg.norm(places.targets, axis=0), spread[:2], rtol=1e-4)
    np.testing.assert_allclose(places.shares, spread[:2].square() / spread.square().sum(), rtol=1e-4)
    # A prediction that hits its prompt lies where that lies.
    hits = prompt_map(replace(evaluation, predicted=evaluation.candidates[evaluation.target_index]))
    np.testing.assert_allclose(hits.predictions, places.targets[evaluation.target_index.numpy()], atol=1e-5)
    assert len(places.names) == 8 and set(places.ranks.tolist()) == {OTHER_RANK, *range(8)}
    assert np.bincount(places.ranks[places.ranks >= 0]).tolist() == confusion(evaluation).counts[:8].tolist()


def test_the_worst_are_the_worst(case: Evaluated) -> None:
    found, evaluation = worst_predictions(case.evaluation, case.data, case.sources), case.evaluation
    own = evaluation.candidates[evaluation.target_index] - evaluation.center
    cosines = torch.cosine_similarity(evaluation.predicted - evaluation.center, own)
    assert [sample.cosine for sample in found] == pytest.approx(cosines.sort().values[:12].tolist(), abs=1e-5)
    assert found[0].row == int(evaluation.rows[cosines.argmin()])
    for sample in found:
        assert sample.source == f"folder/{sample.row}.jpg"
        assert sample.prompt == case.data.prompts[int(case.data.target_index[sample.row])]
        np.testing.assert_allclose(sample.face, case.data.vectors[sample.row, :1434].reshape(478, 3)[:, :2])
    assert worst_predictions(case.evaluation, case.data)[0].source == ""


def test_many_prompts_are_shown_by_their_extremes(many: Evaluated) -> None:
    scores = many.evaluation.per_prompt
    worst, best = plots.extremes(scores, shown=20)
    recalls = sorted(score.metrics["recall_at_1"].value for score in scores)
    assert [score.metrics["recall_at_1"].value for score in worst] == recalls[:20]
    assert [score.metrics["recall_at_1"].value for score in best] == recalls[-20:]
    halves = plots.extremes(scores[:31], shown=20)
    assert [len(half) for half in halves] == [16, 15]
    assert [len(half) for half in plots.extremes(scores[:20], shown=20)] == [20, 0]


def test_the_kept_epoch_is_the_last_best_one(case: Evaluated) -> None:
    kept = plots.best_epoch(case.history)
    assert kept is not None and kept.number == 22
    assert plots.best_epoch([replace(epoch, best=False) for epoch in case.history]) is None
    figure = plots.learning_curves(case.history)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == [
        "Training loss", "Validation: centered cosine", "Validation: recall@1", "Learning rate",
    ]  # fmt: skip
    assert figure.axes[1].get_lines()[0].get_ydata()[21] == kept.validation["centered_cosine"]
    assert figure.axes[1].get_lines()[1].get_xdata()[0] == 22
    assert "no epochs were trained" in plots.learning_curves([]).axes[0].texts[0].get_text()


def test_scores_are_drawn_where_they_are(case: Evaluated) -> None:
    left, right = plots.scores(case.evaluation).axes
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names == list(case.evaluation.scores)
    dots = [float(line.get_xdata()[0]) for line in right.get_lines() if line.get_marker() in ("D", "o")]
    spans = [lines.get_segments()[0][:, 0].tolist() for lines in right.collections]
    intervals = [case.evaluation.scores[name]["recall_at_1"] for name in names]
    assert dots == [interval.value for interval in intervals]
    assert spans == [[interval.low, interval.high] for interval in intervals]


def test_regions_are_named_at_their_own_bars(case: Evaluated) -> None:
    found = importance(case.checkpoint, case.data, case.evaluation)
    axes = plots.regions(found).axes[1]
    expected = {**found.parts, **found.regions}
    names = {place: text.get_text() for place, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    shown = {names[round(bar.get_y() + bar.get_height() / 2)]: bar.get_width() for bar in axes.patches}
    assert shown == pytest.approx(expected)


FIGURES: dict[str, Callable[[Evaluated], Figure]] = {
    "scores": lambda case: plots.scores(case.evaluation),
    "prompts": lambda case: plots.prompts(case.evaluation),
    "emotions": lambda case: plots.emotions(case.evaluation),
    "confusion": lambda case: plots.confusions(case.evaluation),
    "curves": lambda case: plots.learning_curves(case.history[: len(case.evaluation.names)]),
    "map": lambda case: plots.prompt_map(prompt_map(case.evaluation)),
    "worst": lambda case: plots.worst(worst_predictions(case.evaluation, case.data, ["/a/long/path" * 9] * 999)),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("kind", ["case", "single", "many"])
def test_texts_do_not_overlap_or_leave_the_picture(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    case = request.getfixturevalue(kind)
    assert_legible(lambda: FIGURES[name](case))


def test_a_value_without_an_interval_is_drawn(case: Evaluated) -> None:
    unknown = {"centered_cosine": Interval(0.5, float("nan"), float("nan")), "recall_at_1": Interval(0.2, 0.2, 0.2)}
    evaluation = replace(case.evaluation, scores={"projection": unknown})
    figure = plots.scores(evaluation)
    figure.draw_without_rendering()
    assert figure.axes[0].get_xlim()[1] > 0.5
