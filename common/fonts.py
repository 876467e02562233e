"""Fonts for Pillow: its own, or for letters that it lacks, such as Japanese and Chinese ones, one of the system's."""

from __future__ import annotations

import logging
from collections.abc import Set
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

log = logging.getLogger(__name__)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Of Linux, Windows and macOS, tried in this order; Pillow knows the folders in which a system keeps its fonts.
SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "arial.ttf", "segoeui.ttf", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.otf", "NotoSansSC-Regular.otf"),
    *("wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("YuGothM.ttc", "meiryo.ttc", "msgothic.ttc", "msyh.ttc", "simsun.ttc", "malgun.ttf"),
    *("Hiragino Sans GB.ttc", "PingFang.ttc", "AppleSDGothicNeo.ttc"),
    *("Nirmala.ttf", "NotoSansDevanagari-Regular.ttf", "leelawui.ttf"),
)
SIZE = 24  # pixels, at which fonts are asked what they have
NO_LETTER = "\U0010fffe"  # what no font has, and draws as its box


def font_for(text: str, size: int) -> Font:
    """Return Pillow's own font in `size` pixels, or the one of the system that has the most of the text's letters.

    If no font here has them all, they are drawn as boxes, and the log says so, once.
    """
    missing = frozenset(letter for letter in text if not _in_own(letter))
    name = _system_font(missing) if missing else None
    return _own(size) if name is None else _opened(name, size)


def lacking(font: Font, text: Set[str] | str) -> set[str]:
    """Return the letters of a text that a font lacks: those that it draws as it draws what no font has."""
    box = _shape(font, NO_LETTER)
    return {letter for letter in text if letter.isprintable() and not letter.isspace() and _shape(font, letter) == box}


@lru_cache(maxsize=8192)
def _in_own(letter: str) -> bool:
    return letter.isascii() or not lacking(_own(SIZE), letter)


@lru_cache(maxsize=256)
def _system_font(letters: frozenset[str]) -> str | None:
    """The name of the font that has the most of these letters, which Pillow's lacks; None if none has any."""
    best, left = None, set(letters)
    for name in _available():
        lacks = lacking(_opened(name, SIZE), letters)
        if len(lacks) < len(left):
            best, left = name, lacks
        if not left:
            break
    if left:
        _say_so()
    return best


@lru_cache(maxsize=1)  # once is enough
def _say_so() -> None:
    log.warning(
        "Perception CLIP: some letters of prompts are drawn as boxes, as no font on this system has them; install one, "
        "such as Noto Sans CJK"
    )


@lru_cache(maxsize=1)
def _available() -> tuple[str, ...]:
    """Those of SYSTEM_FONTS that are installed."""
    found = []
    for name in SYSTEM_FONTS:
        try:
            _opened(name, SIZE)
        except OSError:
            continue
        found.append(name)
    return tuple(found)


@lru_cache(maxsize=64)
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _opened(name: str, size: int) -> Font:
    return ImageFont.truetype(name, size)


def _shape(font: Font, letter: str) -> bytes:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((8, 8), letter, 255, font)
    return image.tobytes()
