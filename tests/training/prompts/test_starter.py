from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception_clip.perception.actions.traits import NAMES
from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.prompts import starter
from perception_clip.training.prompts.starter import FILE, KINDS, Meaning, meanings, read_traits, traits, version
from perception_clip.training.prompts.template_file import TemplateError


def test_each_prompt_means_one_thing() -> None:
    kinds = Counter(meaning.kind for meaning in meanings().values())
    assert 300 <= sum(kinds.values()) <= 500 and set(kinds) == set(KINDS)
    prompts = [prompt for trait in traits() for prompt in (*trait.prompts, *trait.pairs.values())]
    assert len(prompts) == len(set(prompts)) == kinds["action"] + kinds["gaze"] + kinds["pose"] + kinds["pair"]
    of_kind = {kind: len({m.category for m in meanings().values() if m.kind == kind}) for kind in KINDS}
    assert of_kind == {"emotion": 7, "action": 11, "gaze": 4, "pose": 6, "pair": kinds["pair"]}
    assert all(m.category in EMOTIONS for m in meanings().values() if m.kind == "emotion")


def test_wording() -> None:
    assert meanings()["an open-mouthed person"] == Meaning("action", "jaw")  # before the noun, with its article
    assert meanings()["with closed eyes, a photo of a person"] == Meaning("action", "closed")
    assert meanings()["an angry person with closed eyes"] == Meaning("pair", "angry, closed")
    assert meanings()["a sad, pouting person"] == Meaning("pair", "sad, pucker")
    assert "a surprised person with closed eyes" not in meanings()


def test_traits_are_those_of_descriptions() -> None:
    own = {"brow up left", "brow up right"}  # a description has both brows only
    assert {trait.name for trait in traits()} - own <= set(NAMES)


def edited(tmp_path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(FILE.read_text(encoding="utf-8"))
    edit(content)
    (tmp_path / "starter.json").write_text(json.dumps(content))
    return tmp_path / "starter.json"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda all: all.update(mood={}), "'mood' is not a valid key; use action, gaze, pose"),
        (lambda all: all["action"]["jaw"].pop("face"), "action: jaw: face: this must be an object"),
        (lambda all: all["action"]["jaw"]["face"].clear(), "jaw: face: the face does nothing; add one of brow_up"),
        (
            lambda all: all["action"]["jaw"]["face"].update(mouth=1),
            "jaw: face: 'mouth' is not a valid key; use br",
        ),
        (
            lambda all: all["gaze"]["gaze up"]["face"].update(gaze_yaw="9"),
            "gaze_yaw: '9' is not an amount; write",
        ),
        (lambda all: all["action"]["closed"].pop("after"), 'closed: there are no words; add "after"'),
        (
            lambda all: all["action"]["jaw"].update(not_with=["joy"]),
            "not_with: 'joy' is not an emotion; use angry",
        ),
        (lambda all: all["pose"]["nod up"].update(after=["with closed eyes"]), "nod up: .* is also a prompt of closed"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(TemplateError, match=rf"starter.json: .*{message}"):
        read_traits(edited(tmp_path, edit))


def test_the_version_changes_with_the_words_and_with_the_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A starter that was trained with others is not used again."""
    before, versions = version(), set[str]()
    for edit in (
        lambda all: all["pose"]["nod up"]["after"].append("with the nose in the air"),
        lambda all: all["pose"]["nod up"]["face"].update(head_pitch=30),
    ):
        monkeypatch.setattr(starter, "FILE", edited(tmp_path, edit))
        for each in (traits, meanings):
            each.cache_clear()
        versions.add(version())
    monkeypatch.undo()
    for each in (traits, meanings):
        each.cache_clear()
    assert version() == before and len(versions - {before}) == 2
