"""Collect rows of numbers that arrive a few at a time."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 1024  # rows: large enough a piece of memory that the system gets it back when it is dropped


class Rows:
    """Collects rows of `width` float32 numbers and joins them into one tensor without storing them twice."""

    def __init__(self, width: int) -> None:
        self._blocks: list[Tensor] = []
        self._width = width
        self._count = 0

    def extend(self, rows: Tensor) -> None:
        """Add rows (N, width)."""
        while len(rows):
            place = self._count % BLOCK
            if place == 0:
                self._blocks.append(torch.empty(BLOCK, self._width))
            taken = rows[: BLOCK - place]
            self._blocks[-1][place : place + len(taken)] = taken
            self._count += len(taken)
            rows = rows[len(taken) :]

    def take(self) -> Tensor:
        """Return all rows (N, width) and remove them: each block is freed after it is copied."""
        joined = torch.empty(self._count, self._width)  # memory that is used as it is written to
        for start in range(0, self._count, BLOCK):
            block = self._blocks.pop(0)
            joined[start : start + BLOCK] = block[: self._count - start]
        self._count = 0
        return joined
