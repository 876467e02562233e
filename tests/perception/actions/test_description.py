"""Sentences: from findings by a vocabulary, the pack's own or an edited one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perception_clip.perception.actions.description import described
from perception_clip.perception.actions.traits import NAMES, Finding
from perception_clip.perception.actions.vocabulary import GROUPS, SHIPPED, VocabularyError, read_vocabulary

OWN = read_vocabulary()


def sentence(*findings: tuple[str, int], **how: Any) -> str:
    vocabulary = how.pop("vocabulary", OWN)
    return described([Finding(*one) for one in findings], vocabulary, **{"subject": "a person"} | how)


def edited(folder: Path, content: object) -> Path:
    path = folder / "vocabulary.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], "a person"),
        ([("smile", 3)], "a person smiling broadly"),
        (
            [("closed", 3), ("tilt left", 2), ("smile", 1)],
            "a person smiling slightly with closed eyes, head tilted to the left",
        ),
        ([("gaze down", 2)], "a person looking down"),
        ([("turn right", 1)], "a person, head turned slightly to the right"),
        (
            [("surprise", 3), ("jaw", 3), ("brows up", 2), ("gaze camera", 1)],
            "a person with an astonished expression, a wide-open mouth and raised brows, looking into the camera",
        ),
        (
            [("wink left", 3), ("turn left", 2), ("nod down", 1), ("gaze left", 1), ("gaze up", 1)],
            "a person winking with the left eye, looking slightly to the left, head turned to the left and slightly "
            "lowered",
        ),
    ],
)
def test_sentences(findings: list[tuple[str, int]], expected: str) -> None:
    assert sentence(*findings) == expected


def test_subject_style_and_number_of_phrases() -> None:
    findings = [("sad", 2), ("closed", 3), ("press", 2), ("nod down", 1)]
    assert sentence(*findings, subject=" an old man ") == (
        "an old man with a sad expression, closed eyes and pressed lips, head slightly lowered"
    )
    assert sentence(*findings, subject="", most=2) == "with a sad expression and closed eyes"
    assert sentence(*findings, style="phrases", most=4) == (
        "a sad expression, closed eyes, pressed lips, head slightly lowered"
    )
    assert sentence(("gaze up", 1), ("gaze left", 1), style="phrases") == (
        "looking slightly up, looking slightly to the left"
    )
    assert sentence(style="phrases") == ""


def test_the_packs_own_vocabulary_has_all_words() -> None:
    assert OWN.phrases.keys() == set(NAMES) and tuple(OWN.groups) == GROUPS
    for name, (group, phrases) in OWN.phrases.items():
        assert group in GROUPS and len(phrases) == 3 and all(phrases), name
        assert len(set(phrases)) == (1 if name in ("neutral", "gaze camera") else 3)
    assert len({phrase for _, phrases in OWN.phrases.values() for phrase in phrases}) == 3 * len(NAMES) - 4


def test_an_edited_file_changes_what_it_contains(tmp_path: Path) -> None:
    content = {
        "and": "和",
        "groups": {
            "with": {
                "before": "，",
                "phrases": {"smile": ["微微的笑", "微笑", "大笑"], "closed": ["", "", "闭着的眼睛"]},
            },
            "gaze": {"form": "看{}", "phrases": {"gaze camera": ["", "", ""]}},
        },
    }
    vocabulary = read_vocabulary(edited(tmp_path, content))
    how = {"vocabulary": vocabulary, "subject": "一个人"}
    assert sentence(("smile", 3), ("closed", 3), **how) == "一个人，大笑和闭着的眼睛"
    assert sentence(("smile", 1), ("closed", 1), ("gaze camera", 1), **how) == "一个人，微微的笑"
    assert sentence(("gaze left", 2), **how) == "一个人 看to the left"  # what the file lacks is the pack's own
    # An empty phrase takes no room.
    assert sentence(("gaze camera", 1), ("smile", 2), most=1, **how) == "一个人，微笑"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"and": ', "line 1 is not valid JSON"),
        ("[" * 100_000, "the file is not valid JSON"),
        ([], "must be an object"),
        ({"words": {}}, "'words' is not a valid name; use and, comma, groups"),
        ({"and": 5}, "and: 5 is not text; put it in double quotes"),
        ({"and": "a\nb"}, "and: .* contains a control character"),
        ({"groups": {"mood": {}}}, "groups: 'mood' is not a valid name; use doing, with, gaze, pose"),
        ({"groups": {"gaze": {"form": "looking"}}}, "gaze: form: 'looking' must contain {} once"),
        ({"groups": {"gaze": {"phrases": {"smirk": ["", "", ""]}}}}, "gaze: phrases: 'smirk' is not a valid name"),
        ({"groups": {"with": {"phrases": {"jaw": ["open"]}}}}, "with: jaw: this must be a list of three phrases"),
        ({"groups": {"with": {"phrases": {"jaw": [1, "", ""]}}}}, "with: jaw: slight: 1 is not text"),
        (
            {"groups": {name: {"phrases": {"jaw": ["", "", ""]}} for name in ("doing", "with")}},
            "with: jaw: the trait is in another group too",
        ),
        ('"' + "x" * (1 << 20) + '"', "larger than 1 MB"),
    ],
)
def test_a_damaged_file_names_itself_and_the_remedy(tmp_path: Path, content: object, message: str) -> None:
    path = edited(tmp_path, content)
    with pytest.raises(VocabularyError, match=message) as raised:
        read_vocabulary(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert any(word in str(raised.value) for word in ("use ", "correct it", "remove", "put it"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match="nothing.json: the file cannot be read"):
        read_vocabulary(tmp_path / "nothing.json")
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"and": " \xe9 "}')
    with pytest.raises(VocabularyError, match="not UTF-8 text .*; save it as UTF-8"):
        read_vocabulary(path)


def test_a_copy_of_the_packs_own_is_the_same(tmp_path: Path) -> None:
    assert read_vocabulary(edited(tmp_path, SHIPPED.read_text(encoding="utf-8"))) == OWN
