"""Prompts for labelled pictures: many wordings per emotion, so that targets do not collapse onto seven points.

Which wording a picture gets is decided by its name, never by chance, so that building a dataset twice gives the
same samples. The wordings are in templates.json beside this file, or in a file of the user's (see template_file.py).

A template may name {emotion}, the label in varied words as strong as the source's column `intensity` says;
{intensity}, a word for that; {label}, the label as it is; and any other column of the source. The pack's own
templates name nothing about the person, such as {age} or {gender}: the expression is to be learnt, not who shows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.words import counted
from .labels import INTENSITIES, PLAIN, is_stated, level_of, plain_text
from .template_file import SHIPPED, Template, TemplateError, label_key, read_templates

EMOTION, INTENSITY, LABEL = "emotion", "intensity", "label"
Choices = Mapping[str, tuple[str, ...]]  # placeholder → the words that it may stand for


@dataclass(frozen=True)
class Templates:
    """Wordings for labels."""

    path: Path
    templates: tuple[Template, ...]
    label_templates: tuple[Template, ...]  # for labels that `emotions` does not have
    intensities: Choices  # one of INTENSITIES → words for it
    emotions: Mapping[str, tuple[tuple[str, ...], ...]]  # label → its words: for each of INTENSITIES, or for all alike

    @classmethod
    def load(cls, path: Path | None = None) -> Templates:
        """The pack's own templates, or those of a `.json` or `.txt` file (see template_file.py).

        Words that the file does not have are the pack's. Raises TemplateError, saying where and what to change.
        """
        shipped = read_templates(SHIPPED)
        own = shipped if path is None else read_templates(path)
        return cls(
            path=path or SHIPPED,
            templates=own.templates,
            label_templates=own.label_templates or own.templates,
            intensities={**shipped.intensities, **own.intensities},
            emotions={**shipped.emotions, **own.emotions},
        )

    def prompts(self, label: str, columns: Mapping[str, str], name: str, count: int = 1) -> tuple[str, ...]:
        """`count` different prompts for the picture called `name`; always the same for the same arguments.

        Templates that name a column which `columns` does not have, or has empty, are not used. The first prompts
        are in different templates, as far as there are enough, and the first of many are those of a smaller count.

        Raises TemplateError if no template can be used, or they do not give as many prompts.
        """
        choices = self._choices(label, columns)
        templates = self.templates if label_key(label) in self.emotions else self.label_templates
        usable = [template for template in templates if all(column in choices for column in template.names)]
        if not usable:
            missing = sorted({column for template in templates for column in template.names} - set(choices))
            raise TemplateError(
                f"{self.path}: no template can be used for {name} (label {label!r}): all of them name columns that it "
                f"does not have: {', '.join(missing)}. Add a template without them, or give the source these columns"
            )
        prompts: dict[str, None] = {}
        for prompt in _in_order(usable, choices, name):
            prompts[prompt] = None
            if len(prompts) >= count:
                return tuple(prompts)
        raise TemplateError(
            f"{self.path}: its templates give {counted(len(prompts), 'different prompt')} for {name} (label "
            f"{label!r}), not "
            f"{count}; ask for fewer per picture or add templates"
        )

    def _choices(self, label: str, columns: Mapping[str, str]) -> Choices:
        """What each placeholder may stand for; those that nothing is known of are left out."""
        texts = {column.casefold(): " ".join(value.split()) for column, value in columns.items()}
        intensity = texts.pop(INTENSITY, "")
        choices: dict[str, tuple[str, ...]] = {column: (text,) for column, text in texts.items() if text}
        level = level_of(intensity)
        if label_text := plain_text(label):
            words = self.emotions.get(label_key(label), ((label_text,),))
            if len(words) == 1:  # neutral: as neutral as ever, however strongly it is played
                level = None if level is None else PLAIN
            choices[LABEL] = (label_text,)
            choices[EMOTION] = words[0] if len(words) == 1 else words[PLAIN if level is None else level]
        if is_stated(intensity):
            choices[INTENSITY] = (intensity,) if level is None else self.intensities[INTENSITIES[level]]
        return choices


def _in_order(templates: Sequence[Template], choices: Choices, name: str) -> Iterator[str]:
    """All prompts that the templates give, in an order of the name's own; every round has one of each template."""
    start = _number(name) % len(templates)
    sizes = [_size(template, choices) for template in templates]
    for round_ in range(max(sizes)):
        for index in [*range(start, len(templates)), *range(start)]:
            if round_ < sizes[index]:
                combination = (_number(f"{index} {name}") + round_) % sizes[index]
                yield templates[index].fill(_combination(templates[index], choices, combination))


def _size(template: Template, choices: Choices) -> int:
    """How many combinations of words a template has."""
    size = 1
    for column in template.names:
        size *= len(choices[column])
    return size


def _combination(template: Template, choices: Choices, number: int) -> dict[str, str]:
    """The `number`-th combination of words."""
    values = {}
    for column in template.names:
        number, index = divmod(number, len(choices[column]))
        values[column] = choices[column][index]
    return values


def _number(text: str) -> int:
    """A number that is as good as random, and always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")
