from __future__ import annotations

import pytest
import torch

from perception_clip.training.learning.threads import threads


@pytest.mark.parametrize("count", [1, 3, None])
def test_for_a_while(count: int | None) -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(count):
        assert torch.get_num_threads() == (before if count is None else count)
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
