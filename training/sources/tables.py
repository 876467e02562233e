"""Tables of pictures with prompts or labels: CSV and JSON Lines, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ...common.words import counted, listed
from .columns import LABEL, NAMES, PATH, PROMPT, roles_of
from .dialects import WINDOWS, declared_delimiter, delimiter_of, encoding_of, read_as_windows
from .files import printable
from .items import SourceError, SourceListing
from .rows import FEW, TableRows, listing_of

LONGEST_ROW = 1 << 20  # characters
LONGEST_ARRAY = 256 << 20  # bytes of a JSON array, which is read at once


def list_csv(path: Path) -> SourceListing:
    """Return the items of a CSV; see `read_csv`."""
    return listing_of([read_csv(path)])


def list_jsonl(path: Path) -> SourceListing:
    """Return the items of JSON Lines; see `read_jsonl`."""
    return listing_of([read_jsonl(path)])


def read_csv(path: Path, place: str = "", split: str = "") -> TableRows:
    """Return the rows of a CSV with the columns `path` and `prompt` or `label`, or other names of these (columns.py).

    The columns `group` and `split` are optional. `path` is a picture, a video or a folder of frames, relative to the
    CSV's folder. Two lines with the same path are two items. If the group is empty, the file is its own group; a split
    is train, validation or test, and `split` without one. All other columns, such as `intensity`, are for templates.
    Lines that are incomplete, or whose file is missing or of another type, are listed as skipped, with their numbers.
    The encoding and the delimiter are detected.

    Raises SourceError if the header lacks a column or names one twice, or if the file is not a CSV.
    """
    rows = TableRows(path, place, split)
    encoding = encoding_of(path)
    size = 0  # characters of the row being read

    def lines(file: TextIO) -> Iterator[str]:
        nonlocal size
        while line := file.readline(LONGEST_ROW + 1):
            size += len(line)
            if size > LONGEST_ROW:
                raise SourceError(
                    f"{path}: a row is longer than {LONGEST_ROW} characters; check for a missing closing quote"
                )
            yield line

    try:
        with path.open(encoding=encoding, newline="") as file:
            rest = lines(file)
            first = next(rest, "")
            declared = declared_delimiter(first)
            reader = csv.reader(
                rest if declared else chain([first], rest), strict=True, delimiter=declared or delimiter_of(first)
            )
            header = _checked(path, [name.strip().lower() for name in next(reader, [])])
            for values in reader:
                size, number = 0, reader.line_num + bool(declared)
                if not any(value.strip() for value in values):  # spreadsheets save empty rows too
                    continue
                if len(values) == len(header):
                    rows.add(number, {name: value.strip() for name, value in zip(header, values, strict=True)})
                else:
                    why = f"it has {counted(len(values), 'value')}, but the header has {len(header)}"
                    rows.skip(number, f'{why}; put prompts that contain commas in "quotes"')
    except UnicodeError as error:
        raise SourceError(f"{path}: the file is not UTF-8 text ({error}); save it as CSV UTF-8") from error
    except csv.Error as error:
        remedy = "check for a missing closing quote" if "end of data" in str(error) else "correct it"
        line = reader.line_num + bool(declared)
        raise SourceError(f"{path}: line {line} is not valid CSV ({error}); {remedy}") from error
    if encoding == WINDOWS:
        rows.listing.notes.append(read_as_windows(path.name))
    return rows.checked()


def _checked(path: Path, header: list[str]) -> list[str]:
    """Return the header. Raises SourceError if a required column is missing or a column appears twice."""
    roles = roles_of(tuple(header))
    missing = [PATH] if PATH not in roles else []
    if PROMPT not in roles and LABEL not in roles:
        missing.append(PROMPT)
    if missing and not any(header):
        raise SourceError(f"{path}: the first line, which must name the columns such as path,prompt, is empty")
    if missing:
        raise SourceError(
            f"{path}: the first line must name the columns path and prompt (or label), separated by commas; "
            f"{' and '.join(missing)} not found in: {', '.join(header)}. Other names that are "
            "understood: " + "; ".join(f"{', '.join(NAMES[role][1:])} for {role}" for role in (PATH, PROMPT, LABEL))
        )
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if twice:
        raise SourceError(f"{path}: the first line names the column {twice[0]} more than once; rename one")
    return header


def read_jsonl(path: Path, place: str = "", split: str = "") -> TableRows:
    """Return the rows of a file with one JSON object per line, whose keys are a CSV's columns (see `read_csv`).

    The file may also be one JSON array of such objects. `prompt` may be a list: the picture is one item with several
    prompts. Numbers, true and false are read as text, null as an empty text. A list or an object is ignored, with a
    note, or if it is the value of a key with a role, its line is listed as skipped. So is a line that is not an object.

    Raises SourceError if the file is not text or if no line can be used. The encoding is detected.
    """
    rows, ignored = TableRows(path, place, split), dict[str, None]()
    encoding, filled = encoding_of(path), False
    try:
        with path.open(encoding=encoding) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_ROW + 1), ""), start=1):
                if not filled and line.lstrip("\ufeff \t").startswith("["):
                    _add_array(rows, ignored, path, encoding)
                    break
                if len(line) > LONGEST_ROW:
                    raise SourceError(f"{path}: line {number} is longer than {LONGEST_ROW} characters")
                if line.strip():
                    filled = True
                    values, why, _ = parsed_json(line)
                    _add(rows, ignored, number, values, why)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: the file is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if encoding == WINDOWS:
        rows.listing.notes.append(read_as_windows(path.name))
    if ignored:
        rows.listing.notes.append(f"lists and objects are ignored: {listed(list(ignored), FEW)}")
    if not rows.listing.items and _is_object(path, encoding):
        raise SourceError(
            f"{path}: the file is one JSON object, but must be a list of objects, such as "
            '[{"path": "1.jpg", "prompt": "a happy face"}], or have one object per line; save only the list'
        )
    return rows.checked()


def _add_array(rows: TableRows, ignored: dict[str, None], path: Path, encoding: str) -> None:
    if path.stat().st_size > LONGEST_ARRAY:
        raise SourceError(f"{path}: the JSON array is larger than {LONGEST_ARRAY >> 20} MB; write one object per line")
    values, why, line = parsed_json(path.read_text(encoding))
    if not isinstance(values, list):
        rows.skip(line, why)
        return
    rows.unit = "entry"
    for number, row in enumerate(values, start=1):
        _add(rows, ignored, number, row)


def parsed_json(text: str) -> tuple[Any, str, int]:
    """Return the JSON value, or None, what is wrong with it, and in which line of the text.

    Numbers stay as they are written: 0.50, not 0.5.
    """
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse), "", 1
    except json.JSONDecodeError as error:
        rest = text[error.pos :].split("\n", 1)[0].strip()[:20]
        place = f"at {rest!r}, column {error.colno}" if rest else "it ends too early"
        return None, f"it is not valid JSON ({place})", error.lineno
    except ValueError as error:  # _refuse's
        return None, f"it is not valid JSON ({error})", 1
    except RecursionError:
        return None, "it is not valid JSON (it is nested too deeply)", 1


def _is_object(path: Path, encoding: str) -> bool:
    """Return whether the whole file is one JSON object that is no row, such as {"data": [ … ]}."""
    if path.stat().st_size > LONGEST_ARRAY:
        return False
    text = path.read_text(encoding).strip()
    values, _, _ = parsed_json(text)
    return isinstance(values, dict) and ("\n" in text or any(isinstance(each, list | dict) for each in values.values()))


def _add(rows: TableRows, ignored: dict[str, None], number: int, values: Any, why: str = "") -> None:
    """Add the item of one JSON value. Keys without a role whose value is a list or an object go to `ignored`."""
    if not isinstance(values, dict):
        rows.skip(number, why or 'it is not a JSON object, such as {"path": "1.jpg", "prompt": "a happy face"}')
        return
    roles = roles_of(tuple(key.strip().lower() for key in values))
    row: dict[str, str] = {}
    prompts: list[str] = []
    for key, value in values.items():
        name = key.strip().lower()
        is_prompt = name == roles.get(PROMPT)
        texts = [_text(entry) for entry in (value if is_prompt and isinstance(value, list) else [value])]
        if name in row:
            rows.skip(number, f"the key {name!r} appears twice")
            return
        if None not in texts:
            row[name] = texts[0] or "" if texts else ""
        elif name in roles.values():
            rows.skip(number, f"the value of {name!r} is not text")
            return
        else:
            ignored.setdefault(printable(name))
        if is_prompt:
            prompts = [text for text in texts if text]
    rows.add(number, row, prompts)


def _text(value: Any) -> str | None:
    """Return a JSON value as text without surrounding whitespace; None for a list or an object."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
