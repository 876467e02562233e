from __future__ import annotations

import pytest

from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.prompts.strengths import STRONGEST, prompt_at


def test_the_prompt_grows_with_the_strength() -> None:
    prompts = {}
    for emotion in EMOTIONS:
        steps = [prompt_at(emotion, step / 1000 * STRONGEST) for step in range(1001)]
        prompts[emotion] = list(dict.fromkeys(steps))
        assert len(prompts[emotion]) == (1 if emotion == "neutral" else 17)  # neutral, 5 slight, 6 plain, 5 strong
        assert steps == sorted(steps, key=prompts[emotion].index)  # a weaker prompt never returns
    assert len({prompt for each in prompts.values() for prompt in each}) == 1 + 6 * 16


@pytest.mark.parametrize(
    ("strength", "prompt"),
    [
        (0.0, "a person looking neutral"),
        (0.3, "a photo of a slightly annoyed person"),
        (0.6, "a person looking angry"),
        (1.0, "someone with a cross expression on their face"),
        (1.2, "a person looking very angry"),
        (STRONGEST, "someone with an outraged expression on their face"),
        (3.0, "someone with an outraged expression on their face"),
    ],
)
def test_strength_chooses_the_words(strength: float, prompt: str) -> None:
    assert prompt_at("angry", strength) == prompt
