"""Prompts for labels: many wordings per emotion and strength, so that targets do not collapse onto seven points.

Which wording a picture gets is decided by a number, never by chance, so that building a dataset twice gives
the same samples.
"""

from __future__ import annotations

import re
import zlib

from ..perception.vector import EMOTIONS

TEMPLATES = (
    "a person looking {feeling}",
    "a photo of a {feeling} person",
    "a close-up portrait of a {feeling} face",
    "a {feeling} facial expression",
    "someone with a {feeling} expression on their face",
    "a {feeling} look",
    "the face of someone {feeling}",
    "a portrait photo of someone, {feeling} expression",
    "a headshot of someone who is {feeling}",
    "they look {feeling}",
)
LABEL_TEMPLATES = (  # for labels that are none of the seven emotions
    "a person, {label}",
    "a photo of a person, {label}",
    "a portrait of a face, {label}",
    "a close-up of a face, {label}",
    "{label}, facial expression",
    "someone's face, {label}",
    "a headshot, {label}",
    "a portrait photo of someone, {label}",
)
_NEUTRAL = ("neutral", "calm", "relaxed", "composed", "expressionless", "blank")
FEELINGS = {  # emotion → how people say it when it is slight, plain, strong
    "angry": (
        ("slightly angry", "slightly annoyed", "mildly irritated", "somewhat cross", "faintly angry"),
        ("angry", "mad", "annoyed", "irritated", "cross", "hostile"),
        ("very angry", "furious", "enraged", "extremely angry", "outraged"),
    ),
    "disgust": (
        ("slightly disgusted", "mildly disgusted", "somewhat repelled", "faintly disgusted", "vaguely queasy"),
        ("disgusted", "repelled", "nauseated", "repulsed", "grossed out", "sickened"),
        ("very disgusted", "utterly revolted", "extremely disgusted", "deeply repulsed", "revolted"),
    ),
    "fear": (
        ("slightly afraid", "slightly scared", "somewhat uneasy", "mildly anxious", "vaguely worried"),
        ("afraid", "scared", "fearful", "frightened", "anxious", "alarmed"),
        ("very scared", "terrified", "extremely frightened", "panicked", "horrified"),
    ),
    "happy": (
        ("slightly happy", "mildly amused", "faintly smiling", "somewhat cheerful", "gently smiling"),
        ("happy", "smiling", "cheerful", "joyful", "glad", "amused"),
        ("very happy", "overjoyed", "extremely happy", "laughing", "ecstatic"),
    ),
    "sad": (
        ("slightly sad", "somewhat downcast", "mildly unhappy", "faintly sad", "vaguely gloomy"),
        ("sad", "unhappy", "sorrowful", "gloomy", "downcast", "melancholic"),
        ("very sad", "heartbroken", "extremely sad", "grief-stricken", "devastated"),
    ),
    "surprise": (
        ("slightly surprised", "mildly surprised", "somewhat startled", "faintly surprised", "vaguely puzzled"),
        ("surprised", "astonished", "amazed", "startled", "taken aback", "wide-eyed"),
        ("very surprised", "shocked", "extremely surprised", "stunned", "utterly astonished"),
    ),
    "neutral": (_NEUTRAL, _NEUTRAL, _NEUTRAL),
}

# Strengths count from 0, a neutral face, over 1, the plain emotion; above is exaggerated.
NEUTRAL_BELOW = 0.15
STRONGEST = 1.5  # the most exaggerated that faces are sampled
LEVELS = ((NEUTRAL_BELOW, 0.6), (0.6, 1.2), (1.2, STRONGEST))  # slight, plain, strong: from … to below

_SYNONYMS = {  # other plain forms of the emotions' names, as data sets use them
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


def normalise(label: str) -> str | None:
    """The emotion that `label` names, whatever its case, digits and dashes; None if none of the seven.

    Synonyms count ("happiness", "Surprised", "03_fearful_faces"); calm counts as neutral.
    """
    words = re.findall(r"[^\W\d_]+", label.casefold())
    return _EMOTION_OF.get(" ".join(word for word in words if word not in _FILLERS))


def wordings(emotion: str, strength: float = 1.0) -> tuple[str, ...]:
    """All prompts for one of `EMOTIONS` at a strength ≥ 0 (1 plain, above 1.2 strong, below 0.15 neutral)."""
    if strength < NEUTRAL_BELOW:
        emotion = "neutral"
    level = _level(strength)
    return tuple(
        _article(template.format(feeling=feeling)) for feeling in FEELINGS[emotion][level] for template in TEMPLATES
    )


def prompt_for(emotion: str, index: int, strength: float = 1.0) -> str:
    """One of the `wordings` of an emotion: the same for the same index, all of them over many indices."""
    choices = wordings(emotion, strength)
    return choices[index % len(choices)]


def prompt_at(emotion: str, strength: float) -> str:
    """The one prompt that says best how strong an emotion is: its feeling grows with the strength, 0…1.5.

    Where the strength is known, as it is of sampled faces, a prompt drawn at random would only blur the target.
    """
    if emotion == "neutral" or strength < NEUTRAL_BELOW:
        return prompt_for("neutral", 0)
    begin, end = LEVELS[_level(strength)]
    choices = wordings(emotion, strength)
    feelings = len(choices) // len(TEMPLATES)
    feeling = min(int((strength - begin) / (end - begin) * feelings), feelings - 1)
    return choices[feeling * len(TEMPLATES) + feeling % len(TEMPLATES)]  # each feeling in a template of its own


def prompt_for_label(label: str, name: str) -> str:
    """A prompt for a picture called `name` with a free label; the same for the same label and name.

    Labels that are one of the seven emotions, or a synonym, get its wordings; others appear as they are.
    """
    index = zlib.crc32(name.encode("utf-8", "surrogateescape"))
    emotion = normalise(label)
    if emotion is not None:
        return prompt_for(emotion, index)
    text = re.sub(r"[\s_-]+", " ", label).strip()
    return LABEL_TEMPLATES[index % len(LABEL_TEMPLATES)].format(label=text)


def _level(strength: float) -> int:
    """Which of `LEVELS` a strength belongs to; beyond them, the nearest."""
    return sum(strength >= begin for begin, _ in LEVELS[1:])


def _article(text: str) -> str:
    """`a angry` → `an angry`."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)
