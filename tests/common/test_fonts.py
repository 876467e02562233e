"""Letters of every language, with and without a font of the system's that has them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from PIL import ImageFont

from perception_clip.common import fonts
from perception_clip.common.fonts import font_for, lacking
from perception_clip.perception.drawing.panels import letters

JAPANESE, CHINESE = "笑顔の人", "一个微笑的人"
BOXES = "some letters of the prompts are drawn as boxes because no font on this system has them; install one"


@pytest.fixture(autouse=True)
def empty_caches() -> Iterator[None]:
    for cached in (fonts._system_font, fonts._available, fonts._warn):
        cached.cache_clear()
    yield
    for cached in (fonts._system_font, fonts._available, fonts._warn):
        cached.cache_clear()


def test_plain_letters_are_in_pillows_own_font() -> None:
    font = font_for("a smiling person, 90 %", 24)
    assert font is font_for("another", 24) and not lacking(font, "a smiling person, 90 %")
    assert lacking(font, JAPANESE) == set(JAPANESE)


def test_others_are_in_one_of_the_systems_or_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        missing = lacking(font_for(JAPANESE, 24), JAPANESE)
        font_for(JAPANESE, 40)
    messages = [record.getMessage() for record in caplog.records]
    if missing:
        assert len(messages) == 1 and BOXES in messages[0]
    else:
        assert not messages
        assert letters("笑", 20).tobytes() != letters("顔", 20).tobytes()  # two letters, not two boxes


def test_without_such_a_font_the_log_says_it_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "SYSTEM_FONTS", ())
    with caplog.at_level(logging.WARNING):
        chosen = [font_for(JAPANESE, size) for size in (20, 24, 24)]
        font_for(CHINESE, 24)
    assert all(lacking(font, JAPANESE) == set(JAPANESE) for font in chosen)
    assert [BOXES in record.getMessage() for record in caplog.records] == [True]


def test_the_font_with_the_most_letters_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import get_data_path

    dejavu = f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    symbols = f"{get_data_path()}/fonts/ttf/STIXSizOneSymReg.ttf"
    monkeypatch.setattr(fonts, "SYSTEM_FONTS", ("absent.ttf", symbols, dejavu))
    text = "Лицо, улыбка"
    font = font_for(text, 30)
    assert isinstance(font, ImageFont.FreeTypeFont) and font.path == dejavu and not lacking(font, text)
