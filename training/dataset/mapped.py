"""Memory of files that are mapped: what was read is let go, so that a large file takes none."""

from __future__ import annotations

import mmap
from typing import Any

from numpy.typing import NDArray


def forget(array: NDArray[Any]) -> None:
    """Let the pages of a mapped file go that `array` lies in; they are read again when needed.

    Does nothing for arrays in memory, nor where the system cannot. What was written to a mapped array is lost.
    """
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is not None and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
