"""Prompts for sampled faces: emotions, actions, gaze, head pose, and pairs of an emotion and one of the others.

The wordings are in starter.json, except those of the emotions alone (strengths.py). Each trait there has:

    face      what the face does: sliders of Edit Perception, gaze in degrees, or head pose in degrees; see
              perception/editing/sampling.py
    before    words that stand before the noun, where English has them: CLIP reads from left to right, so the noun's
              state contains only those
    after     words that stand after it, or at the beginning of the prompt
    not_with  emotions that it forms no pair with, because they contradict it or include it

A pair uses the first of the words. Words that describe more of a trait come later. Left and right are the person's own,
as in Describe Face, whose names for the traits are used (perception/actions/traits.py).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...perception.editing.sampling import DOING
from ...perception.vector import EMOTIONS
from .strengths import emotion_prompts
from .template_file import Template, TemplateError, checked_object, checked_words, read_object

EMOTION, ACTION, GAZE, POSE, PAIR = KINDS = ("emotion", "action", "gaze", "pose", "pair")
FILE = Path(__file__).with_name("starter.json")
TRAIT_KINDS = (ACTION, GAZE, POSE)
BEFORE, AFTER = PLACES = ("before", "after")  # the noun
FORMS = {
    BEFORE: ("a {words} person", "a photo of a {words} person"),
    AFTER: ("a person {words}", "{words}, a photo of a person"),
}
PAIR_FORMS = {BEFORE: "a {emotion}, {words} person", AFTER: "a {emotion} person {words}"}
ADJECTIVES = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "frightened",
    "happy": "happy",
    "sad": "sad",
    "surprise": "surprised",
}


@dataclass(frozen=True)
class Trait:
    """What a sampled face shows besides its emotion, and the prompts for it."""

    name: str
    kind: str  # one of TRAIT_KINDS
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
    """Return all traits, in the order of the file. Raises TemplateError, with place and remedy, for mistakes in it."""
    return read_traits(FILE)


def read_traits(path: Path) -> tuple[Trait, ...]:
    """Return the traits in a file such as starter.json; see `traits`."""
    content, found, owners = read_object(path, TRAIT_KINDS), [], dict[str, str]()
    for kind in TRAIT_KINDS:
        for name, entry in checked_object(content.get(kind, {}), f"{path}: {kind}").items():
            place = f"{path}: {kind}: {name}"
            trait = _trait(name, kind, checked_object(entry, place, ("face", *PLACES, "not_with")), place)
            for prompt in (*trait.prompts, *trait.pairs.values()):
                if owners.setdefault(prompt, name) != name:
                    raise TemplateError(f"{place}: {prompt!r} is also a prompt of {owners[prompt]}; change one of them")
            found.append(trait)
    return tuple(found)


@cache
def meanings() -> Mapping[str, Meaning]:
    """Return what each prompt for sampled faces describes."""
    result = {prompt: Meaning(EMOTION, emotion) for emotion in EMOTIONS for prompt in emotion_prompts(emotion)}
    for trait in traits():
        result |= {prompt: Meaning(trait.kind, trait.name) for prompt in trait.prompts}
        result |= {prompt: Meaning(PAIR, f"{emotion}, {trait.name}") for emotion, prompt in trait.pairs.items()}
    return result


def version() -> str:
    """Return a digest of the files, which changes with the wordings and with what faces do."""
    return hashlib.sha256(repr((traits(), list(meanings().items()))).encode()).hexdigest()[:8]


def _trait(name: str, kind: str, entry: Mapping[str, object], place: str) -> Trait:
    lists = {key: checked_words(entry[key], f"{place}: {key}") for key in (*PLACES, "not_with") if key in entry}
    words = [(where, text) for where in PLACES for text in lists.get(where, ())]
    if not words:
        raise TemplateError(f'{place}: there are no words; add "{AFTER}": ["with …"]')
    excluded = lists.get("not_with", ())
    if unknown := [emotion for emotion in excluded if emotion not in ADJECTIVES]:
        raise TemplateError(f"{place}: not_with: {unknown[0]!r} is not an emotion; use {', '.join(ADJECTIVES)}")
    first, text = words[0]
    return Trait(
        name,
        kind,
        _face(entry.get("face"), f"{place}: face"),
        tuple(_filled(form, words=text) for where, text in words for form in FORMS[where]),
        {
            emotion: _filled(PAIR_FORMS[first], words=text, emotion=adjective)
            for emotion, adjective in ADJECTIVES.items()
            if emotion not in excluded
        },
    )


def _face(content: object, place: str) -> Mapping[str, float]:
    face: dict[str, float] = {}
    for name, amount in checked_object(content, place, DOING).items():
        if not isinstance(amount, int | float) or not math.isfinite(amount) or not amount:
            raise TemplateError(f"{place}: {name}: {amount!r} is not an amount; write a number other than 0")
        face[name] = amount
    if not face:
        raise TemplateError(f"{place}: the face does nothing; add one of {', '.join(DOING)}")
    return face


def _filled(form: str, **values: str) -> str:
    return Template.parse(form).fill(values)
