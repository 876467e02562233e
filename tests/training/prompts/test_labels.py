from __future__ import annotations

import pytest

from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.prompts.labels import (
    INTENSITIES,
    LabelNames,
    is_expression,
    is_stated,
    known_label,
    level_of,
    plain_text,
)


@pytest.mark.parametrize(
    ("label", "emotion"),
    [
        *((emotion, emotion) for emotion in EMOTIONS),
        *(("Anger", "angry"), ("HAPPINESS", "happy"), ("surprised", "surprise"), ("calm", "neutral")),
        *(("fearful", "fear"), ("disgusted", "disgust"), ("sadness", "sad"), ("03_happy", "happy")),
        *(("happy-faces", "happy"), ("Sad people", "sad"), ("joy", "happy"), ("neutral face 2", "neutral")),
        *(("Wütend", "angry"), ("u\u0308berrascht", "surprise"), ("Dégoût", "disgust"), ("degout", "disgust")),
        *(("alegría", "happy"), ("ALEGRIA", "happy"), ("paura", "fear"), ("nojo", "disgust"), ("tristeza", "sad")),
        *(
            ("高兴", "happy"),
            ("生氣的表情", "angry"),
            ("驚き", "surprise"),
            ("笑顔の人", "happy"),
            ("無表情", "neutral"),
        ),
        *(("traurige", "sad"), ("Fröhlicher", "happy"), ("en colère", "angry"), ("smiles", "happy"), ("Maden", None)),
        *(("hap\u200bpy", "happy"), ("sad\ufeff", "sad")),
        *(("surprises", "surprise"), ("Happy Persons", "happy"), ("ANG", "angry"), ("1_NEU_2", "neutral")),
        *(
            ("contempt", "contempt"),
            ("Verachtung", "contempt"),
            ("not happy", None),
            ("", None),
            ("1", None),
            ("happy sad", None),
        ),
    ],
)
def test_labels(label: str, emotion: str | None) -> None:
    assert known_label(label) == emotion


def test_words_for_expressions() -> None:
    words = ("laughing", "crying", "winking", "Smirk", "contempt", "bored", "eyes_closed", "a person looking surprised")
    assert all(map(is_expression, words))
    assert not any(map(is_expression, ("anna", "bob", "Carla", "HA", "S005", "images", "счастье", "😀", "")))


def test_one_name_for_all_spellings() -> None:
    name_of = LabelNames()
    labels = [
        "Happy",
        "freude",
        "Smug_Grin",
        "smug grin",
        "SMUG  GRIN",
        "Contemptuous",
        "軽蔑",
        "x1",
        "x2",
        "wink\u200b",
        "wink",
    ]
    assert [name_of(label) for label in labels] == [
        *("happy", "happy", "Smug_Grin", "Smug_Grin", "Smug_Grin", "contempt", "contempt", "x1", "x2", "wink", "wink"),
    ]


@pytest.mark.parametrize(
    ("word", "level"),
    [
        *((name, name) for name in INTENSITIES),
        *(("normal", "plain"), ("01", "plain"), ("MD", "plain"), ("1", "plain"), (" Medium ", "plain")),
        *(("02", "strong"), ("HI", "strong"), ("High", "strong"), ("LO", "slight"), ("low", "slight")),
        *(("theatrical", None), ("XX", None), ("", None), ("3", None)),
    ],
)
def test_intensities(word: str, level: str | None) -> None:
    found = level_of(word)
    assert (None if found is None else INTENSITIES[found]) == level


def test_intensities_that_say_nothing() -> None:
    assert not any(is_stated(word) for word in ("", " ", "XX", "unknown", "n/a"))
    assert all(is_stated(word) for word in ("theatrical", "02", "low"))


def test_labels_as_text() -> None:
    assert plain_text("smug__grin") == "smug grin" and plain_text(" a-b\n c_") == "a b c" and plain_text("_-") == ""
