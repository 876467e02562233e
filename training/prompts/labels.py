"""The names that data sets use for the seven emotions and their intensities."""

from __future__ import annotations

import re

from ...perception.vector import EMOTIONS

INTENSITIES = ("slight", "plain", "strong")
PLAIN = INTENSITIES.index("plain")

_SYNONYMS = {  # other names of the emotions that data sets use
    "angry": ("anger", "mad"),
    "disgust": ("disgusted", "disgusting"),
    "fear": ("fearful", "afraid", "scared"),
    "happy": ("happiness", "joy", "joyful"),
    "sad": ("sadness", "unhappy"),
    "surprise": ("surprised", "surprising"),
    "neutral": ("calm", "normal", "neutrality", "expressionless"),
}
_EMOTION_OF = {word: emotion for emotion in EMOTIONS for word in (emotion, *_SYNONYMS[emotion])}
_FILLERS = {"emotion", "expression", "expressions", "face", "faces", "images", "people", "person", "photos"}

_INTENSITY_SYNONYMS = {
    "slight": ("slightly", "low", "lo", "weak", "mild", "subtle", "faint", "minor", "small", "little"),
    "plain": ("normal", "medium", "md", "mid", "moderate", "average", "regular", "usual", "1", "01"),  # 01: RAVDESS
    "strong": ("strongly", "high", "hi", "intense", "extreme", "exaggerated", "severe", "very", "big", "2", "02"),
}
_LEVEL_OF = {
    word: level for level, name in enumerate(INTENSITIES) for word in (name, *_INTENSITY_SYNONYMS[name])
}  # "lo", "md" and "hi" are CREMA-D's
_UNSTATED = {"", "xx", "x", "unspecified", "unknown", "none", "n/a", "na", "-"}  # "xx" is CREMA-D's


def parse_emotion(label: str) -> str | None:
    """Return the emotion that `label` names, ignoring case, digits and dashes; None if it is not one of the seven.

    Synonyms count ("happiness", "Surprised", "03_fearful_faces"); calm counts as neutral.
    """
    words = re.findall(r"[^\W\d_]+", label.casefold())
    return _EMOTION_OF.get(" ".join(word for word in words if word not in _FILLERS))


def plain_text(label: str) -> str:
    """Return a label as it appears in a prompt, with spaces for dashes and underscores."""
    return re.sub(r"[\s_-]+", " ", label).strip()


def level_of(intensity: str) -> int | None:
    """Return the index in `INTENSITIES` of a source's word for an intensity; None for any other word.

    RAVDESS uses 01 for normal and 02 for strong; CREMA-D uses LO, MD and HI.
    """
    return _LEVEL_OF.get(intensity.strip().casefold())


def is_stated(intensity: str) -> bool:
    """Return whether a source's word states how strong the emotion is; "unknown" and CREMA-D's XX do not."""
    return intensity.strip().casefold() not in _UNSTATED
