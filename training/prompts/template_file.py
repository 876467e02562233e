"""Prompt templates and the files that hold them: JSON, or plain text with one template per line.

    {
      "templates": ["a photo of a {emotion} person", "a {age}-year-old looking {emotion}"],
      "label_templates": ["a person, {label}"],
      "intensities": {"slight": ["subtle"], "plain": ["clear"], "strong": ["intense"]},
      "emotions": {"happy": {"slight": ["amused"], "plain": ["happy", "glad"], "strong": ["ecstatic"]},
                   "neutral": ["calm", "blank"]}
    }

Only `templates` is required. `label_templates` are for labels that `emotions` does not list (if absent, `templates`
are); what `intensities` and `emotions` leave out is as in the pack's own templates.json. A placeholder is a name in
braces and nothing else: no attributes, indices or formats. `{{` and `}}` are braces in the prompt.
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
from .labels import INTENSITIES, normalise, plain_text

SHIPPED = Path(__file__).with_name("templates.json")
KEYS = ("templates", "label_templates", "intensities", "emotions")

_NAME = re.compile(r"[^\W\d][\w -]*")
_ARTICLE = re.compile(r"\b([Aa])n? $")
_AN = re.compile(r"[aeiou]|hour|hones|honou?r|heir|8|1[18](?!\d)")
_A = re.compile(r"uni(?!n|m)|us[ei]|eu|one\b|once|ut[ei]")  # written with a vowel, spoken without


class TemplateError(PerceptionClipError, ValueError):
    """Templates that cannot be used; the message names the file, the entry and the remedy."""


@dataclass(frozen=True)
class Template:
    """Text with placeholders: each part is a literal and the placeholder after it, or None at the end."""

    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises TemplateError, without the place, for anything but text and {names}."""
        parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, form, conversion in Formatter().parse(text):
                if form or conversion:
                    raise TemplateError(f"{{{name}…}} has a format; write only {{{name}}}")
                if name is not None and not _NAME.fullmatch(name):
                    raise TemplateError(
                        f"{{{name}}} names no column; write a name between the braces, or {{{{ and }}}} for braces"
                    )
                parts.append((literal, None if name is None else name.casefold()))
        except TemplateError:
            raise
        except ValueError as error:  # Formatter's, for unbalanced braces
            raise TemplateError(f"its braces do not match ({error}); write {{{{ and }}}} for braces") from error
        return cls(tuple(parts))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The placeholders, each once, in lower case."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name is not None))

    def fill(self, values: Mapping[str, str]) -> str:
        """The prompt; "a" and "an" in front of a placeholder become what its value needs."""
        text = ""
        for literal, name in self.parts:
            text += literal
            if name is not None:
                value = values[name]
                text = _with_article(text, value) + value
        return text


@dataclass(frozen=True)
class TemplateFile:
    """What a file of templates says."""

    templates: tuple[Template, ...]
    label_templates: tuple[Template, ...] = ()
    intensities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # one of INTENSITIES → words for it
    emotions: Mapping[str, tuple[tuple[str, ...], ...]] = field(
        default_factory=dict
    )  # → words: alike, or per intensity


def read_templates(path: Path) -> TemplateFile:
    """Read a `.json` or `.txt` file. Raises TemplateError for anything that is not as described above."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except OSError as error:
        raise TemplateError(
            f"{path}: cannot be read ({error.strerror}); pass an existing .json or .txt file"
        ) from error
    if path.suffix.lower() == ".txt":
        lines = {f"line {number}": line.strip() for number, line in enumerate(text.split("\n"), start=1)}
        return TemplateFile(_templates({place: line for place, line in lines.items() if line}, str(path)))
    if path.suffix.lower() == ".json":
        return _from_json(text, path)
    raise TemplateError(f"{path}: templates are read from .json or .txt files; rename it")


def _from_json(text: str, path: Path) -> TemplateFile:
    try:
        content = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise TemplateError(f"{path}: line {error.lineno} is not JSON ({error.msg}); mend it there") from error
    except (TemplateError, RecursionError, ValueError) as error:
        raise TemplateError(f"{path}: {error}") from error
    content = _object(content, f"{path}", KEYS)
    if "templates" not in content:
        raise TemplateError(f'{path}: it has no "templates"; add "templates": ["a photo of a {{emotion}} person"]')
    sections: dict[str, tuple[Template, ...]] = {
        key: _templates(_list(content[key], f"{path}: {key}"), f"{path}: {key}")
        for key in ("templates", "label_templates")
        if key in content
    }
    place = f"{path}: intensities"
    intensities = _object(content.get("intensities", {}), place, INTENSITIES)
    return TemplateFile(
        templates=sections["templates"],
        label_templates=sections.get("label_templates", ()),
        intensities={name: _words(words, f"{place}: {name}") for name, words in intensities.items()},
        emotions=_emotions(content.get("emotions", {}), f"{path}: emotions"),
    )


def _emotions(content: object, place: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    emotions: dict[str, tuple[tuple[str, ...], ...]] = {}
    for label, words in _object(content, place).items():
        here = f"{place}: {label}"
        key = label_key(label)
        if not key or key in emotions:
            raise TemplateError(f"{here}: {'it is the same label as another' if key else 'it is no label'}; rename it")
        if isinstance(words, dict):
            levels = _object(words, here, INTENSITIES)
            missing = [name for name in INTENSITIES if name not in levels]
            if missing:
                raise TemplateError(f"{here}: {', '.join(missing)} missing; add it, or give one list of words for all")
            emotions[key] = tuple(_words(levels[name], f"{here}: {name}") for name in INTENSITIES)
        else:
            emotions[key] = (_words(words, here),)
    return emotions


def label_key(label: str) -> str:
    """By what a label is looked up: the emotion that it names, else its own words in lower case."""
    return normalise(label) or plain_text(label).casefold()


def _templates(texts: Mapping[str, object], place: str) -> tuple[Template, ...]:
    templates: dict[Template, None] = {}
    for where, text in texts.items():
        checked = _text(text, f"{place}: {where}")
        try:
            templates[Template.parse(checked)] = None
        except TemplateError as error:
            raise TemplateError(f"{place}: {where}: {checked!r}: {error}") from error
    if not templates:
        raise TemplateError(f'{place}: no template is there; add one, such as "a photo of a {{emotion}} person"')
    return tuple(templates)


def _words(content: object, place: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(_text(word, f"{place}: {where}") for where, word in _list(content, place).items()))
    if not words:
        raise TemplateError(f"{place}: the list is empty; add a word")
    return words


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"{place}: {str(value)[:80]} is no text; put it into double quotes")
    if any(unicodedata.category(mark) in ("Cc", "Cs") for mark in value):
        raise TemplateError(f"{place}: {value!r} holds a control or broken character; remove it")
    if not value.strip():
        raise TemplateError(f"{place}: it is empty; write something or remove it")
    return value.strip()


def _list(content: object, place: str) -> dict[str, object]:
    """The entries of a JSON list by how they are called in messages."""
    if not isinstance(content, list):
        raise TemplateError(f'{place}: it must be a list of texts, ["…", "…"]')
    return {f"entry {number}": entry for number, entry in enumerate(content, start=1)}


def _object(content: object, place: str, keys: Sequence[str] = ()) -> dict[str, object]:
    if not isinstance(content, dict):
        raise TemplateError(f'{place}: it must be an object, {{"{keys[0] if keys else "happy"}": …}}')
    unknown = [key for key in content if keys and key not in keys]
    if unknown:
        raise TemplateError(f"{place}: {unknown[0]!r} is not known here; use {', '.join(keys)}")
    return content


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in content if names.count(name) > 1)
        raise TemplateError(f"{twice!r} is there twice; join the two")
    return content


def _with_article(text: str, value: str) -> str:
    """`text`, its last word set to "a" or "an" as `value` needs it, if it is one of the two."""
    word = value.casefold()
    n = "n" if _AN.match(word) and not _A.match(word) else ""
    return _ARTICLE.sub(rf"\g<1>{n} ", text)
