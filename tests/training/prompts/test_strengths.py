from __future__ import annotations

import pytest

from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.prompts.strengths import STRONGEST, prompt_at, prompt_for, wordings


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("strength", [0.3, 1.0, 1.4])
def test_every_emotion_has_dozens_of_wordings(emotion: str, strength: float) -> None:
    prompts = wordings(emotion, strength)
    assert len(set(prompts)) == len(prompts) >= 50
    assert not any("{" in prompt or "  " in prompt for prompt in prompts)
    assert not any(" a a" in prompt or " an a " in prompt or " a e" in prompt for prompt in prompts)


def test_no_two_emotions_and_strengths_share_a_wording() -> None:
    seen: dict[str, tuple[str, float]] = {}
    for emotion in EMOTIONS:
        for strength in (0.3, 1.0, 1.4) if emotion != "neutral" else (1.0,):
            for prompt in wordings(emotion, strength):
                assert prompt not in seen, (emotion, strength, seen.get(prompt))
                seen[prompt] = (emotion, strength)
    assert len(seen) == 6 * (50 + 60 + 50) + 60


def test_strength_chooses_the_words() -> None:
    assert prompt_for("angry", 0) == "a person looking angry"
    assert prompt_for("angry", 1) == "a photo of an angry person"
    assert prompt_for("angry", 0, strength=0.3) == "a person looking slightly angry"
    assert prompt_for("angry", 0, strength=1.5) == "a person looking very angry"
    assert prompt_for("angry", 0, strength=0.0) == "a person looking neutral"


def test_indices_reach_every_wording_and_never_change() -> None:
    assert {prompt_for("happy", index) for index in range(60)} == set(wordings("happy"))
    assert [prompt_for("happy", index) for index in range(5)] == [prompt_for("happy", 60 + index) for index in range(5)]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_prompt_grows_with_the_strength(emotion: str) -> None:
    prompts = [prompt_at(emotion, step / 1000 * STRONGEST) for step in range(1001)]
    changes = list(dict.fromkeys(prompts))
    assert len(changes) == (1 if emotion == "neutral" else 17)  # neutral, 5 slight, 6 plain and 5 strong feelings
    assert prompts[0] == "a person looking neutral"
    starts = [prompts.index(prompt) for prompt in changes]
    assert starts == sorted(starts)
    assert all(prompt in wordings(emotion, step / 1000 * STRONGEST) for step, prompt in enumerate(prompts))
