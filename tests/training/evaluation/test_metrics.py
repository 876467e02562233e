from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.training.evaluation import metrics
from perception_clip.training.evaluation.metrics import METRICS, Interval, bootstrap, evaluate_predictions
from perception_clip.training.learning.data import centered_cosine

CENTER = torch.tensor([10.0, 10.0])


def metric(
    predicted: Tensor, candidates: Tensor, target_index: Tensor, name: str, center: Tensor = CENTER
) -> list[float]:
    evaluated = evaluate_predictions(predicted, candidates[target_index], candidates, target_index, center)
    return evaluated.values[:, METRICS.index(name)].tolist()


def test_cosine_is_measured_around_the_center() -> None:
    targets = CENTER + torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    predicted = CENTER + torch.tensor([[5.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    assert torch.allclose(centered_cosine(predicted, targets, CENTER), torch.tensor([1.0, -1.0, 0.0]), atol=1e-5)
    raw = metric(predicted, targets, torch.arange(3), "cosine")
    assert min(raw) > 0.97  # which is why it misleads


def test_the_nearest_by_angle_is_chosen() -> None:
    candidates = CENTER + torch.tensor([[1.0, 0.0], [0.0, 9.0], [-1.0, -1.0]])
    predicted = CENTER + torch.tensor([[50.0, 1.0], [0.1, 0.2], [1.0, 0.1]])
    evaluated = evaluate_predictions(predicted, candidates, candidates, torch.arange(3), CENTER)
    assert evaluated.chosen.tolist() == [0, 1, 0]
    assert metric(predicted, candidates, torch.arange(3), "recall_at_1") == [1, 1, 0]
    assert metric(predicted, candidates, torch.arange(3), "reciprocal_rank") == pytest.approx([1, 1, 1 / 3])


def test_ranks_equal_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    candidates, predicted = torch.randn(30, 8, generator=generator), torch.randn(50, 8, generator=generator)
    target_index, center = torch.arange(50) % 30, torch.full((8,), 0.3)
    monkeypatch.setattr(metrics, "SCORES", 100)  # many small steps
    order = centered_cosine(
        predicted.repeat_interleave(30, dim=0), candidates.repeat(50, 1), center
    ).view(50, 30).argsort(dim=1, descending=True)  # fmt: skip
    rank = (order == target_index[:, None]).float().argmax(dim=1) + 1
    found = {name: metric(predicted, candidates, target_index, name, center) for name in METRICS}
    assert found["recall_at_1"] == (rank == 1).tolist()
    assert found["recall_at_5"] == (rank <= 5).tolist()
    assert found["reciprocal_rank"] == pytest.approx((1 / rank).tolist(), rel=1e-6)


@pytest.mark.parametrize("count", [3, 8])
def test_the_mean_itself_can_only_guess(count: int) -> None:
    candidates = CENTER + torch.randn(count, 2, generator=torch.Generator().manual_seed(1))
    harmonic = sum(1 / rank for rank in range(1, count + 1))
    for name, expected in (("recall_at_1", 1), ("recall_at_5", min(count, 5)), ("reciprocal_rank", harmonic)):
        values = metric(CENTER.expand(count, 2), candidates, torch.arange(count), name)
        assert values == pytest.approx([expected / count] * count)


def test_ties_do_not_flatter() -> None:
    directions = torch.tensor([[2.0, 0.0], [1.0, 0.0], [3.0, 0.0], [0.0, 1.0]])  # three of them alike
    ties = CENTER + torch.tensor([[1.0, 0.0]] * 4), CENTER + directions, torch.arange(4)
    assert metric(*ties, "recall_at_1") == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert metric(*ties, "reciprocal_rank") == pytest.approx([*[(1 + 1 / 2 + 1 / 3) / 3] * 3, 1 / 4])


def test_r_squared_is_a_ratio_over_all_rows() -> None:
    from sklearn.metrics import r2_score

    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(200, 2, generator=generator) * torch.tensor([1.0, 3.0]) + 5
    predicted = targets + torch.randn(200, 2, generator=generator)
    evaluated = evaluate_predictions(predicted, targets, targets, torch.arange(200), targets.mean(dim=0))
    interval = bootstrap(evaluated.values, evaluated.weights, [str(row) for row in range(200)])[
        METRICS.index("r_squared")
    ]
    expected = r2_score(targets.numpy(), predicted.numpy(), multioutput="variance_weighted")
    assert interval.value == pytest.approx(expected, abs=1e-5)
    assert interval.low < interval.value - 0.01 and interval.high > interval.value + 0.01


def test_equal_targets_explain_nothing() -> None:
    targets = CENTER.expand(4, 2)
    evaluated = evaluate_predictions(targets + 1, targets, CENTER[None], torch.zeros(4, dtype=torch.int64), CENTER)
    found = dict(zip(METRICS, bootstrap(evaluated.values, evaluated.weights, list("abcd")), strict=True))
    assert found["r_squared"] == Interval(0, 0, 0)
    assert found["recall_at_1"] == found["reciprocal_rank"] == Interval(1, 1, 1)  # there is but one


def interval_of(values: Tensor, groups: list[str]) -> Interval:
    return bootstrap(values[:, None], torch.ones(len(values), 1), groups)[0]


def test_bootstrap_interval() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) + 2
    interval = interval_of(values, [str(row) for row in range(400)])
    assert math.isclose(interval.value, float(values.mean()), rel_tol=1e-6)
    half = 1.96 / 400**0.5
    assert abs(interval.low - (interval.value - half)) < 0.02 and abs(interval.high - (interval.value + half)) < 0.02


def test_few_groups_widen_the_interval() -> None:
    values = torch.cat([torch.zeros(100), torch.ones(100)])
    by_row = interval_of(values, [str(row) for row in range(200)])
    by_group = interval_of(values, ["a"] * 50 + ["b"] * 50 + ["c"] * 50 + ["d"] * 50)
    assert by_group.high - by_group.low > 3 * (by_row.high - by_row.low)


def test_of_one_group_the_rows_are_resampled() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(0))
    assert interval_of(values, ["anna"] * 50) == interval_of(values, [f"{row:02}" for row in range(50)])


def test_columns_share_their_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(300, generator=generator)
    two = one + 0.1 + 0.01 * torch.randn(300, generator=generator)
    columns, names = torch.stack([one, two, two - one], dim=1), [str(row // 2) for row in range(300)]
    apart = bootstrap(columns, torch.ones(300, 3), names)
    assert apart[0].high > apart[1].low  # unpaired, nothing could be told
    assert apart[2].low > 0.09 and apart[2].high < 0.11
    monkeypatch.setattr(metrics, "DRAWN", 1000)  # in many steps
    again = bootstrap(columns, torch.ones(300, 3), names)
    assert np.allclose([i.low for i in apart], [i.low for i in again], atol=1e-12)
