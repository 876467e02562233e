"""Prompts for labeled pictures: many wordings per emotion, so that targets do not collapse onto seven points.

The name of a picture determines its wording, so building a dataset twice gives the same samples. The wordings are in
templates.json in this folder, or in a file provided by the user (see template_file.py).

A template may use {emotion}, the label in varied words that match the source's column `intensity`; {intensity}, a word
for the intensity; {label}, the unchanged label; and any other column of the source. The pack's own templates use
nothing about the person, such as {age} or {gender}: a projection should learn the expression, not the person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.words import counted
from .labels import INTENSITIES, PLAIN, is_stated, label_key, level_of, plain_text
from .template_file import SHIPPED, Template, TemplateError, read_templates

EMOTION, INTENSITY, LABEL = "emotion", "intensity", "label"
Choices = Mapping[str, tuple[str, ...]]  # placeholder → the words that may replace it


@dataclass(frozen=True)
class Templates:
    """Wordings for labels."""

    path: Path
    templates: tuple[Template, ...]
    label_templates: tuple[Template, ...]  # for labels that `emotions` does not have
    intensities: Choices  # one of INTENSITIES → words for it
    emotions: Mapping[str, tuple[tuple[str, ...], ...]]  # label → its words: one list per intensity, or one for all

    @classmethod
    def load(cls, path: Path | None = None) -> Templates:
        """Return the pack's own templates, or those of a `.json` or `.txt` file (see template_file.py).

        Words missing from the file are taken from the pack. Raises TemplateError, naming the place and the remedy.
        """
        shipped = read_templates(SHIPPED)
        chosen = shipped if path is None else read_templates(path)
        return cls(
            path=path or SHIPPED,
            templates=chosen.templates,
            label_templates=chosen.label_templates or chosen.templates,
            intensities={**shipped.intensities, **chosen.intensities},
            emotions={**shipped.emotions, **chosen.emotions},
        )

    def prompts(self, label: str, columns: Mapping[str, str], name: str, count: int = 1) -> tuple[str, ...]:
        """Return `count` different prompts for the picture called `name`; the same for the same arguments.

        Templates with a column that is missing or empty in `columns` are not used. As long as there are enough
        templates, each prompt uses a different one. A larger `count` starts with the prompts of a smaller one.

        Raises TemplateError if no template can be used, or if the templates yield fewer prompts.
        """
        choices = self._choices(label, columns)
        templates = self.templates if label_key(label) in self.emotions else self.label_templates
        usable = [template for template in templates if all(column in choices for column in template.names)]
        if not usable:
            missing = sorted({column for template in templates for column in template.names} - set(choices))
            raise TemplateError(
                f"{self.path}: no template can be used for {name} (label {label!r}): all of them use columns that it "
                f"does not have: {', '.join(missing)}. Add a template without them, or add these columns to the source"
            )
        prompts: dict[str, None] = {}
        for prompt in _in_order(usable, choices, name):
            prompts[prompt] = None
            if len(prompts) >= count:
                return tuple(prompts)
        raise TemplateError(
            f"{self.path}: the templates yield only {counted(len(prompts), 'different prompt')} for {name} (label "
            f"{label!r}), not {count}; reduce the number per picture or add templates"
        )

    def _choices(self, label: str, columns: Mapping[str, str]) -> Choices:
        """Return the words that may replace each placeholder; placeholders without a value are omitted."""
        texts = {column.casefold(): " ".join(value.split()) for column, value in columns.items()}
        intensity = texts.pop(INTENSITY, "")
        choices: dict[str, tuple[str, ...]] = {column: (text,) for column, text in texts.items() if text}
        level = level_of(intensity)
        if label_text := plain_text(label):
            words = self.emotions.get(label_key(label), ((label_text,),))
            if len(words) == 1:  # one list for all intensities, as for neutral
                level = None if level is None else PLAIN
            choices[LABEL] = (label_text,)
            choices[EMOTION] = words[0] if len(words) == 1 else words[PLAIN if level is None else level]
        if is_stated(intensity):
            choices[INTENSITY] = (intensity,) if level is None else self.intensities[INTENSITIES[level]]
        return choices


def _in_order(templates: Sequence[Template], choices: Choices, name: str) -> Iterator[str]:
    """Yield all prompts of the templates in an order that depends on the name; every round uses each template once."""
    start = _number(name) % len(templates)
    sizes = [_size(template, choices) for template in templates]
    for round_ in range(max(sizes)):
        for index in [*range(start, len(templates)), *range(start)]:
            if round_ < sizes[index]:
                combination = (_number(f"{index} {name}") + round_) % sizes[index]
                yield templates[index].fill(_combination(templates[index], choices, combination))


def _size(template: Template, choices: Choices) -> int:
    """Return the number of word combinations of a template."""
    size = 1
    for column in template.names:
        size *= len(choices[column])
    return size


def _combination(template: Template, choices: Choices, number: int) -> dict[str, str]:
    """Return the `number`-th combination of words, by placeholder."""
    values = {}
    for column in template.names:
        number, index = divmod(number, len(choices[column]))
        values[column] = choices[column][index]
    return values


def _number(text: str) -> int:
    """Return a pseudorandom number that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")
