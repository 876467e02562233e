"""JSON Lines of pictures and what they express."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from .items import Listing, SourceError
from .rows import LONGEST_ROW, PROMPT, Rows


def list_jsonl(path: Path) -> Listing:
    """A file with one JSON object per line, whose keys are a CSV's columns (see `list_csv`); UTF-8.

    `prompt` may be a list: the picture is one item with several prompts. Numbers, true and false are taken as text,
    null as nothing. Lines that are no object, or have a value of another kind, are listed as skipped.

    Raises SourceError if the file is no UTF-8 text or not one line can be used.
    """
    rows = Rows(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(LONGEST_ROW + 1):
                number += 1
                if len(line) > LONGEST_ROW:
                    raise SourceError(f"{path}: line {number} is longer than {LONGEST_ROW} characters")
                if line.strip():
                    _add(rows, number, line)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    return rows.finish()


def _add(rows: Rows, number: int, line: str) -> None:
    try:
        # Numbers stay as they are written: 0.50 is no 0.5, and none is too long.
        values = json.loads(line, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        rows.skip(number, f"it is not JSON ({error})")
        return
    if not isinstance(values, dict):
        rows.skip(number, 'it is not a JSON object, such as {"path": "1.jpg", "prompt": "a happy face"}')
        return
    row: dict[str, str] = {}
    prompts: list[str] = []
    for key, value in values.items():
        name = key.strip().lower()
        texts = [_text(entry) for entry in (value if name == PROMPT and isinstance(value, list) else [value])]
        if None in texts or name in row:
            rows.skip(number, f"its key {name!r} is there twice" if name in row else f"its {name!r} is no text")
            return
        row[name] = texts[0] or "" if texts else ""
        if name == PROMPT:
            prompts = [text for text in texts if text]
    rows.add(number, row, prompts)


def _text(value: Any) -> str | None:
    """A JSON value as text without blanks around it; None for a list or an object."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
