"""Rows: the same numbers as were added, whatever the portions, and never twice in memory."""

from __future__ import annotations

import pytest
import torch

from perception_clip.perception.sequences.rows import BLOCK, Rows


@pytest.mark.parametrize("portions", [[], [0], [1], [3, 0, 5], [BLOCK], [BLOCK - 1, 2, BLOCK, 1], [2 * BLOCK + 7]])
def test_rows_come_out_as_they_went_in(portions: list[int]) -> None:
    added = [torch.randn(count, 4) for count in portions]
    rows = Rows(4)
    for each in added:
        rows.extend(each)
    assert torch.equal(rows.take(), torch.cat([torch.empty(0, 4), *added]))
    assert rows.take().shape == (0, 4)
