"""Words about numbers."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with what it counts: `1 sample`, `2,000 samples`; `many` is the plural if it is not `one`s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
