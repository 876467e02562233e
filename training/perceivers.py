"""One pipeline called by several threads, each on a processor core of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from ..perception.pipeline import PerceptionPipeline
from ..perception.vector import Perceptions


class Perceivers:
    """Threads that perceive batches of pictures. Use it in a `with` block.

    The many small operations of the landmarker gain little from several cores: torch gets one core in each thread.
    A landmarker that must not be called by several threads gets one thread, and all cores.
    """

    def __init__(self, pipeline: PerceptionPipeline, workers: int) -> None:
        self.threads = workers if pipeline.landmarker.concurrent else 1
        self._pipeline = pipeline
        self._cores = torch.get_num_threads()
        self._share = max(1, self._cores // self.threads)
        self._pool = ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(self._share,))

    def __enter__(self) -> Perceivers:
        torch.set_num_threads(self._share)  # here too: more would wait for cores that are busy
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._cores)

    def start(self, pictures: Sequence[Tensor]) -> Future[Perceptions]:
        """Begin to perceive a batch."""
        return self._pool.submit(self._pipeline, pictures)
