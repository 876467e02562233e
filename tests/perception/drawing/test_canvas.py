"""Pictures with lines and words: all words fit, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.drawing.canvas import BACKGROUND, Canvas, cut, wrapped
from perception_clip.perception.drawing.panels import text_width

FONT_SIZE = 13


@given(st.text(max_size=300), st.integers(60, 600))
def test_wrapped_lines_fit(text: str, width: int) -> None:
    lines = wrapped(text, FONT_SIZE, width)
    assert lines and all(text_width(line, FONT_SIZE) <= width for line in lines)
    assert len(wrapped(text, FONT_SIZE, width, most=2)) == min(len(lines), 2)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("é ﬁ Ångström", ["e fi Angstrom"]),
        ("ガラス 한국", ["ガラス 한국"]),
        (" calm \n\n man ", ["calm man"]),
        ("a smiling woman, friendly and relaxed", ["a smiling woman, friendly", "and relaxed"]),
    ],
)
def test_lines_are_broken_between_words_and_latin_letters_lose_accents(text: str, lines: list[str]) -> None:
    assert wrapped(text, FONT_SIZE, 160) == lines


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60), st.integers(20, 300))
def test_cut_keeps_the_beginning(text: str, width: int) -> None:
    short = cut(text, FONT_SIZE, width)
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
    assert cut("short", FONT_SIZE, 600) == "short"


def test_lines_dots_and_words_are_where_they_were_asked_for() -> None:
    canvas = Canvas(200, 100)
    canvas.line([(10, 20), (190, 20)], (255, 0, 0), 3)
    canvas.dot(50, 60, 5, (0, 255, 0))
    canvas.write(150, 80, "words", FONT_SIZE, (255, 255, 255), align=0.5)
    picture = np.asarray(canvas.finished()).astype(int)
    assert picture.shape == (100, 200, 3)
    assert tuple(picture[20, 100]) == (255, 0, 0) and tuple(picture[20, 5]) == BACKGROUND
    assert tuple(picture[60, 50]) == (0, 255, 0) and tuple(picture[60, 60]) == BACKGROUND
    written = np.argwhere(picture.min(axis=2) > 120)
    assert abs(written[:, 1].mean() - 150) < 5 and abs(written[:, 0].mean() - 80) < 5
