"""Text files of other programs: which encoding they have, and how their tables separate values."""

from __future__ import annotations

from pathlib import Path

from .columns import is_table

DELIMITERS = (",", ";", "\t", "|")
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BLOCK = 1 << 20  # characters


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file: UTF-8 or UTF-16, as far as its bytes tell, else Windows-1252.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(3)
    for bom, encoding in _BOMS.items():
        if start.startswith(bom):
            return encoding
    if b"\0" in start[:2]:  # ASCII characters of two bytes
        return "utf-16-be" if start.startswith(b"\0") else "utf-16-le"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(_BLOCK):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def header_of(line: str, delimiter: str) -> tuple[str, ...]:
    """Return the column names in a header, in lower case."""
    return tuple(name.strip().strip('"').strip().lower() for name in line.split(delimiter))


def delimiter_of(line: str) -> str:
    """Return the delimiter with which a header names the necessary columns; if none does, the most frequent one."""
    return next((mark for mark in DELIMITERS if is_table(header_of(line, mark))), max(DELIMITERS, key=line.count))


def declared_delimiter(line: str) -> str:
    """Return the delimiter that Excel's first line `sep=;` declares; "" for any other line."""
    text = line.strip("\r\n\ufeff")
    return text[4] if len(text) == 5 and text.lower().startswith("sep=") else ""
