"""One thread inside an operation, and nobody else notices."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from perception_clip.common import threads


def in_new_thread(work: Callable[[], int]) -> int:
    """What `work` returns in a thread that has never used torch."""
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_work_uses_one_thread_and_the_others_keep_theirs() -> None:
    begun, done = threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        assert done.wait(20)
        return torch.get_num_threads()

    inside: list[int] = []
    caller = threading.Thread(target=lambda: inside.append(threads.run(work)))
    torch.set_num_threads(3)
    caller.start()
    assert begun.wait(20)
    assert torch.get_num_threads() == 3  # while it runs
    assert in_new_thread(torch.get_num_threads) == 3  # and in threads that begin meanwhile
    done.set()
    caller.join()
    assert inside == [1]
    assert torch.get_num_threads() == 3


def test_an_error_comes_out_and_the_count_stays() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.run(fail)
    assert torch.get_num_threads() == 3
    assert in_new_thread(torch.get_num_threads) == 3
    assert threads.run(torch.get_num_threads) == 1  # the worker lives on
    with pytest.raises(ZeroDivisionError):
        threads.share(lambda part: part // part, [1, 0, 2])


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_work_runs_in_the_callers_modes(inference: bool, gradients: bool) -> None:
    with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
        here = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        there = threads.run(lambda: (torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
        shared = threads.share(lambda _: (torch.is_inference_mode_enabled(), torch.is_grad_enabled()), [0, 1])
    assert there == here
    assert shared == [here, here]


def test_parts_are_shared_out_in_order_one_thread_each() -> None:
    both = threading.Barrier(2, timeout=20)

    def work(part: int) -> tuple[int, int, int]:
        both.wait()  # would time out if one came after the other
        return part * part, torch.get_num_threads(), threading.get_ident()

    (first, *counts, one), (second, *other_counts, other) = threads.share(work, [3, 4])
    assert (first, second) == (9, 16)
    assert counts == other_counts == [1]
    assert one != other


def test_the_number_of_cores_is_the_callers() -> None:
    assert threads.cores() == 3
    assert threads.run(threads.cores) == 3
    assert threads.share(lambda _: threads.cores(), [0, 1])[1] == 1
    torch.set_num_threads(1)
    assert threads.run(threads.cores) == 1


def test_work_shares_out_its_own_work_however_few_workers_are_free() -> None:
    def work(part: int) -> list[int]:
        return threads.share(lambda inner: 10 * part + inner, range(4))

    wide = 4 * (os.cpu_count() or 1)
    assert threads.share(work, range(wide)) == [[10 * part + inner for inner in range(4)] for part in range(wide)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_workers_of_its_own() -> None:
    assert threads.run(lambda: 7) == 7
    child = os.fork()
    if not child:
        os._exit(threads.run(lambda: 5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
