"""Prompts for faces whose emotion and strength are known as numbers, such as sampled faces.

Their wordings are in strengths.json, a template file whose words for each intensity become stronger from the first to
the last. For pictures with a label see templates.py.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .template_file import TemplateFile, read_templates

# Strength 0 is a neutral face and 1 the plain emotion; higher values are exaggerated.
NEUTRAL_BELOW = 0.15
STRONGEST = 1.5  # the strongest exaggeration of sampled faces
LEVELS = ((NEUTRAL_BELOW, 0.6), (0.6, 1.2), (1.2, STRONGEST))  # slight, plain, strong: from … to below


def prompt_at(emotion: str, strength: float) -> str:
    """Return the prompt whose wording best fits the strength of an emotion, 0…1.5; stronger faces get stronger words.

    If the strength is known, as for sampled faces, a randomly chosen prompt would only blur the target.
    """
    templates, emotions = _wordings().templates, _wordings().emotions
    if emotion == "neutral" or strength < NEUTRAL_BELOW:
        return templates[0].fill({"emotion": emotions["neutral"][0][0]})
    level = sum(strength >= begin for begin, _ in LEVELS[1:])
    begin, end = LEVELS[level]
    words = emotions[emotion][level]
    index = min(int((strength - begin) / (end - begin) * len(words)), len(words) - 1)
    return templates[index].fill({"emotion": words[index]})  # a different template for each word


def emotion_prompts(emotion: str) -> tuple[str, ...]:
    """Return all prompts that `prompt_at` has for an emotion."""
    templates, levels = _wordings().templates, _wordings().emotions[emotion]
    return tuple(templates[index].fill({"emotion": word}) for words in levels for index, word in enumerate(words))


@cache
def _wordings() -> TemplateFile:
    return read_templates(Path(__file__).with_name("strengths.json"))
