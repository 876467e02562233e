"""Fonts for Pillow: its own, or a system font for letters that it lacks, such as Japanese and Chinese ones."""

from __future__ import annotations

import logging
from collections.abc import Set
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

log = logging.getLogger(__name__)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Fonts of Linux, Windows and macOS, tried in this order; Pillow searches the font folders of the system.
SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "arial.ttf", "segoeui.ttf", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.otf", "NotoSansSC-Regular.otf"),
    *("wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("YuGothM.ttc", "meiryo.ttc", "msgothic.ttc", "msyh.ttc", "simsun.ttc", "malgun.ttf"),
    *("Hiragino Sans GB.ttc", "PingFang.ttc", "AppleSDGothicNeo.ttc"),
    *("Nirmala.ttf", "NotoSansDevanagari-Regular.ttf", "leelawui.ttf"),
)
SIZE = 24  # pixels, the size at which fonts are checked for letters
NO_LETTER = "\U0010fffe"  # a code point that no font has, drawn as a box


def font_for(text: str, size: int) -> Font:
    """Return Pillow's own font in `size` pixels, or the system font that has the most letters of the text.

    Letters that no font has are drawn as boxes, and a warning is logged once.
    """
    missing = frozenset(letter for letter in text if not _in_default(letter))
    name = _system_font(missing) if missing else None
    return _default(size) if name is None else _load(name, size)


def lacking(font: Font, text: Set[str] | str) -> set[str]:
    """Return the letters of a text that a font lacks: those that it draws as a box."""
    box = _shape(font, NO_LETTER)
    return {letter for letter in text if letter.isprintable() and not letter.isspace() and _shape(font, letter) == box}


@lru_cache(maxsize=8192)
def _in_default(letter: str) -> bool:
    return letter.isascii() or not lacking(_default(SIZE), letter)


@lru_cache(maxsize=256)
def _system_font(letters: frozenset[str]) -> str | None:
    """Return the font that has the most of these letters, which Pillow's own lacks; None if none has any."""
    best, left = None, set(letters)
    for name in _available():
        lacks = lacking(_load(name, SIZE), letters)
        if len(lacks) < len(left):
            best, left = name, lacks
        if not left:
            break
    if left:
        _warn()
    return best


@lru_cache(maxsize=1)  # once is enough
def _warn() -> None:
    log.warning(
        "Perception CLIP: some letters of the prompts are drawn as boxes because no font on this system has them; "
        "install one, such as Noto Sans CJK"
    )


@lru_cache(maxsize=1)
def _available() -> tuple[str, ...]:
    """Return the names of SYSTEM_FONTS that are installed."""
    installed = []
    for name in SYSTEM_FONTS:
        try:
            _load(name, SIZE)
        except OSError:
            continue
        installed.append(name)
    return tuple(installed)


@lru_cache(maxsize=64)
def _default(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _load(name: str, size: int) -> Font:
    return ImageFont.truetype(name, size)


def _shape(font: Font, letter: str) -> bytes:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((8, 8), letter, 255, font)
    return image.tobytes()
