from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from perception_clip.training.building.parallel import Prefetch


def numbers(item: int) -> Iterator[tuple[int, int]]:
    for part in range(item % 4):
        time.sleep(0.001 * (item % 3))
        yield item, part


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order(workers: int) -> None:
    with Prefetch(numbers, range(40), workers, size=lambda _: 1, limit=6) as results:
        assert list(results) == [(item, part) for item in range(40) for part in range(item % 4)]


def test_nothing_to_do() -> None:
    with Prefetch(numbers, [], 2, size=lambda _: 1, limit=1) as results:
        assert list(results) == []


def test_no_more_than_the_limit_lies_ready() -> None:
    made, most = [0], [0]
    taken = 0

    def work(item: int) -> Iterator[int]:
        for _ in range(5):
            made[0] += 1
            most[0] = max(most[0], made[0] - taken)
            yield item

    with Prefetch(work, range(20), 3, size=lambda _: 10, limit=40) as results:
        for _ in results:
            time.sleep(0.002)
            taken += 1
    # Four lie ready and perhaps the one waited for; each thread may hold one more, and one was just taken.
    assert taken == 100 and 4 <= most[0] <= 5 + 3 + 1


def test_one_large_result_is_let_through() -> None:
    with Prefetch(numbers, range(12), 2, size=lambda _: 1000, limit=1) as results:
        assert len(list(results)) == sum(item % 4 for item in range(12))


def test_an_error_comes_where_the_results_are_taken() -> None:
    def work(item: int) -> Iterator[int]:
        yield item
        if item == 3:
            raise KeyError("three")

    collected = []
    with pytest.raises(KeyError, match="three"), Prefetch(work, range(10), 2, size=lambda _: 1, limit=100) as results:
        for result in results:
            collected.append(result)
    assert collected == [0, 1, 2, 3]


def test_leaving_early_ends_the_threads() -> None:
    def endless(item: int) -> Iterator[int]:
        while True:
            yield item

    before = threading.active_count()
    with Prefetch(endless, range(5), 3, size=lambda _: 1, limit=10) as results:
        assert next(iter(results)) == 0
    assert threading.active_count() == before
