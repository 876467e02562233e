"""Text files of other programs: which encoding they have, and how their tables separate values."""

from __future__ import annotations

import re
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from .columns import is_table

DELIMITERS = (",", ";", "\t", "|")
WINDOWS = "cp1252"  # the encoding of Windows' older programs in western Europe
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_ACCENTS = re.compile(rb"[\x80-\xff]+")  # bytes of letters that ASCII does not have
_BLOCK = 1 << 20  # characters or bytes


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file, see `encoding_in`. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return encoding_in(file)


def encoding_in(file: BinaryIO) -> str:
    """Return the encoding of a text: UTF-8, UTF-16 or Windows-1252, as far as its bytes tell; else UTF-8.

    In Windows-1252 most accented letters are single; other alphabets' encodings have words of such bytes.
    """
    start = file.read(3)
    for bom, encoding in _BOMS.items():
        if start.startswith(bom):
            return encoding
    if b"\0" in start[:2]:  # ASCII characters of two bytes
        return "utf-16-be" if start.startswith(b"\0") else "utf-16-le"
    file.seek(0)
    text = TextIOWrapper(file, encoding="utf-8")
    try:
        while text.read(_BLOCK):
            pass
    except UnicodeDecodeError:
        file.seek(0)
        single = total = 0
        while block := file.read(_BLOCK):
            runs = _ACCENTS.findall(block)
            single, total = single + sum(len(run) == 1 for run in runs), total + len(runs)
        return WINDOWS if 2 * single >= total else "utf-8"
    finally:
        text.detach()  # which would close the file
    return "utf-8"


def read_as_windows(name: str) -> str:
    """Return the note on a file that is not UTF-8."""
    return f"{name} is not UTF-8 and is read as Windows-1252; check names with accents"


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
