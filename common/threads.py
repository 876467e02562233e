"""Run small networks on the CPU: one thread per operation, with the pictures distributed over the cores.

torch's threads spin while they wait for each other in every operation. A network of hundreds of small operations gains
nothing from them and, next to other busy programs, takes many times as long. So small networks run here on separate
workers in which torch uses one thread; the setting of every other thread in the process stays the same.
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
_worker = threading.local()  # its `cores` exists only on workers: the number of cores that their work may use


def cores() -> int:
    """Return the number of CPU cores that work started here may use: that of torch in this thread."""
    return getattr(_worker, "cores", 0) or torch.get_num_threads()


def parts(items: Sized) -> int:
    """Return the number of parts to divide items into: that of `cores()` or of the items."""
    return max(1, min(cores(), len(items)))


def split(items: Sequence[Part]) -> list[Sequence[Part]]:
    """Return the items divided into `parts(items)` parts of nearly equal length."""
    count = parts(items)
    ends = [len(items) * part // count for part in range(count + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def run(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Return `work(*args, **kwargs)`, computed with one thread per torch operation.

    It runs on a worker, in the caller's context and torch modes; its exceptions are raised here.
    """
    if hasattr(_worker, "cores"):
        return work(*args, **kwargs)
    return _submit(cores(), partial(work, *args, **kwargs)).result()


def single(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function so that every call goes through `run`."""

    @wraps(work)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return run(work, *args, **kwargs)

    return call


def share(work: Callable[[Part], Result], shares: Sequence[Part]) -> list[Result]:
    """Return `work(share)` for each of the shares, in order; the shares, at most `cores()`, are processed in parallel.

    The exception of the first share that fails is raised here, after all running shares have ended.
    """
    if len(shares) == 1:
        return [run(work, shares[0])]
    if not hasattr(_worker, "cores"):
        return run(share, work, shares)
    first, *others = shares
    futures = [_submit(1, partial(work, part)) for part in others]
    available, _worker.cores = _worker.cores, 1
    try:
        # Work that no worker has started yet is done here, so that nothing waits for a free worker.
        results = [work(first)]
        results += [work(part) if each.cancel() else each.result() for each, part in zip(futures, others, strict=True)]
        return results
    finally:
        _worker.cores = available
        wait([each for each in futures if not each.cancel()])


def _submit(count: int, work: Callable[[], Result]) -> Future[Result]:
    """Submit work to a worker that may use `count` cores, in the caller's context and torch modes."""
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
    """Make torch use one thread in this worker.

    torch stores the number per thread and gives a new thread the number set last in any thread; so a separate thread
    restores that number.
    """
    default = torch.get_num_threads()
    torch.set_num_threads(1)
    restoring = threading.Thread(target=torch.set_num_threads, args=(default,))
    restoring.start()
    restoring.join()


def _forget_workers() -> None:
    """Reset the pool in a forked process, which inherits the pool without its threads."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
