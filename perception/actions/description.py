"""Put what a face shows into a sentence, such as "a person smiling slightly with closed eyes, looking down"."""

from __future__ import annotations

from collections.abc import Sequence

from .traits import Finding
from .vocabulary import Vocabulary

SENTENCE, PHRASES = STYLES = ("sentence", "phrases")
MOST = 4  # phrases


def described(
    findings: Sequence[Finding], vocabulary: Vocabulary, *, subject: str, style: str = SENTENCE, most: int = MOST
) -> str:
    """Return the description of one face by the `most` strongest of its findings, sorted strongest first.

    A sentence is the subject with everything else after it; phrases are separated by commas and have no subject.
    """
    worded = [vocabulary.phrase(finding) for finding in findings]
    parts: dict[str, list[str]] = {name: [] for name in vocabulary.groups}
    for name, phrase in [one for one in worded if one[1]][:most]:
        parts[name].append(phrase)
    if style == PHRASES:
        return vocabulary.comma.join(
            vocabulary.groups[name].form.replace("{}", phrase) for name, phrases in parts.items() for phrase in phrases
        )
    sentence, is_first = subject.strip(), True
    for name, phrases in parts.items():
        if phrases:
            group = vocabulary.groups[name]
            sentence += group.first if is_first else group.before
            sentence += group.form.replace("{}", _list(phrases, vocabulary))
            is_first = False
    return sentence.strip(" ,，")


def _list(phrases: Sequence[str], vocabulary: Vocabulary) -> str:
    *first, last = phrases
    return vocabulary.comma.join(first) + vocabulary.conjunction + last if first else last
