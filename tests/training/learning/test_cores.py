from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from perception_clip.training.learning.cores import FEWEST, share_rows


@pytest.fixture(autouse=True)
def three_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_row_is_worked_on_once_and_in_order() -> None:
    rows = torch.arange(10 * FEWEST + 1)
    seen: set[str] = set()

    def work(part: Tensor) -> Tensor:
        seen.add(threading.current_thread().name)
        assert torch.get_num_threads() == 1
        return part * 2

    found = share_rows(work, rows, "cpu")
    assert len(found) == 3 and torch.equal(torch.cat(found), rows * 2) and seen
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("count", [0, 1, FEWEST, 2 * FEWEST - 1])
def test_few_rows_stay_together(count: int) -> None:
    assert [len(part) for part in share_rows(lambda part: part, torch.arange(count), "cpu")] == [count]


def test_a_card_takes_all_rows() -> None:
    assert [len(part) for part in share_rows(lambda part: part, torch.arange(9 * FEWEST), "cuda")] == [9 * FEWEST]


def test_an_error_is_passed_on() -> None:
    def fail(part: Tensor) -> None:
        if int(part[0]):
            raise ValueError("in another thread")

    with pytest.raises(ValueError, match="in another thread"):
        share_rows(fail, torch.arange(4 * FEWEST), "cpu")
    assert torch.get_num_threads() == 3
