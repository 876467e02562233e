from __future__ import annotations

import torch

from perception_clip.training.learning.data import TrainingData, sample


def test_training_data_knows_its_prompts(data: TrainingData) -> None:
    assert len(data.first_row) == 16 and data.prompts[:2] == ["prompt 1", "prompt 2"]
    assert torch.equal(data.unique_targets(data.target_index), data.targets)


def test_a_sample_is_in_order_and_always_the_same() -> None:
    rows = torch.arange(100, 200)
    drawn = sample(rows, 30)
    assert len(drawn) == 30 and torch.equal(drawn, drawn.unique()) and torch.equal(drawn, sample(rows, 30))
    assert torch.equal(sample(rows, 100), rows)
