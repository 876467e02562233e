"""The arrays of a dataset that grows, gathered into memory, and read with the checks that a file's are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .npz_file import DatasetError, Member


class Arrays(Protocol):
    """Where named arrays are read from: an NPZ file (npz_file.Reader), or members not yet written (Gathered)."""

    names: set[str]

    def error(self, name: str, wrong: str, remedy: str) -> DatasetError:
        """A DatasetError about the array `name`."""

    def read(
        self,
        name: str,
        kinds: str,
        dimensions: int,
        width: int | None = None,
        *,
        dtype: type[np.generic] | None = None,
        look: Callable[[NDArray[Any]], None] | None = None,
    ) -> NDArray[Any]:
        """The array `name`, in C order, as `dtype` (None: as it is saved); `look` is shown some rows at a time."""


class Gathered:
    """Members as they would be written, each put together in memory piece by piece when it is read, once."""

    def __init__(self, path: Path, members: Iterable[Member]) -> None:
        self._path = path
        self._members = {member.name: member for member in members}
        self.names = set(self._members)

    def error(self, name: str, wrong: str, remedy: str) -> DatasetError:
        """A DatasetError about the array `name`."""
        return DatasetError(f"{self._path}: {name} {wrong}; {remedy}")

    def read(
        self,
        name: str,
        kinds: str,
        dimensions: int,
        width: int | None = None,
        *,
        dtype: type[np.generic] | None = None,
        look: Callable[[NDArray[Any]], None] | None = None,
    ) -> NDArray[Any]:
        """The array `name`, with the type and shape that its member states; `look` is shown every piece."""
        member = self._members[name]
        array = np.empty(member.shape, member.dtype)
        done = 0
        for piece in member.pieces:
            rows = np.atleast_1d(piece)
            np.atleast_1d(array)[done : done + len(rows)] = rows
            if look is not None:
                look(rows)
            done += len(rows)
        return array
