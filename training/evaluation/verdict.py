"""What an evaluation comes to, in plain words: whether a projection is ready to use, and if not, what to do."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import torch

from ...common.words import counted
from .evaluation import Evaluation
from .metrics import Interval
from .text import shortened

BEFORE = "before"  # the name, among the others of an evaluation, of the checkpoint that training started from
FEWEST_ROWS, FEWEST_GROUPS = 20, 5  # held out; from fewer, nothing can be told
FEWEST_TRAINED = 20  # rows of a prompt that it takes to learn it
LEAK = 0.05  # share of judged rows with a near-copy in training; of different people's photos it is below 0.004
NAMED = 5  # prompts
COLUMNS = 120  # of the terminal

LINEAR = "ridge"
# The simple rules, from the simplest, and what it means to be no better than one.
RULES = {
    "mean": "the mean target, which looks at no face: nothing that was learnt tells the prompts apart. See that the "
    "faces have the right prompts, and add samples",
    "emotion mix": "mixing the emotions' mean targets, which takes no training: add faces whose prompts say more than "
    "the emotion, or use the Emotion Prompts node",
    "nearest neighbour": "taking the prompt of the most similar training face: train longer (--epochs), or add samples",
    "ridge": "ridge regression, a linear rule: add samples, above all other people, or try another --size",
}


@dataclass(frozen=True)
class Verdict:
    """Whether a projection is better than every simple rule on rows that can tell, and why it is believed."""

    ready: bool
    sentences: list[str]  # the first says the most important thing

    def __str__(self) -> str:
        return "\n".join(textwrap.fill(sentence, width=COLUMNS) for sentence in self.sentences)


def verdict(evaluation: Evaluation, *, sampled: bool = False) -> Verdict:
    """Judge an evaluation; of one with `BEFORE` among its others also what training added to that.

    `sampled` faces come from a linear model: there, a linear rule need not be beaten.

    A projection is ready if it beats every simple rule (`beats`), no worse than what it started from, on at least
    `FEWEST_ROWS` rows of `FEWEST_GROUPS` groups that are not in training, and if the training faces differ. What
    merely could be better, such as prompts with few samples, is said but does not count.
    """
    if len(evaluation.names) == 1:
        return Verdict(False, [f"Nothing to tell apart: every row has the one prompt {_quoted(evaluation, [0])}."
                               " Add faces with other prompts."])  # fmt: skip
    obstacles = [*_alike(evaluation), *_leaks(evaluation)]
    too_few = _too_few_held_out(evaluation)
    obstacles += too_few or [*_start(evaluation), *_rules(evaluation, sampled)]
    added = [] if too_few else _added(evaluation)
    return Verdict(
        ready=not obstacles,
        sentences=[*(obstacles or [_ready(evaluation)]), *added, *_few_samples(evaluation)],
    )


def all_metrics(evaluation: Evaluation, judgement: Verdict) -> dict[str, Any]:
    """For metrics.json and a checkpoint's metadata."""
    return {**evaluation.as_dict(), "ready": judgement.ready, "verdict": judgement.sentences}


def beats(lead: dict[str, Interval]) -> bool:
    """Whether the lead's 95 % interval is above 0 in centred cosine or recall@1, and not below 0 in the other."""
    cosine, recall = lead["centred_cosine"], lead["recall_at_1"]
    return max(cosine.low, recall.low) > 0 and min(cosine.high, recall.high) >= 0


def falls_behind(lead: dict[str, Interval]) -> bool:
    """Whether the lead's interval is below 0 in one of them, and not above 0 in the other."""
    return beats({metric: Interval(-i.value, -i.high, -i.low) for metric, i in lead.items()})


def _ready(held: Evaluation) -> str:
    own, rivals = held.scores["projection"], [name for name in RULES if name in held.lead and beats(held.lead[name])]
    others = [name for name in RULES if name in held.lead and name not in rivals]
    but = f" but {others[0]}, as sampled faces come from a linear model" if others else ""
    best = max(rivals, key=lambda name: held.scores[name]["centred_cosine"].value)
    recall = own["recall_at_1"]
    return (
        f"Ready: of {counted(len(held.rows), 'held-out face')} of {counted(held.groups, 'group')}, {recall.value:.0%} "
        f"({recall.low:.0%} to {recall.high:.0%}) are projected nearest to their own of "
        f"{counted(len(held.names), 'prompt')}, "
        f"where guessing finds {1 / len(held.names):.1%}. It is better than every simple rule{but}; than the best of "
        f"them, {best}, by {_lead(held.lead[best])}."
    )


def _alike(held: Evaluation) -> list[str]:
    if not held.alike:
        return []
    return [
        f"All faces are alike: the landmarks of the {counted(held.trained, 'training row')} are one face, so that "
        "only the "
        "emotion probabilities can tell prompts apart. Add pictures of other faces and expressions."
    ]


def _leaks(held: Evaluation) -> list[str]:
    found = []
    if not held.by_group:
        found.append(
            "Validation leaks: there are fewer than 3 groups, so that rows of one person or clip were both learnt from "
            "and judged by, and the numbers flatter. Add other people or clips, each with a group of its own."
        )
    if held.near_copies > LEAK and held.near_copies * len(held.rows) >= 2:
        found.append(
            f"Validation leaks: {held.near_copies:.0%} of the held-out faces are nearly the same as one in training, "
            "such as copies of a photo or frames of a clip, and the numbers flatter. Give what belongs together one "
            "group, or leave copies out with `filter --drop-duplicates`."
        )
    return found


def _too_few_held_out(held: Evaluation) -> list[str]:
    rows = len(held.rows)
    if rows >= FEWEST_ROWS and held.groups >= FEWEST_GROUPS:
        return []
    return [
        f"Too few samples for judging: {counted(rows, 'held-out row')} of "
        f"{counted(held.groups, 'group')} cannot tell how good it is; {FEWEST_ROWS} rows of {FEWEST_GROUPS} groups are "
        "the least. Add other people, or hold out more (--val-split)."
    ]


def _start(held: Evaluation) -> list[str]:
    lead = held.lead.get(BEFORE)
    if lead is None or not falls_behind(lead):
        return []
    return [
        f"Worse than where it started: it differs from the checkpoint that training began from by {_lead(lead)}. Keep "
        "that one; add samples, or train with a lower learning rate (--lr)."
    ]


def _added(held: Evaluation) -> list[str]:
    lead = held.lead.get(BEFORE)
    if lead is None or falls_behind(lead):
        return []
    if beats(lead):
        return [f"This data added {_lead(lead)} to the checkpoint that training began from."]
    return [f"This data added nothing sure to the checkpoint that training began from: {_lead(lead)}."]


def _rules(held: Evaluation, sampled: bool) -> list[str]:
    """Of the simple rules that are not beaten, the simplest: who is no better than that need not hear of the others."""
    for name, meaning in RULES.items():
        lead = held.lead.get(name)
        if lead is None or beats(lead) or (sampled and name == LINEAR and not falls_behind(lead)):
            continue
        how = "Worse than" if falls_behind(lead) else "No better than"
        hopeful = not falls_behind(lead) and min(lead["centred_cosine"].value, lead["recall_at_1"].value) > 0
        unsure = (
            f" It may be better, but {counted(len(held.rows), 'held-out row is', 'held-out rows are')} too few to "
            "show it."
            if hopeful
            else ""
        )
        return [
            f"{how} {name}: after training on {counted(held.trained, 'row')}, its lead is {_lead(lead)}.{unsure} "
            f"That rule is {meaning}."
        ]
    return []


def _few_samples(held: Evaluation) -> list[str]:
    judged = torch.bincount(held.member, minlength=len(held.names))
    few = (held.trained_of < FEWEST_TRAINED) | (judged == 0)
    numbers = few.nonzero()[:, 0][held.trained_of[few].argsort(stable=True)].tolist()
    if not numbers:
        return []
    return [
        f"Too few samples for {len(numbers):,} of {counted(len(held.names), 'prompt')}, such as "
        f"{_quoted(held, numbers)}: fewer "
        f"than {FEWEST_TRAINED} training rows, or none held out. Add faces for them."
    ]


def _lead(lead: dict[str, Interval]) -> str:
    """Such as "0.031 [0.012, 0.050] in mean-centred cosine and …"."""
    cosine, recall = (
        f"{i.value:+.3f} [{i.low:+.3f}, {i.high:+.3f}]" for i in (lead["centred_cosine"], lead["recall_at_1"])
    )
    return f"{cosine} in mean-centred cosine and {recall} in recall@1"


def _quoted(held: Evaluation, numbers: list[int]) -> str:
    return ", ".join(f"“{shortened(held.names[number])}”" for number in numbers[:NAMED])
