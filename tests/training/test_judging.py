from __future__ import annotations

import math

import torch

from perception_clip.training.judging import bootstrap, centred_cosine, distinct, recall_at_1

CENTRE = torch.tensor([10.0, 10.0])


def test_cosine_is_measured_around_the_centre() -> None:
    targets = CENTRE + torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    predicted = CENTRE + torch.tensor([[5.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    assert torch.allclose(centred_cosine(predicted, targets, CENTRE), torch.tensor([1.0, -1.0, 0.0]), atol=1e-5)


def test_distinct_targets() -> None:
    candidates, member = distinct(torch.tensor([[3.0, 1.0], [2.0, 2.0], [3.0, 1.0], [0.0, 0.0]]))
    assert candidates.tolist() == [[3, 1], [2, 2], [0, 0]]
    assert member.tolist() == [0, 1, 0, 2]


def test_recall_counts_the_nearest_by_angle() -> None:
    candidates = CENTRE + torch.tensor([[1.0, 0.0], [0.0, 9.0], [-1.0, -1.0]])
    predicted = CENTRE + torch.tensor([[50.0, 1.0], [0.1, 0.2], [1.0, 0.0], [0.0, 0.0]])
    member = torch.tensor([0, 1, 2, 0])
    hits = recall_at_1(predicted, candidates, member, CENTRE).tolist()
    assert hits[:3] == [1, 1, 0]
    assert math.isclose(hits[3], 1 / 3, rel_tol=1e-6)  # the mean itself can only guess


def test_bootstrap_interval() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(400, generator=generator) + 2
    interval = bootstrap(values, [str(row) for row in range(400)])
    assert math.isclose(interval.value, float(values.mean()), rel_tol=1e-6)
    half = 1.96 / 400**0.5
    assert abs(interval.low - (interval.value - half)) < 0.02 and abs(interval.high - (interval.value + half)) < 0.02


def test_few_groups_widen_the_interval() -> None:
    values = torch.cat([torch.zeros(100), torch.ones(100)])
    by_row = bootstrap(values, [str(row) for row in range(200)])
    by_group = bootstrap(values, ["a"] * 50 + ["b"] * 50 + ["c"] * 50 + ["d"] * 50)
    assert by_group.high - by_group.low > 3 * (by_row.high - by_row.low)
