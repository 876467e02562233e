"""Prompts for sampled faces: emotions, actions, gaze, head pose, and pairs of an emotion and one of the others.

The wordings are in starter.json, except those of the emotions alone (strengths.py). Each trait there has:

    face      what the face does: sliders of Edit Perception, gaze in degrees, or head pose in degrees; see
              perception/editing/sampling.py
    before    words that stand before the noun, where English has them: CLIP reads from left to right, so the noun's
              state contains only those
    after     words that stand after it, or at the beginning of the prompt
    not_with  emotions that it forms no pair with, because they contradict it or include it

A pair uses the first of the words. Words that describe more of a trait come later. Left and right are the person's own,
as in Describe Face.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...perception.vector import EMOTIONS
from .strengths import emotion_prompts
from .template_file import Template

EMOTION, ACTION, GAZE, POSE, PAIR = KINDS = ("emotion", "action", "gaze", "pose", "pair")
FILE = Path(__file__).with_name("starter.json")


@dataclass(frozen=True)
class Trait:
    """What a sampled face shows besides its emotion, and the prompts for it."""

    name: str
    kind: str  # ACTION, GAZE or POSE
    face: Mapping[str, float]
    prompts: tuple[str, ...]  # the stronger, the later
    pairs: Mapping[str, str]  # emotion → the prompt for a face that shows both


@dataclass(frozen=True)
class Meaning:
    """What a prompt describes."""

    kind: str  # one of KINDS
    category: str  # such as "sad", "closed" or "sad, closed": prompts that differ only in their wording share it


@cache
def traits() -> tuple[Trait, ...]:
    """Return all traits, in the order of the file."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        _trait(name, kind, entry, content) for kind in (ACTION, GAZE, POSE) for name, entry in content[kind].items()
    )


@cache
def meanings() -> Mapping[str, Meaning]:
    """Return what each prompt for sampled faces describes."""
    result = {prompt: Meaning(EMOTION, emotion) for emotion in EMOTIONS for prompt in emotion_prompts(emotion)}
    for trait in traits():
        result |= {prompt: Meaning(trait.kind, trait.name) for prompt in trait.prompts}
        result |= {prompt: Meaning(PAIR, f"{emotion}, {trait.name}") for emotion, prompt in trait.pairs.items()}
    return result


def wordings() -> str:
    """Return a digest of all prompts, which changes when a file of wordings does."""
    return hashlib.sha256(repr(list(meanings().items())).encode()).hexdigest()[:8]


def _trait(name: str, kind: str, entry: Mapping[str, Any], content: Mapping[str, Any]) -> Trait:
    words = [(place, text) for place in ("before", "after") for text in entry.get(place, ())]
    first, text = words[0]
    return Trait(
        name,
        kind,
        entry["face"],
        tuple(_filled(form, words=text) for place, text in words for form in content["templates"][place]),
        {
            emotion: _filled(content["pair_templates"][first], words=text, emotion=adjective)
            for emotion, adjective in content["emotions"].items()
            if emotion not in entry.get("not_with", ())
        },
    )


def _filled(form: str, **values: str) -> str:
    return Template.parse(form).fill(values)
