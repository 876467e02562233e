"""Batches perceived in the background, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from ...perception.pipeline import PerceptionPipeline
from ...perception.vector import Perceptions


class Perceivers:
    """A thread that perceives batches of pictures, shared out over the processor's cores. Use it in a `with` block."""

    def __init__(self, pipeline: PerceptionPipeline) -> None:
        self._pipeline = pipeline
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Perceivers:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def start(self, pictures: Sequence[Tensor]) -> Future[Perceptions]:
        """Begin to perceive a batch."""
        return self._thread.submit(self._pipeline, pictures)
