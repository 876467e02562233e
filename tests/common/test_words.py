from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from perception_clip.common.words import counted, wrapped

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for folder in ("nodes", "perception", "projection", "training") for path in ROOT.glob(f"{folder}/**/*.py")
)
# A number, and right behind it a plural.
PLURAL = re.compile(
    r"^ (?:(?!has )[a-z-]+ )?"
    r"(samples|faces|pictures|frames|rows|prompts|groups|files|epochs|labels|lines|values|pixels)\b"
)
NO_COUNT = re.compile(r"^[A-Z_]+$|rat(e|io)$|height$")  # limits of more than 1, ratios


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("sample",), "0 samples"),
        (1, ("sample",), "1 sample"),
        (2000, ("sample",), "2,000 samples"),
        (1, ("face was", "faces were"), "1 face was"),
        (3, ("face was", "faces were"), "3 faces were"),
    ],
)
def test_counted(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_number_stands_before_a_fixed_plural(path: Path) -> None:
    """It may be 1."""
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, words in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(words, ast.Constant):
                number = ast.unparse(value.value)
                if PLURAL.match(str(words.value)) and not NO_COUNT.search(number) and "counted(" not in number:
                    wrong.append(f"{node.lineno}: {{{number}}}{words.value}")
    assert not wrong


def test_lines_break_between_words_and_a_cut_shows() -> None:
    assert wrapped("one two three", 7, len) == ["one two", "three"]
    assert wrapped("one two three four", 7, len, most=2) == ["one two", "three…"]
    assert wrapped("abcdefghij kl", 4, len) == ["abcd", "efgh", "ij", "kl"]
    assert wrapped("", 4, len) == [""] and wrapped("abc", 0, len) == ["a", "b", "c"]
