from __future__ import annotations

import torch

from perception_clip.training.evaluation.kinds import kind_scores
from perception_clip.training.prompts.starter import Meaning

MEANINGS = {
    "closed eyes": Meaning("action", "closed"),
    "eyes shut": Meaning("action", "closed"),
    "open mouth": Meaning("action", "jaw"),
    "looking up": Meaning("gaze", "gaze up"),
    "looking down": Meaning("gaze", "gaze down"),
}


def test_only_prompts_of_the_same_kind_compete_and_any_wording_is_right() -> None:
    names = [*MEANINGS, "a prompt of a user"]
    candidates = torch.eye(6) + 1
    target_index = torch.tensor([0, 0, 2, 3, 4, 5])
    predicted = torch.full((6, 6), 1.0)
    predicted[0, 1] = 2  # the other wording: right
    predicted[1, [2, 0]] = torch.tensor([2.0, 1.5])  # another action: wrong
    predicted[2, [3, 2]] = torch.tensor([2.0, 1.5])  # a gaze is nearer, but the action is right
    predicted[3, 4] = 2
    predicted[4, 4] = 2
    groups = [str(row) for row in range(6)]
    action, gaze = kind_scores(predicted, candidates, names, target_index, torch.ones(6), groups, MEANINGS)
    assert (action.name, action.rows, action.categories) == ("action", 3, 2)
    assert abs(action.recall.value - 2 / 3) < 1e-9 and action.recall.low == 0 and action.recall.high == 1
    assert (gaze.name, gaze.rows, gaze.categories, gaze.recall.value) == ("gaze", 2, 2, 0.5)
    assert kind_scores(predicted, candidates, names, target_index, torch.ones(6), groups, {}) == []
