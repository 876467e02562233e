"""Format numbers with their nouns, lists of names, and texts that have to fit into a width."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun, such as `1 sample` or `2,000 samples`; `many` is an irregular plural."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """Return names separated by commas; beyond `most`, the number of the others instead."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def wrapped(text: str, width: float, measure: Callable[[str], float], most: int = 0) -> list[str]:
    """Return the lines of a text, each of at least one character and at most the width, in the unit of `measure`.

    Lines break between words, or within a word that is too wide. `most` is the maximum number of lines, of which the
    last one ends with three dots if it is cut off; 0: any.
    """
    lines: list[str] = []
    while len(text) > 1 and measure(text) > width:
        dots = "…" if len(lines) + 1 == most else ""
        end = max(1, bisect_right(range(1, len(text) + 1), width, key=lambda count: measure(text[:count] + dots)))
        if dots:
            return [*lines, text[:end].rstrip() + dots]
        space = text.rfind(" ", 1, end + 1)
        end = end if space < 0 else space
        lines.append(text[:end])
        text = text[end:].lstrip()
    return [*lines, text]
