"""Prompts for faces whose emotion and strength are known as numbers, such as sampled faces.

For pictures with a label see templates.py.
"""

from __future__ import annotations

import re

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
_NEUTRAL = ("neutral", "calm", "relaxed", "composed", "expressionless", "blank")
FEELINGS = {  # emotion → wordings for it when it is slight, plain, strong
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

# Strength 0 is a neutral face and 1 the plain emotion; higher values are exaggerated.
NEUTRAL_BELOW = 0.15
STRONGEST = 1.5  # the strongest exaggeration of sampled faces
LEVELS = ((NEUTRAL_BELOW, 0.6), (0.6, 1.2), (1.2, STRONGEST))  # slight, plain, strong: from … to below


def wordings(emotion: str, strength: float = 1.0) -> tuple[str, ...]:
    """Return all prompts for one of `EMOTIONS` at a strength ≥ 0 (1 plain, above 1.2 strong, below 0.15 neutral)."""
    if strength < NEUTRAL_BELOW:
        emotion = "neutral"
    level = _level(strength)
    return tuple(
        _article(template.format(feeling=feeling)) for feeling in FEELINGS[emotion][level] for template in TEMPLATES
    )


def prompt_for(emotion: str, index: int, strength: float = 1.0) -> str:
    """Return one of the `wordings` of an emotion: the same for the same index, and all of them over many indices."""
    choices = wordings(emotion, strength)
    return choices[index % len(choices)]


def prompt_at(emotion: str, strength: float) -> str:
    """Return the prompt whose wording best fits the strength of an emotion, 0…1.5; stronger faces get stronger words.

    If the strength is known, as for sampled faces, a randomly chosen prompt would only blur the target.
    """
    if emotion == "neutral" or strength < NEUTRAL_BELOW:
        return prompt_for("neutral", 0)
    begin, end = LEVELS[_level(strength)]
    choices = wordings(emotion, strength)
    feelings = len(choices) // len(TEMPLATES)
    feeling = min(int((strength - begin) / (end - begin) * feelings), feelings - 1)
    return choices[feeling * len(TEMPLATES) + feeling % len(TEMPLATES)]  # a different template for each feeling


def _level(strength: float) -> int:
    """Return the index of the level in `LEVELS` that a strength belongs to; outside of them, the nearest."""
    return sum(strength >= begin for begin, _ in LEVELS[1:])


def _article(text: str) -> str:
    """Return the text with "an" for "a" before a vowel: `a angry` → `an angry`."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)
