from __future__ import annotations

from collections import Counter

from perception_clip.perception.actions.traits import NAMES
from perception_clip.perception.editing.actions import HEAD
from perception_clip.perception.editing.sampling import GAZE, SLIDERS
from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.prompts.starter import KINDS, Meaning, meanings, traits


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


def test_traits_are_those_of_descriptions_and_can_be_sampled() -> None:
    own = {"brow up left", "brow up right"}  # a description has both brows only
    assert {trait.name for trait in traits()} - own <= set(NAMES)
    assert all(set(trait.face) <= {*SLIDERS, *GAZE, *HEAD} for trait in traits())
