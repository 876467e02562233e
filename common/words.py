"""Format numbers with their nouns."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as `1 sample` or `2,000 samples`; `many` is an irregular plural."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
