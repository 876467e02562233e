"""Background work with results in order: threads read items ahead, and batches are perceived one after another."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Thread
from typing import Generic, TypeVar

from torch import Tensor

from ...perception.pipeline import PerceptionPipeline
from ...perception.vector import Perceptions

S = TypeVar("S")
T = TypeVar("T")


class Prefetch(Generic[S, T]):
    """An iterator over the results of `work` on each of `items`, in the order of the items, while threads work ahead.

    Memory is limited: threads wait while more than `limit` bytes of results, measured by `size`, have not been
    consumed; only the result that is needed next always passes. An error in `work` is raised where its results are
    consumed. Use it in a `with` block, which ends each thread after its current result.
    """

    def __init__(
        self, work: Callable[[S], Iterator[T]], items: Sequence[S], workers: int, size: Callable[[T], int], limit: int
    ) -> None:
        self._work, self._items = work, items
        self._size, self._limit = size, limit
        self._changed = Condition()  # guards everything below
        self._next = 0  # the next item to work on
        self._turn = 0  # the item whose results are consumed now
        self._results: dict[int, deque[T]] = defaultdict(deque)
        self._ended: dict[int, BaseException | None] = {}
        self._held = 0  # bytes
        self._stopped = False
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(workers)]

    def __enter__(self) -> Prefetch[S, T]:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[T]:
        while self._turn < len(self._items):
            while self._wait_for_result():
                yield self._take()
            with self._changed:
                del self._results[self._turn]
                error = self._ended.pop(self._turn)
                self._turn += 1
                self._changed.notify_all()
            if error is not None:
                raise error

    def _wait_for_result(self) -> bool:
        """Wait until it is known whether the current item has another result, and return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._results[self._turn] or self._turn in self._ended)
            return bool(self._results[self._turn])

    def _take(self) -> T:
        with self._changed:
            result = self._results[self._turn].popleft()
            self._held -= self._size(result)
            self._changed.notify_all()
            return result

    def _is_awaited(self, number: int) -> bool:
        """Return whether the consumer is waiting for a result of this item."""
        return number == self._turn and not self._results[number]

    def _run(self) -> None:
        while True:
            with self._changed:
                number = self._next
                self._next += 1
            if number >= len(self._items) or self._stopped:
                return
            error: BaseException | None = None
            try:
                for result in self._work(self._items[number]):
                    if not self._hand_over(number, result):
                        return
            except BaseException as raised:  # noqa: BLE001  # it is raised again where the results are consumed
                error = raised
            with self._changed:
                self._ended[number] = error
                self._changed.notify_all()

    def _hand_over(self, number: int, result: T) -> bool:
        """Add a result once there is room for it; return False if it is no longer needed."""
        size = self._size(result)
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or self._held + size <= self._limit or self._is_awaited(number)
            )
            self._results[number].append(result)
            self._held += size
            self._changed.notify_all()
            return not self._stopped


class PerceptionPool:
    """A thread that perceives batches of pictures on all processor cores. Use it in a `with` block."""

    def __init__(self, pipeline: PerceptionPipeline) -> None:
        self._pipeline = pipeline
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> PerceptionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def start(self, pictures: Sequence[Tensor]) -> Future[Perceptions]:
        """Start to perceive a batch, and return its future."""
        return self._thread.submit(self._pipeline, pictures)
