"""Format numbers with their nouns, and lists of names."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as `1 sample` or `2,000 samples`; `many` is an irregular plural."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """Return names separated by commas; beyond `most`, the number of the others instead."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
