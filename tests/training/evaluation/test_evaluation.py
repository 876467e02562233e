from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.projection.checkpoint import Checkpoint, Metadata
from perception_clip.training.evaluation import evaluation as module
from perception_clip.training.evaluation.evaluation import Evaluation, evaluate
from perception_clip.training.evaluation.metrics import METRICS
from perception_clip.training.evaluation.text import table
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.split import Split, split_rows

ROWS, GROUPS, PROMPTS = 600, 150, 16


def number_of(vectors: Tensor) -> Tensor:
    """The prompt's number (N,): four signs, the first of which only tells together with the second."""
    signs = (vectors[:, :4] > 0.5).long()
    return (signs[:, 0] ^ signs[:, 1]) + 2 * signs[:, 1] + 4 * signs[:, 2] + 8 * signs[:, 3]


TARGETS = torch.randn(PROMPTS, 768, generator=torch.Generator().manual_seed(5)) + 3


class Network(nn.Module):
    """Knows the targets, but for a share of the faces."""

    def __init__(self, wrong: float = 0.0, width: int = 768) -> None:
        super().__init__()
        self.wrong, self.width = wrong, width

    def features(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        return vectors[:, :4] * image_sizes[:, :1]

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        shift = (vectors[:, 5] < self.wrong).long()
        return TARGETS[(number_of(vectors) + shift) % PROMPTS, : self.width]


def checkpoint(wrong: float = 0.0, **options: Any) -> Checkpoint:
    return Checkpoint(Network(wrong, **options), Metadata(), torch.zeros(768), None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.rand(ROWS, 478, 3, generator=generator)
    emotions = torch.full((ROWS, 7), 0.05)
    emotions[torch.arange(ROWS), torch.randint(5, (ROWS,), generator=generator)] = 0.7  # none is surprised or neutral
    vectors = pack(landmarks, emotions)
    prompts = [f"prompt text {number}" for number in number_of(vectors).tolist()]
    return training_data(vectors, torch.ones(ROWS, 2, dtype=torch.int32), TARGETS[number_of(vectors)], prompts)


@pytest.fixture(scope="module")
def rows() -> Split:
    return split_rows([f"person {row % GROUPS}" for row in range(ROWS)], ROWS)


@pytest.fixture(scope="module")
def found(data: TrainingData, rows: Split) -> Evaluation:
    return evaluate(checkpoint(0.2), data, rows, {"before": checkpoint(0.6)})


def test_methods_and_metrics(found: Evaluation) -> None:
    assert list(found.scores) == ["projection", "before", "ridge", "nearest neighbor", "emotion mix", "mean"]
    assert list(found.lead) == list(found.scores)[1:]
    assert all(list(metrics) == list(METRICS) for table in (found.scores, found.lead) for metrics in table.values())
    for method, metrics in found.lead.items():
        for metric, interval in metrics.items():
            own, other = found.scores["projection"][metric].value, found.scores[method][metric].value
            assert interval.low <= interval.value <= interval.high
            assert interval.value == pytest.approx(own - other, abs=1e-9)


def test_scores(found: Evaluation, data: TrainingData, rows: Split) -> None:
    right = float((data.vectors[rows.test, 5] >= 0.2).double().mean())
    assert found.scores["projection"]["recall_at_1"].value == pytest.approx(right)
    assert 0.3 < found.scores["before"]["recall_at_1"].value < 0.5
    assert found.scores["ridge"]["recall_at_1"].value < 0.75  # no linear rule can tell
    assert found.scores["mean"]["centered_cosine"].value == 0
    assert found.scores["mean"]["recall_at_1"].value == pytest.approx(1 / PROMPTS)
    assert found.scores["mean"]["r_squared"].value == pytest.approx(0, abs=1e-6)
    assert found.scores["mean"]["cosine"].value > 0.9
    assert found.lead["before"]["recall_at_1"].low > 0.2


def test_what_was_predicted(found: Evaluation, data: TrainingData, rows: Split) -> None:
    assert torch.equal(found.rows, rows.test)
    assert torch.equal(found.candidates[found.target_index], data.targets[rows.test])
    assert torch.equal(found.candidates[found.chosen], found.predicted)
    assert torch.allclose(found.center, data.targets[rows.train].mean(dim=0), atol=1e-5)
    assert (found.trained, found.groups, found.held_out, found.prompts) == (len(rows.train), 15, 60, PROMPTS)
    assert found.by_group and not found.all_near_duplicates and found.near_duplicates == 0
    assert not found.predicted.is_inference()  # whoever gets it may calculate gradients


def test_parts(found: Evaluation, data: TrainingData, rows: Split) -> None:
    assert [score.name for score in found.per_emotion] == list(EMOTIONS[:5])
    assert sum(score.rows for score in found.per_emotion) == sum(score.rows for score in found.per_prompt) == 60
    assert sum(score.trained for score in found.per_emotion) == len(rows.train)
    counts = [score.rows for score in found.per_prompt]
    assert counts == sorted(counts, reverse=True)
    score = found.per_prompt[0]
    number = int(score.name.removeprefix("prompt text "))
    assert score.trained == int((number_of(data.vectors[rows.train]) == number).sum())
    mine = rows.test[number_of(data.vectors[rows.test]) == number]
    assert score.rows == len(mine)
    right = float((data.vectors[mine, 5] >= 0.2).double().mean())
    assert score.metrics["recall_at_1"].value == pytest.approx(right)


def test_as_dict_is_json(found: Evaluation) -> None:
    held = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    value, low, high = held["scores"]["nearest neighbor"]["centered_cosine"]
    assert low <= value <= high
    assert held["held_out_rows"] == held["evaluated_rows"] == 60 and held["split_by_group"] is True
    assert held["projection_minus"]["before"]["recall_at_1"][1] > 0.2
    assert len(held["per_emotion"]) == 5 and {"name", "rows", "trained", "recall_at_1"} <= set(held["per_prompt"][0])


def test_table(found: Evaluation) -> None:
    text = table(found)
    assert max(map(len, text.splitlines())) <= 120
    assert "recall@1 of 16 prompts" in text and "lead over nearest neighbor" in text
    assert text.endswith("(95 % bootstrap intervals over 60 rows from 15 groups not used in training)")
    assert text.index("raw cosine (misleading") > text.index("lead over mean")
    worst, best = text.split("the worst prompts")[1].split("the best prompts")
    assert worst.count("prompt text") == 5 and best.count("prompt text") == 5
    path = f"{'folder/' * 20}before.pth"
    compared = table(replace(found, scores={path: found.scores["before"]}, lead={path: found.lead["before"]}))
    assert "lead over …" in compared and compared.count("/before.pth ") == 3
    assert max(map(len, compared.splitlines())) <= 120
    long = replace(found, per_prompt=[replace(found.per_prompt[0], name="a face\n" * 40)])
    assert "so this is too optimistic" in table(replace(found, by_group=False))
    assert "prompts, worst first" in table(long) and max(map(len, table(long).splitlines())) <= 120


def test_many_rows_are_judged_by_whole_groups(data: TrainingData, rows: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    found = evaluate(checkpoint(), data, rows)
    groups = {rows.groups[row] for row in found.rows.tolist()}
    assert len(found.rows) == 8 and len(groups) == found.groups == 2  # of 4 rows each
    assert found.names == [data.prompts[number] for number in data.target_index[found.rows].unique().tolist()]
    assert found.scores["projection"]["recall_at_1"].value == 1
    note = "over 8 of 60 held-out rows from 2 groups not used in training; recall uses the"
    assert f"{note} {len(found.names)} prompts of these rows, out of 16)" in table(found)


def test_one_huge_group_is_sampled(data: TrainingData, rows: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    found = evaluate(checkpoint(), data, replace(rows, groups=["anna"] * ROWS))
    assert len(found.rows) == 10 and set(found.rows.tolist()) <= set(rows.test.tolist())
    assert "from a single group, so the intervals are too narrow" in table(found)


def test_pictures_count_as_square_where_training_knew_no_sizes(data: TrainingData, rows: Split) -> None:
    strange = replace(data, image_sizes=torch.randint(1, 1000, (ROWS, 2), dtype=torch.int32))
    blind = replace(checkpoint(), metadata=Metadata(uses_image_sizes=False))
    assert evaluate(blind, strange, rows).scores["ridge"] == evaluate(checkpoint(), data, rows).scores["ridge"]


def test_unusable_checkpoints(data: TrainingData, rows: Split) -> None:
    with pytest.raises(ValueError, match="before projects into 5 dimensions, but the dataset's targets have 768"):
        evaluate(checkpoint(), data, rows, {"before": checkpoint(width=5)})
    bad = checkpoint()
    bad.network.forward = lambda vectors, sizes: vectors[:, :768] / 0  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=rf"projection projects row {int(rows.test[0])} .* not finite"):
        evaluate(bad, data, rows)


def test_all_targets_equal(data: TrainingData, rows: Split) -> None:
    one = training_data(data.vectors, data.image_sizes, TARGETS[:1].expand(ROWS, -1).contiguous())
    found = evaluate(checkpoint(), one, rows)
    assert json.dumps(found.as_dict(), allow_nan=False) and table(found)
    assert found.scores["mean"]["recall_at_1"].value == 1 and found.names == ["prompt 1"]


def test_the_smallest_dataset(data: TrainingData) -> None:
    three = training_data(data.vectors[:3], data.image_sizes[:3], data.targets[:3])
    found = evaluate(checkpoint(), three, split_rows(None, 3))
    assert len(found.rows) == 1 and json.dumps(found.as_dict(), allow_nan=False) and table(found)
