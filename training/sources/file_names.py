"""Emotions in the names of files, as in `p01_happy_3.jpg`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from ..prompts.labels import known_label
from .files import Parts

_WORDS = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])")  # what separates words; bobSurprised has two


def labels_in_names(media: Sequence[Parts]) -> dict[Parts, str] | None:
    """Return the emotion in the name of each file; None if any name has none, or several.

    Several are fine where only one place has an emotion in all names: in `Joy_sad_1.jpg` and `anna_happy_2.jpg`, it is
    the second.
    """
    if not media:
        return None
    if (place := _place(media)) is not None:
        return {parts: _parts(parts)[place] for parts in media}
    found: dict[Parts, str] = {}
    for parts in media:
        if (emotion := emotion_in_name(parts)) is None:
            return None
        found[parts] = emotion
    return found


def emotion_in_name(parts: Parts) -> str | None:
    """Return the only emotion that the words of a file's name contain; None if there is none, or several."""
    emotions = {emotion for word in _WORDS.split(PurePath(parts[-1]).stem) if (emotion := known_label(word))}
    return emotions.pop() if len(emotions) == 1 else None


def _place(media: Sequence[Parts]) -> int | None:
    """Return the place of the words that are emotions in all names; None if there is none, or several."""
    common: set[int] | None = None
    for parts in media:
        found = {number for number, word in enumerate(_parts(parts)) if known_label(word)}
        common = found if common is None else common & found
        if not common:
            return None
    return common.pop() if common and len(common) == 1 else None


def _parts(parts: Parts) -> list[str]:
    return re.split(r"[\W_]+", PurePath(parts[-1]).stem)
