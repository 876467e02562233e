from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perception_clip.training.evaluation.evaluation import Evaluation
from perception_clip.training.evaluation.metrics import METRICS, Interval
from perception_clip.training.evaluation.verdict import beats, falls_behind, verdict

Scores = dict[str, dict[str, Interval]]
PROMPTS, ROWS = 63, 300


def metrics(cosine: tuple[float, float, float], recall: tuple[float, float, float]) -> dict[str, Interval]:
    held = {metric: Interval(0.5, 0.4, 0.6) for metric in METRICS}
    return {**held, "centered_cosine": Interval(*cosine), "recall_at_1": Interval(*recall)}


BETTER = metrics((0.031, 0.012, 0.05), (0.04, -0.01, 0.09))
LEVEL = metrics((0.004, -0.008, 0.015), (0.003, -0.02, 0.03))
WORSE = metrics((-0.031, -0.05, -0.012), (-0.04, -0.09, 0.01))
MIXED = metrics((0.031, 0.012, 0.05), (-0.04, -0.07, -0.01))


def evaluation(lead: Scores | None = None, **changes: object) -> Evaluation:
    """Of a projection that is better than every rule, on enough rows, but for what `lead` and `changes` say."""
    scores = {
        "projection": metrics((0.612, 0.59, 0.633), (0.41, 0.36, 0.46)),
        "ridge": metrics((0.581, 0.56, 0.6), (0.37, 0.32, 0.42)),
        "nearest neighbor": metrics((0.45, 0.43, 0.47), (0.35, 0.3, 0.4)),
        "emotion mix": metrics((0.28, 0.26, 0.3), (0.17, 0.14, 0.2)),
        "mean": metrics((0, 0, 0), (0.016, 0.016, 0.016)),
    }
    ahead = metrics((0.3, 0.27, 0.33), (0.2, 0.15, 0.25))
    held = Evaluation(
        scores=scores,
        lead={"ridge": BETTER, "nearest neighbor": ahead, "emotion mix": ahead, "mean": ahead, **(lead or {})},
        per_prompt=[],
        per_emotion=[],
        names=[f"face {number}" for number in range(PROMPTS)],
        candidates=torch.zeros(PROMPTS, 768),
        rows=torch.arange(ROWS),
        predicted=torch.zeros(ROWS, 768),
        target_index=torch.arange(ROWS) % PROMPTS,
        chosen=torch.arange(ROWS) % PROMPTS,
        center=torch.zeros(768),
        trained=2400,
        trained_of=torch.full((PROMPTS,), 38),
        groups=80,
        held_out=ROWS,
        prompts=PROMPTS,
        by_group=True,
        near_duplicates=0.003,
        all_near_duplicates=False,
    )
    return replace(held, **changes)  # type: ignore[arg-type]


def test_ready() -> None:
    found = verdict(evaluation())
    assert found.ready and len(found.sentences) == 1
    assert found.sentences[0] == (
        "Ready: of 300 held-out faces from 80 groups, 41% (36% to 46%) are closest to their own prompt among 63 "
        "prompts; guessing would reach 1.6%. The projection beats every baseline. Its lead over ridge, the strongest "
        "baseline it beats, is +0.031 [+0.012, +0.050] in mean-centered cosine and +0.040 [-0.010, +0.090] in recall@1."
    )
    assert max(map(len, str(found).splitlines())) <= 120


@pytest.mark.parametrize(
    ("lead", "better", "behind"),
    [(BETTER, True, False), (LEVEL, False, False), (WORSE, False, True), (MIXED, False, False)],
)
def test_better_and_worse(lead: dict[str, Interval], better: bool, behind: bool) -> None:
    assert beats(lead) is better and falls_behind(lead) is behind


def test_sampled_faces_need_not_beat_what_they_favor() -> None:
    found = verdict(evaluation({"ridge": LEVEL}), sampled=True)
    assert found.ready and "every baseline except ridge, which synthetic faces favor" in found.sentences[0]
    both = verdict(evaluation({"emotion mix": LEVEL, "ridge": LEVEL}), sampled=True)
    assert both.ready and "except emotion mix and ridge, which synthetic faces favor" in both.sentences[0]
    assert not verdict(evaluation({"ridge": WORSE}), sampled=True).ready
    assert not verdict(evaluation({"mean": LEVEL}), sampled=True).ready
    few = verdict(evaluation({"emotion mix": WORSE}), sampled=True)
    assert not few.ready and few.sentences[0].endswith("Use more samples: 12,000 are enough.")


@pytest.mark.parametrize("name", ["ridge", "nearest neighbor", "emotion mix", "mean"])
def test_no_better_than_a_rule(name: str) -> None:
    found = verdict(evaluation({name: LEVEL}))
    assert not found.ready
    start = f"No better than the baseline {name}:"
    assert found.sentences[0].startswith(f"{start} after training on 2,400 rows, the lead is +0.004")
    assert "It may be better, but 300 held-out rows are too few to show it" in found.sentences[0]
    worse = verdict(evaluation({name: WORSE}))
    assert not worse.ready and worse.sentences[0].startswith(f"Worse than the baseline {name}:")
    assert "too few to show" not in worse.sentences[0]
    assert verdict(evaluation({name: MIXED})).sentences[0].startswith(start)


def test_the_simplest_rule_is_named() -> None:
    found = verdict(evaluation({"ridge": LEVEL, "mean": LEVEL}))
    assert "Check that the faces have the right prompts" in found.sentences[0] and "ridge" not in str(found)


def test_too_few_samples_for_some_prompts() -> None:
    trained = torch.full((PROMPTS,), 38)
    trained[:7] = torch.tensor([19, 3, 0, 20, 9, 8, 7])
    found = verdict(evaluation(trained_of=trained, target_index=torch.arange(ROWS) % (PROMPTS - 1)))
    assert found.ready  # it can be used, but not for these
    assert found.sentences[1] == (
        "Too few samples for 7 of 63 prompts, such as “face 2”, “face 1”, “face 6”, “face 5”, “face 4”: they have "
        "fewer than 20 training rows, or none held out. Add faces for them."
    )


@pytest.mark.parametrize(
    ("rows", "groups", "message"),
    [(19, 19, "only 19 held-out rows from 19 groups, but"), (300, 4, "only 300 held-out rows from 4 groups, but"),
     (1, 1, "only 1 held-out row from 1 group, but")],
)  # fmt: skip
def test_too_few_held_out(rows: int, groups: int, message: str) -> None:
    target_index = torch.arange(rows) % PROMPTS
    found = verdict(evaluation({"ridge": WORSE}, rows=torch.arange(rows), target_index=target_index, groups=groups))
    assert not found.ready and message in found.sentences[0] and "--val-split" in found.sentences[0]
    assert "ridge" not in str(found)  # nothing can be told
    few = evaluation(rows=torch.arange(rows), target_index=target_index, groups=groups)
    assert "needed. Use more samples: 12,000 are enough." in verdict(few, sampled=True).sentences[0]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"all_near_duplicates": True}, "All faces look the same: the landmarks of the 2,400 training"),
        ({"names": ["a happy face"]}, "All rows have the same prompt, “a happy face”, so there is nothing to"),
        ({"by_group": False}, "Validation leaks: there are fewer than 3 groups"),
        ({"near_duplicates": 0.3}, "Validation leaks: 30% of the held-out faces are near-duplicates of a training"),
    ],
)
def test_a_meaningless_evaluation(changes: dict[str, object], start: str) -> None:
    found = verdict(evaluation(**changes))
    assert not found.ready and len(found.sentences) == 1 and found.sentences[0].startswith(start)
    assert verdict(evaluation(near_duplicates=0.04)).ready


def test_where_it_started() -> None:
    worse = verdict(evaluation({"before": WORSE}))
    assert not worse.ready
    assert worse.sentences[0].startswith("Worse than the initial checkpoint: its lead over that is")
    assert "-0.031 [-0.050, -0.012] in mean-centered cosine" in worse.sentences[0]
    better = verdict(evaluation({"before": BETTER}))
    assert better.ready and better.sentences[1].startswith("Improvement over the initial checkpoint: +0.031 [+0.012")
    assert verdict(evaluation({"old.safetensors": WORSE})).ready  # others that are compared do not count
    level = verdict(evaluation({"before": LEVEL}))
    assert level.ready and level.sentences[1].startswith("No statistically clear change from the initial checkpoint")
