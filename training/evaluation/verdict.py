"""Summarize an evaluation in words: whether a projection is ready to use, and if not, what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ...common.words import counted
from ..learning.settings import STARTER_SAMPLES
from .evaluation import Evaluation
from .metrics import Interval
from .text import shortened

BEFORE = "before"  # name of the initial checkpoint among the other methods of an evaluation
FEWEST_ROWS, FEWEST_GROUPS = 20, 5  # minimum number held out for a meaningful evaluation
FEWEST_TRAINED = 20  # minimum number of rows needed to learn a prompt
LEAK = 0.05  # share of evaluated rows with a near-duplicate in training; below 0.004 for photos of different people
NAMED = 5  # prompts that are named
LINE_WIDTH = 120  # of the terminal

# Few synthetic faces favor these: they come from linear models, and most of them differ in the emotion.
FAVORED = ("emotion mix", "ridge")
# The baselines, the simplest first, and what it means to be no better than each.
BASELINES = {
    "mean": "always predicts the mean target, so the training did not learn to distinguish the prompts. Check "
    "that the faces have the right prompts, and add samples",
    "emotion mix": "mixes the mean targets of the emotions and needs no training. Add faces whose prompts describe "
    "more than the emotion, or use the Emotion Prompts node",
    "nearest neighbor": "copies the target of the most similar training face. Train longer (--epochs) or add samples",
    "ridge": "is linear ridge regression. Add samples, preferably of other people, or try another --size",
}
# Of sampled faces.
MORE_SAMPLES = f"Use more samples: {STARTER_SAMPLES:,} are enough"
EMOTION_MIX = f"mixes the mean targets of the emotions and needs no training. {MORE_SAMPLES}"


@dataclass(frozen=True)
class Verdict:
    """Whether a projection beats every baseline in a meaningful evaluation, and the reasons."""

    ready: bool
    sentences: list[str]  # the most important one first

    def __str__(self) -> str:
        return "\n".join(textwrap.fill(sentence, width=LINE_WIDTH) for sentence in self.sentences)


def verdict(evaluation: Evaluation, *, sampled: bool = False) -> Verdict:
    """Return the verdict on an evaluation; with `BEFORE` among its methods it also covers the change from that.

    Of `sampled` faces, the baselines in `FAVORED` need not be beaten: it is enough not to fall behind them.

    A projection is ready if it beats every baseline (`beats`) and is no worse than its initial checkpoint, on at least
    `FEWEST_ROWS` rows of `FEWEST_GROUPS` groups that are not in training, and if the training faces differ. Possible
    improvements, such as more samples for some prompts, are mentioned but do not count.
    """
    if len(evaluation.names) == 1:
        return Verdict(False, [f"All rows have the same prompt, {_quoted(evaluation, [0])}, so there is nothing to"
                               " learn. Add faces with other prompts."])  # fmt: skip
    obstacles, notes = list(_flaws(evaluation, sampled)), list[str]()
    if len(evaluation.rows) >= FEWEST_ROWS and evaluation.groups >= FEWEST_GROUPS:
        notes += _kinds(evaluation)
        change = evaluation.lead.get(BEFORE)
        if change is not None and falls_behind(change):
            obstacles.append(
                f"Worse than the initial checkpoint: its lead over that is {_lead(change)}. Keep the initial "
                "checkpoint, and add samples or train with a lower learning rate (--lr)."
            )
        elif change is not None:
            clear = "Improvement over" if beats(change) else "No statistically clear change from"
            notes.append(f"{clear} the initial checkpoint: {_lead(change)}.")
        obstacles += _unbeaten_baseline(evaluation, sampled)
    if not sampled:  # whose prompts of one kind support each other; `_kinds` shows what was learned
        notes += _few_samples(evaluation)
    return Verdict(ready=not obstacles, sentences=[*(obstacles or [_ready(evaluation)]), *notes])


def all_metrics(evaluation: Evaluation, result: Verdict) -> dict[str, Any]:
    """Return the content for metrics.json and the metadata of a checkpoint."""
    return {**evaluation.as_dict(), "ready": result.ready, "verdict": result.sentences}


def beats(lead: dict[str, Interval]) -> bool:
    """Return whether the lead's 95 % interval is above 0 in centered cosine or recall@1, and in neither below 0."""
    cosine, recall = lead["centered_cosine"], lead["recall_at_1"]
    return max(cosine.low, recall.low) > 0 and min(cosine.high, recall.high) >= 0


def falls_behind(lead: dict[str, Interval]) -> bool:
    """Return whether the 95 % interval of the lead is below 0 in one of these metrics and not above 0 in the other."""
    return beats({metric: Interval(-i.value, -i.high, -i.low) for metric, i in lead.items()})


def _ready(evaluation: Evaluation) -> str:
    leads = {name: evaluation.lead[name] for name in BASELINES if name in evaluation.lead}
    beaten = [name for name, lead in leads.items() if beats(lead)]
    unbeaten = [name for name in leads if name not in beaten]
    but = f" except {' and '.join(unbeaten)}, which synthetic faces favor" if unbeaten else ""
    strongest = max(beaten, key=lambda name: evaluation.scores[name]["centered_cosine"].value)
    recall, prompts = evaluation.scores["projection"]["recall_at_1"], len(evaluation.names)
    return (
        f"Ready: of {counted(len(evaluation.rows), 'held-out face')} from {counted(evaluation.groups, 'group')}, "
        f"{recall.value:.0%} ({recall.low:.0%} to {recall.high:.0%}) are closest to their own prompt among "
        f"{counted(prompts, 'prompt')}; guessing would reach {1 / prompts:.1%}. The projection beats every "
        f"baseline{but}. Its lead over {strongest}, the strongest baseline it beats, is {_lead(leads[strongest])}."
    )


def _flaws(evaluation: Evaluation, sampled: bool) -> Iterator[str]:
    """Yield what makes the evaluation meaningless."""
    rows, copies = len(evaluation.rows), evaluation.near_duplicates
    if evaluation.all_near_duplicates:
        yield (
            f"All faces look the same: the landmarks of the {counted(evaluation.trained, 'training row')} are nearly "
            "identical, so only the emotion probabilities can distinguish prompts. Add pictures of other faces and "
            "expressions."
        )
    if not evaluation.by_group:
        yield (
            "Validation leaks: there are fewer than 3 groups, so the same person or clip is used for training and "
            "evaluation, and the results are too optimistic. Add other people or clips, each as a separate group."
        )
    if copies > LEAK and copies * rows >= 2:
        yield (
            f"Validation leaks: {copies:.0%} of the held-out faces are near-duplicates of a training face, such as "
            "copies of a photo or frames of a clip, so the results are too optimistic. Put related pictures in one "
            "group, or remove near-duplicates with `filter --drop-near-duplicates`."
        )
    if rows < FEWEST_ROWS or evaluation.groups < FEWEST_GROUPS:
        yield (
            f"Too few held-out samples to evaluate: only {counted(rows, 'held-out row')} from "
            f"{counted(evaluation.groups, 'group')}, but at least {FEWEST_ROWS} rows from {FEWEST_GROUPS} groups are "
            f"needed. {MORE_SAMPLES if sampled else 'Add other people, or hold out more (--val-split)'}."
        )


def _kinds(evaluation: Evaluation) -> Iterator[str]:
    """Yield how often prompts of each kind are right."""
    if evaluation.per_kind:
        parts = [f"{score.name} {score.recall.value:.0%} ({score.guessing:.0%})" for score in evaluation.per_kind]
        yield f"Right by kind of prompt, whatever the wording (guessing in parentheses): {', '.join(parts)}."


def _unbeaten_baseline(evaluation: Evaluation, sampled: bool) -> Iterator[str]:
    """Yield a sentence about the simplest baseline that is not beaten; the others are then irrelevant."""
    for name, meaning in BASELINES.items():
        lead = evaluation.lead.get(name)
        if lead is None or beats(lead) or (sampled and name in FAVORED and not falls_behind(lead)):
            continue
        comparison, doubt = "No better than", ""
        if falls_behind(lead):
            comparison = "Worse than"
        elif min(lead["centered_cosine"].value, lead["recall_at_1"].value) > 0:
            rows = counted(len(evaluation.rows), "held-out row is", "held-out rows are")
            doubt = f" It may be better, but {rows} too few to show it."
        if sampled and name == "emotion mix":
            meaning = EMOTION_MIX
        yield (
            f"{comparison} the baseline {name}: after training on {counted(evaluation.trained, 'row')}, the lead is "
            f"{_lead(lead)}.{doubt} This baseline {meaning}."
        )
        return


def _few_samples(evaluation: Evaluation) -> Iterator[str]:
    held_out = torch.bincount(evaluation.target_index, minlength=len(evaluation.names))
    few = (evaluation.trained_of < FEWEST_TRAINED) | (held_out == 0)
    indices = few.nonzero()[:, 0][evaluation.trained_of[few].argsort(stable=True)].tolist()
    if indices:
        yield (
            f"Too few samples for {len(indices):,} of {counted(len(evaluation.names), 'prompt')}, such as "
            f"{_quoted(evaluation, indices)}: they have fewer than {FEWEST_TRAINED} training rows, or none held out. "
            "Add faces for them."
        )


def _lead(lead: dict[str, Interval]) -> str:
    """Return a text such as "+0.031 [+0.012, +0.050] in mean-centered cosine and …"."""
    cosine, recall = (
        f"{i.value:+.3f} [{i.low:+.3f}, {i.high:+.3f}]" for i in (lead["centered_cosine"], lead["recall_at_1"])
    )
    return f"{cosine} in mean-centered cosine and {recall} in recall@1"


def _quoted(evaluation: Evaluation, indices: list[int]) -> str:
    return ", ".join(f"“{shortened(evaluation.names[index])}”" for index in indices[:NAMED])
