"""Small networks on a processor: one thread inside each operation, and pictures shared out over the cores.

torch's threads spin while they wait for each other in every operation. A network of hundreds of small operations gains
nothing from them, and beside other busy programs it takes many times as long. So small networks run here, on workers of
our own in which torch uses one thread; the number of threads of every other thread in the process stays as it is.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial, wraps
from itertools import pairwise
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Part = TypeVar("Part")
Result = TypeVar("Result")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_worker = threading.local()  # its `cores` exists on workers only: how many cores their work may use


def cores() -> int:
    """Return how many processor cores work started here may use: as many as torch uses in this thread."""
    return getattr(_worker, "cores", 0) or torch.get_num_threads()


def parts(items: Sized) -> int:
    """Return how many parts to share items out in: as many as there are `cores()`, or items."""
    return max(1, min(cores(), len(items)))


def split(items: Sequence[Part]) -> list[Sequence[Part]]:
    """Return the items in that many parts, of nearly equal length."""
    count = parts(items)
    ends = [len(items) * part // count for part in range(count + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def run(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Return `work(*args, **kwargs)`, with one thread inside each of torch's operations.

    It runs on a worker, in the caller's context and modes of torch; what it raises is raised here.
    """
    if hasattr(_worker, "cores"):
        return work(*args, **kwargs)
    return _submit(cores(), partial(work, *args, **kwargs)).result()


def single(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function so that every call of it goes through `run`."""

    @wraps(work)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return run(work, *args, **kwargs)

    return call


def share(work: Callable[[Part], Result], shares: Sequence[Part]) -> list[Result]:
    """Return `work(share)` of each of the shares, in order; these, at most `cores()`, are worked on side by side.

    What the first of the shares that fail raises is raised here, when none is being worked on any more.
    """
    if len(shares) == 1:
        return [run(work, shares[0])]
    if not hasattr(_worker, "cores"):
        return run(share, work, shares)
    first, *others = shares
    futures = [_submit(1, partial(work, part)) for part in others]
    available, _worker.cores = _worker.cores, 1
    try:
        # What no worker has begun yet is done here: nobody ever waits for a worker to become free.
        results = [work(first)]
        results += [work(part) if each.cancel() else each.result() for each, part in zip(futures, others, strict=True)]
        return results
    finally:
        _worker.cores = available
        wait([each for each in futures if not each.cancel()])


def _submit(count: int, work: Callable[[], Result]) -> Future[Result]:
    """Have a worker do it, which may use `count` cores, in the caller's context and in its modes of torch."""
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def on_worker() -> Result:
        _worker.cores = count
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return work()

    return _workers().submit(contextvars.copy_context().run, on_worker)


def _workers() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="perception-clip", initializer=_begin)
        return _pool


def _begin() -> None:
    """Make torch use one thread in this one.

    torch keeps the number for each thread, and gives a new thread the one that was set last in any; so another thread,
    whose own number nobody needs, puts that back.
    """
    default = torch.get_num_threads()
    torch.set_num_threads(1)
    restoring = threading.Thread(target=torch.set_num_threads, args=(default,))
    restoring.start()
    restoring.join()


def _forget_workers() -> None:
    """A forked process has the pool, and none of its threads."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
