"""The words in which faces are described, from a file that users can edit.

    {
      "and": " and ",
      "comma": ", ",
      "groups": {
        "doing": {"before": " ", "form": "{}", "phrases": {"smile": ["smiling slightly", "smiling", …]}},
        "gaze": {
          "before": ", ", "first": " ", "form": "looking {}", "phrases": {"gaze left": ["slightly to the left", …]}
        }
      }
    }

Each trait has a phrase for slight, plain and strong; an empty phrase leaves the trait out. A trait belongs to one
group. `before` separates a group from the one before it, and `first` from the subject, if it differs. What a file does
not contain comes from the pack's own vocabulary.json.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import PerceptionClipError
from .traits import NAMES, Finding

SHIPPED = Path(__file__).with_name("vocabulary.json")
GROUPS = ("doing", "with", "gaze", "pose")
LEVELS = ("slight", "plain", "strong")
LARGEST = 1 << 20  # bytes
REMEDY = "correct it, or remove the file to use the pack's own vocabulary"


class VocabularyError(PerceptionClipError, ValueError):
    """Raised for a vocabulary that cannot be used; the message names the file, the entry and the remedy."""


@dataclass(frozen=True)
class Group:
    """A part of a sentence."""

    before: str  # what separates it from the part before it
    first: str  # what separates it from the subject
    form: str  # with {} for its phrases


@dataclass(frozen=True)
class Vocabulary:
    """The contents of a vocabulary file, completed from the pack's own."""

    conjunction: str  # before the last of several phrases
    comma: str  # between the others
    groups: Mapping[str, Group]  # in the order of GROUPS
    phrases: Mapping[str, tuple[str, Sequence[str]]]  # trait → group, phrases for slight, plain and strong

    def phrase(self, finding: Finding) -> tuple[str, str]:
        """Return the group and the phrase of a finding; the phrase may be empty."""
        group, phrases = self.phrases[finding.name]
        return group, phrases[finding.level - 1]


def read_vocabulary(path: Path = SHIPPED) -> Vocabulary:
    """Return the vocabulary in a file. Raises VocabularyError unless it is as described above."""
    own = _read(SHIPPED, Vocabulary("", "", {}, {}))
    return own if path == SHIPPED else _read(path, own)


def _read(path: Path, base: Vocabulary) -> Vocabulary:
    content = _object(_load(path), f"{path}", ("and", "comma", "groups"))
    conjunction = _text(content.get("and", base.conjunction), f"{path}: and")
    comma = _text(content.get("comma", base.comma), f"{path}: comma")
    groups, phrases, here = dict(base.groups), dict(base.phrases), set[str]()
    for name, value in _object(content.get("groups", {}), f"{path}: groups", GROUPS).items():
        place = f"{path}: {name}"
        group = _object(value, place, ("before", "first", "form", "phrases"))
        default = base.groups.get(name, Group(" ", " ", "{}"))
        before = _text(group.get("before", default.before), f"{place}: before")
        first = _text(group.get("first", group.get("before", default.first)), f"{place}: first")
        form = _text(group.get("form", default.form), f"{place}: form")
        if form.count("{}") != 1:
            raise VocabularyError(f"{place}: form: {form!r} must contain {{}} once, for the phrases; {REMEDY}")
        groups[name] = Group(before, first, form)
        for trait, words in _object(group.get("phrases", {}), f"{place}: phrases", NAMES).items():
            if trait in here:
                raise VocabularyError(f"{place}: {trait}: the trait is in another group too; {REMEDY}")
            here.add(trait)
            phrases[trait] = name, _three(words, f"{place}: {trait}")
    return Vocabulary(conjunction, comma, {name: groups[name] for name in GROUPS if name in groups}, phrases)


def _load(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST:
            raise VocabularyError(f"{path}: the file is larger than {LARGEST >> 20} MB; {REMEDY}")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{path}: the file is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise VocabularyError(f"{path}: the file cannot be read ({error.strerror}); choose another one") from error
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise VocabularyError(f"{path}: line {error.lineno} is not valid JSON ({error.msg}); {REMEDY}") from error
    except (RecursionError, ValueError) as error:
        raise VocabularyError(f"{path}: the file is not valid JSON ({error}); {REMEDY}") from error


def _three(value: object, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) != len(LEVELS):
        raise VocabularyError(f"{place}: this must be a list of three phrases, for {', '.join(LEVELS)}; {REMEDY}")
    return tuple(_text(phrase, f"{place}: {level}").strip() for phrase, level in zip(value, LEVELS, strict=True))


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise VocabularyError(f"{place}: {str(value)[:80]} is not text; put it in double quotes")
    if any(unicodedata.category(mark) in ("Cc", "Cs") for mark in value):
        raise VocabularyError(f"{place}: {value!r} contains a control character or an invalid character; remove it")
    return value


def _object(value: object, place: str, keys: Sequence[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise VocabularyError(f'{place}: this must be an object, {{"{keys[0]}": …}}; {REMEDY}')
    for key in value:
        if key not in keys:
            raise VocabularyError(f"{place}: {key!r} is not a valid name; use {', '.join(keys)}")
    return value
