"""Prompt templates and their files: JSON, or plain text with one template per line.

    {
      "templates": ["a photo of a {emotion} person", "a {age}-year-old looking {emotion}"],
      "label_templates": ["a person, {label}"],
      "intensities": {"slight": ["subtle"], "plain": ["clear"], "strong": ["intense"]},
      "emotions": {"happy": {"slight": ["amused"], "plain": ["happy", "glad"], "strong": ["ecstatic"]},
                   "neutral": ["calm", "blank"]}
    }

Only `templates` is required. `label_templates` are for labels that `emotions` does not list; if absent, `templates`
are used. Entries missing from `intensities` and `emotions` come from the pack's own templates.json. A placeholder is
only a name in braces, without attributes, indices or formats. `{{` and `}}` are braces in the prompt.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from string import Formatter

from ...common.errors import PerceptionClipError
from .labels import INTENSITIES, label_key

SHIPPED = Path(__file__).with_name("templates.json")
KEYS = ("templates", "label_templates", "intensities", "emotions")

_NAME = re.compile(r"[^\W\d][\w -]*")
_BEFORE_PARTICIPLES = {"looking": "", "looks": "is ", "seems": "is ", "feels": "is ", "look": "are ", "seem": "are "}
_VERB = re.compile(rf"\b({'|'.join(_BEFORE_PARTICIPLES)}) $")
_ARTICLE = re.compile(r"\b([Aa])n? $")
_AN = re.compile(r"[aeiou]|hour|hones|honou?r|heir|8|1[18](?!\d)")
_A = re.compile(r"uni(?!n|m)|us[ei]|eu|one\b|once|ut[ei]")  # spelled with an initial vowel, pronounced with a consonant


class TemplateError(PerceptionClipError, ValueError):
    """Raised for templates that cannot be used; the message names the file, the entry and the remedy."""


@dataclass(frozen=True)
class Template:
    """A text with placeholders; each part is a literal and the placeholder after it, or None at the end."""

    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return the template of a text.

        Raises TemplateError, without the file and entry, for anything but text and {names}.
        """
        parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, form, conversion in Formatter().parse(text):
                if form or conversion:
                    raise TemplateError(f"{{{name}…}} has a format; write only {{{name}}}")
                if name is not None and not _NAME.fullmatch(name):
                    raise TemplateError(
                        f"{{{name}}} is not a column name; write a name between the braces, or {{{{ and }}}} for braces"
                    )
                parts.append((literal, None if name is None else name.casefold()))
        except TemplateError:
            raise
        except ValueError as error:  # Formatter's, for unbalanced braces
            raise TemplateError(f"the braces do not match ({error}); write {{{{ and }}}} for braces") from error
        return cls(tuple(parts))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The distinct placeholders, in lower case."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the prompt with these values, to which the words before a placeholder are adapted.

        "a" becomes "an"; as "someone who looks happy" is "someone who is smiling", verbs make way for participles.
        """
        text = ""
        for literal, name in self.parts:
            text += literal
            if name is not None:
                value = values[name]
                text = _adapted(text, value) + value
        return text


@dataclass(frozen=True)
class TemplateFile:
    """The contents of a template file."""

    templates: tuple[Template, ...]
    label_templates: tuple[Template, ...] = ()
    intensities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # one of INTENSITIES → words for it
    emotions: Mapping[str, tuple[tuple[str, ...], ...]] = field(
        default_factory=dict
    )  # label → its words: one list for all intensities, or one per intensity


def read_templates(path: Path) -> TemplateFile:
    """Return the contents of a `.json` or `.txt` file. Raises TemplateError unless it is as described above."""
    if path.suffix.lower() == ".json":
        return _from_json(path)
    if path.suffix.lower() == ".txt":
        lines = {f"line {number}": line.strip() for number, line in enumerate(_text_of(path).split("\n"), start=1)}
        return TemplateFile(_templates({place: line for place, line in lines.items() if line}, str(path)))
    raise TemplateError(f"{path}: a template file must end in .json or .txt; rename it")


def read_object(path: Path, keys: Sequence[str]) -> dict[str, object]:
    """Return the object in a JSON file. Raises TemplateError for anything else, and for other keys."""
    text = _text_of(path)
    try:
        content = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise TemplateError(f"{path}: line {error.lineno} is not valid JSON ({error.msg}); correct it") from error
    except (TemplateError, RecursionError, ValueError) as error:
        raise TemplateError(f"{path}: {error}") from error
    return checked_object(content, f"{path}", keys)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path}: the file is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise TemplateError(
            f"{path}: the file cannot be read ({error.strerror}); pass an existing .json or .txt file"
        ) from error


def _from_json(path: Path) -> TemplateFile:
    content = read_object(path, KEYS)
    if "templates" not in content:
        raise TemplateError(f'{path}: "templates" is missing; add "templates": ["a photo of a {{emotion}} person"]')
    sections: dict[str, tuple[Template, ...]] = {
        key: _templates(_list(content[key], f"{path}: {key}"), f"{path}: {key}")
        for key in ("templates", "label_templates")
        if key in content
    }
    place = f"{path}: intensities"
    intensities = checked_object(content.get("intensities", {}), place, INTENSITIES)
    return TemplateFile(
        templates=sections["templates"],
        label_templates=sections.get("label_templates", ()),
        intensities={name: checked_words(words, f"{place}: {name}") for name, words in intensities.items()},
        emotions=_emotions(content.get("emotions", {}), f"{path}: emotions"),
    )


def _emotions(content: object, place: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    emotions: dict[str, tuple[tuple[str, ...], ...]] = {}
    for label, words in checked_object(content, place).items():
        here = f"{place}: {label}"
        key = label_key(label)
        if not key or key in emotions:
            reason = "the label is the same as another one" if key else "the label has no text"
            raise TemplateError(f"{here}: {reason}; rename it")
        if isinstance(words, dict):
            levels = checked_object(words, here, INTENSITIES)
            missing = [name for name in INTENSITIES if name not in levels]
            if missing:
                raise TemplateError(f"{here}: {', '.join(missing)} missing; add it, or use one list of words for all")
            emotions[key] = tuple(checked_words(levels[name], f"{here}: {name}") for name in INTENSITIES)
        else:
            emotions[key] = (checked_words(words, here),)
    return emotions


def _templates(texts: Mapping[str, object], place: str) -> tuple[Template, ...]:
    templates: dict[Template, None] = {}
    for where, text in texts.items():
        checked = _text(text, f"{place}: {where}")
        try:
            templates[Template.parse(checked)] = None
        except TemplateError as error:
            raise TemplateError(f"{place}: {where}: {checked!r}: {error}") from error
    if not templates:
        raise TemplateError(f'{place}: there is no template; add one, such as "a photo of a {{emotion}} person"')
    return tuple(templates)


def checked_words(content: object, place: str) -> tuple[str, ...]:
    """Return the texts of a JSON list. Raises TemplateError, naming the place, if it is not a list of texts."""
    words = tuple(dict.fromkeys(_text(word, f"{place}: {where}") for where, word in _list(content, place).items()))
    if not words:
        raise TemplateError(f"{place}: the list is empty; add a word")
    return words


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"{place}: {str(value)[:80]} is not a string; put it in double quotes")
    if any(unicodedata.category(mark) in ("Cc", "Cs") for mark in value):
        raise TemplateError(f"{place}: {value!r} contains a control character or an invalid character; remove it")
    if not value.strip():
        raise TemplateError(f"{place}: the text is empty; fill it in or remove it")
    return value.strip()


def _list(content: object, place: str) -> dict[str, object]:
    """Return the entries of a JSON list by their names in messages."""
    if not isinstance(content, list):
        raise TemplateError(f'{place}: this must be a list of strings, ["…", "…"]')
    return {f"entry {number}": entry for number, entry in enumerate(content, start=1)}


def checked_object(content: object, place: str, keys: Sequence[str] = ()) -> dict[str, object]:
    """Return a JSON object. Raises TemplateError, naming the place, for anything else and other keys."""
    if not isinstance(content, dict):
        raise TemplateError(f'{place}: this must be an object, {{"{keys[0] if keys else "happy"}": …}}')
    unknown = [key for key in content if keys and key not in keys]
    if unknown:
        raise TemplateError(f"{place}: {unknown[0]!r} is not a valid key; use {', '.join(keys)}")
    return content


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in content if names.count(name) > 1)
        raise TemplateError(f"the key {twice!r} appears twice; merge the two entries")
    return content


def _adapted(text: str, value: str) -> str:
    """Return `text` with its last word, if it is an article or a verb such as "looks", adapted to `value`."""
    word = value.casefold()
    if word.endswith("ing"):
        text = _VERB.sub(lambda verb: _BEFORE_PARTICIPLES[verb[1]], text)
    n = "n" if _AN.match(word) and not _A.match(word) else ""
    return _ARTICLE.sub(rf"\g<1>{n} ", text)
