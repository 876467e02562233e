"""Summarize an evaluation in words: whether a projection is ready to use, and if not, what to do."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import torch

from ...common.words import counted
from .evaluation import Evaluation
from .metrics import Interval
from .text import shortened

BEFORE = "before"  # name of the initial checkpoint among the other methods of an evaluation
FEWEST_ROWS, FEWEST_GROUPS = 20, 5  # minimum number held out for a meaningful evaluation
FEWEST_TRAINED = 20  # minimum number of rows needed to learn a prompt
LEAK = 0.05  # share of evaluated rows with a near-duplicate in training; below 0.004 for photos of different people
NAMED = 5  # prompts that are named
COLUMNS = 120  # of the terminal

LINEAR = "ridge"
# The baselines, the simplest first, and what it means to be no better than each.
BASELINES = {
    "mean": "always predicts the mean target, so the training did not learn to distinguish the prompts. Check "
    "that the faces have the right prompts, and add samples",
    "emotion mix": "mixes the mean targets of the emotions and needs no training. Add faces whose prompts describe "
    "more than the emotion, or use the Emotion Prompts node",
    "nearest neighbor": "copies the target of the most similar training face. Train longer (--epochs) or add samples",
    "ridge": "is linear ridge regression. Add samples, preferably of other people, or try another --size",
}


@dataclass(frozen=True)
class Verdict:
    """Whether a projection beats every baseline in a meaningful evaluation, and the reasons."""

    ready: bool
    sentences: list[str]  # the most important one first

    def __str__(self) -> str:
        return "\n".join(textwrap.fill(sentence, width=COLUMNS) for sentence in self.sentences)


def verdict(evaluation: Evaluation, *, sampled: bool = False) -> Verdict:
    """Return the verdict on an evaluation; with `BEFORE` among its methods it also covers the change from that.

    `sampled` faces come from a linear model, so the linear baseline need not be beaten.

    A projection is ready if it beats every baseline (`beats`) and is no worse than its initial checkpoint, on at least
    `FEWEST_ROWS` rows of `FEWEST_GROUPS` groups that are not in training, and if the training faces differ. Possible
    improvements, such as more samples for some prompts, are mentioned but do not count.
    """
    if len(evaluation.names) == 1:
        return Verdict(False, [f"All rows have the same prompt, {_quoted(evaluation, [0])}, so there is nothing to"
                               " learn. Add faces with other prompts."])  # fmt: skip
    obstacles = [*_all_near_duplicates(evaluation), *_leaks(evaluation)]
    too_few = _too_few_held_out(evaluation)
    obstacles += too_few or [*_start(evaluation), *_baselines(evaluation, sampled)]
    added = [] if too_few else _added(evaluation)
    return Verdict(
        ready=not obstacles,
        sentences=[*(obstacles or [_ready(evaluation)]), *added, *_few_samples(evaluation)],
    )


def all_metrics(evaluation: Evaluation, judgment: Verdict) -> dict[str, Any]:
    """Return the content for metrics.json and the metadata of a checkpoint."""
    return {**evaluation.as_dict(), "ready": judgment.ready, "verdict": judgment.sentences}


def beats(lead: dict[str, Interval]) -> bool:
    """Return whether the lead's 95 % interval is above 0 in centered cosine or recall@1, and in neither below 0."""
    cosine, recall = lead["centered_cosine"], lead["recall_at_1"]
    return max(cosine.low, recall.low) > 0 and min(cosine.high, recall.high) >= 0


def falls_behind(lead: dict[str, Interval]) -> bool:
    """Return whether the 95 % interval of the lead is below 0 in one of these metrics and not above 0 in the other."""
    return beats({metric: Interval(-i.value, -i.high, -i.low) for metric, i in lead.items()})


def _ready(held: Evaluation) -> str:
    own, rivals = (
        held.scores["projection"],
        [name for name in BASELINES if name in held.lead and beats(held.lead[name])],
    )
    others = [name for name in BASELINES if name in held.lead and name not in rivals]
    but = f" except {others[0]}, which synthetic faces favor, since they come from a linear model" if others else ""
    best = max(rivals, key=lambda name: held.scores[name]["centered_cosine"].value)
    recall = own["recall_at_1"]
    return (
        f"Ready: of {counted(len(held.rows), 'held-out face')} from {counted(held.groups, 'group')}, "
        f"{recall.value:.0%} ({recall.low:.0%} to {recall.high:.0%}) are closest to their own prompt among "
        f"{counted(len(held.names), 'prompt')}; guessing would reach {1 / len(held.names):.1%}. The projection beats "
        f"every baseline{but}. Its lead over {best}, the strongest baseline it beats, is {_lead(held.lead[best])}."
    )


def _all_near_duplicates(held: Evaluation) -> list[str]:
    if not held.all_near_duplicates:
        return []
    return [
        f"All faces look the same: the landmarks of the {counted(held.trained, 'training row')} are nearly identical, "
        "so only the emotion probabilities can distinguish prompts. Add pictures of other faces and expressions."
    ]


def _leaks(held: Evaluation) -> list[str]:
    found = []
    if not held.by_group:
        found.append(
            "Validation leaks: there are fewer than 3 groups, so the same person or clip is used for training and "
            "evaluation, and the results are too optimistic. Add other people or clips, each as a separate group."
        )
    if held.near_duplicates > LEAK and held.near_duplicates * len(held.rows) >= 2:
        found.append(
            f"Validation leaks: {held.near_duplicates:.0%} of the held-out faces are near-duplicates of a training "
            "face, such as copies of a photo or frames of a clip, so the results are too optimistic. Put related "
            "pictures in one group, or remove near-duplicates with `filter --drop-near-duplicates`."
        )
    return found


def _too_few_held_out(held: Evaluation) -> list[str]:
    rows = len(held.rows)
    if rows >= FEWEST_ROWS and held.groups >= FEWEST_GROUPS:
        return []
    return [
        f"Too few held-out samples to evaluate: only {counted(rows, 'held-out row')} from "
        f"{counted(held.groups, 'group')}, but at least {FEWEST_ROWS} rows from {FEWEST_GROUPS} groups are needed. Add "
        "other people, or hold out more (--val-split)."
    ]


def _start(held: Evaluation) -> list[str]:
    lead = held.lead.get(BEFORE)
    if lead is None or not falls_behind(lead):
        return []
    return [
        f"Worse than the initial checkpoint: its lead over that is {_lead(lead)}. Keep the initial checkpoint, and add "
        "samples or train with a lower learning rate (--lr)."
    ]


def _added(held: Evaluation) -> list[str]:
    lead = held.lead.get(BEFORE)
    if lead is None or falls_behind(lead):
        return []
    if beats(lead):
        return [f"Improvement over the initial checkpoint: {_lead(lead)}."]
    return [f"No statistically clear change from the initial checkpoint: {_lead(lead)}."]


def _baselines(held: Evaluation, sampled: bool) -> list[str]:
    """Return a sentence about the simplest baseline that is not beaten; the others are then irrelevant."""
    for name, meaning in BASELINES.items():
        lead = held.lead.get(name)
        if lead is None or beats(lead) or (sampled and name == LINEAR and not falls_behind(lead)):
            continue
        how = "Worse than" if falls_behind(lead) else "No better than"
        hopeful = not falls_behind(lead) and min(lead["centered_cosine"].value, lead["recall_at_1"].value) > 0
        unsure = (
            f" It may be better, but {counted(len(held.rows), 'held-out row is', 'held-out rows are')} too few to "
            "show it."
            if hopeful
            else ""
        )
        return [
            f"{how} the baseline {name}: after training on {counted(held.trained, 'row')}, the lead is {_lead(lead)}."
            f"{unsure} This baseline {meaning}."
        ]
    return []


def _few_samples(held: Evaluation) -> list[str]:
    evaluated = torch.bincount(held.target_index, minlength=len(held.names))
    few = (held.trained_of < FEWEST_TRAINED) | (evaluated == 0)
    numbers = few.nonzero()[:, 0][held.trained_of[few].argsort(stable=True)].tolist()
    if not numbers:
        return []
    return [
        f"Too few samples for {len(numbers):,} of {counted(len(held.names), 'prompt')}, such as "
        f"{_quoted(held, numbers)}: they have fewer than {FEWEST_TRAINED} training rows, or none held out. Add faces "
        "for them."
    ]


def _lead(lead: dict[str, Interval]) -> str:
    """Return a text such as "+0.031 [+0.012, +0.050] in mean-centered cosine and …"."""
    cosine, recall = (
        f"{i.value:+.3f} [{i.low:+.3f}, {i.high:+.3f}]" for i in (lead["centered_cosine"], lead["recall_at_1"])
    )
    return f"{cosine} in mean-centered cosine and {recall} in recall@1"


def _quoted(held: Evaluation, numbers: list[int]) -> str:
    return ", ".join(f"“{shortened(held.names[number])}”" for number in numbers[:NAMED])
