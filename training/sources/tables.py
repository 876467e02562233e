"""Tables of pictures with prompts or labels: CSV and JSON Lines, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ...common.words import counted
from .files import frame_folder, is_file, is_folder, is_media, unread
from .items import SourceError, SourceItem, SourceListing, part_of
from .media import Media, media_of

PATH, PROMPT, LABEL, GROUP, SPLIT = "path", "prompt", "label", "group", "split"
KNOWN_COLUMNS = (PATH, PROMPT, LABEL, GROUP, SPLIT)  # all other columns are for templates
LONGEST_ROW = 1 << 20  # characters


class TableRows:
    """Converts the rows of one table to items. A picture in several rows is looked up only once."""

    def __init__(self, table: Path) -> None:
        self.table = table
        self.folder = table.absolute().parent
        self.listing = SourceListing()
        self._media: dict[str, Media | str] = {}

    def add(self, line: int, row: Mapping[str, str], prompts: Sequence[str]) -> None:
        """Add the item of a row, column → text without surrounding whitespace; empty `prompts` are ignored."""
        item = self._item(row, tuple(dict.fromkeys(prompt for prompt in prompts if prompt)), row.get(LABEL, ""))
        if isinstance(item, SourceItem):
            self.listing.items.append(item)
        else:
            self.skip(line, item)

    def skip(self, line: int, why: str) -> None:
        self.listing.skipped.append((f"{self.table.name} line {line}", why))

    def finish(self) -> SourceListing:
        """Return the listing. Raises SourceError if no row can be used."""
        if not self.listing.items:
            reason = self.listing.first_skip(self.table.name, "it has no rows")
            raise SourceError(f"{self.table}: no line can be used. {reason}")
        return self.listing

    def _item(self, row: Mapping[str, str], prompts: tuple[str, ...], label: str) -> SourceItem | str:
        """Return the item of one row, or the reason why the row cannot be used."""
        if flaw := _flaw("\n".join((*row.keys(), *row.values(), *prompts))):
            return flaw
        if not row.get(PATH):
            return "the path is empty"
        if not prompts and not label:
            columns = [f"the {name}" for name in (PROMPT, LABEL) if name in row] or ["the prompt"]
            return f"{' and '.join(columns)} {'is' if len(columns) == 1 else 'are'} empty"
        split = part_of(row.get(SPLIT, ""))
        if split is None:
            return f"the split {row[SPLIT]!r} is not train, validation or test"
        source = self._existing(row[PATH])
        if source not in self._media:
            self._media[source] = self._find(source)
        media = self._media[source]
        if isinstance(media, str):
            return media
        return SourceItem(
            media=copy(media),  # a copy for each item, because reading stores problems in it
            source=source,
            group=row.get(GROUP) or source,
            prompts=prompts,
            label=label,
            columns={name: text for name, text in row.items() if name and text and name not in KNOWN_COLUMNS},
            split=split,
        )

    def _existing(self, source: str) -> str:
        """Return the path as it is, or with slashes for Windows' backslashes if the path does not exist."""
        if "\\" in source and source not in self._media:
            path = self.folder / source
            if not is_file(path) and not is_folder(path):
                source = source.replace("\\", "/")
        return Path(source).as_posix()

    def _find(self, source: str) -> Media | str:
        """Return the media at a path, or the reason why it cannot be used."""
        path = self.folder / source
        if is_folder(path):
            try:
                return frame_folder(path) or f"the folder {path} contains no pictures"
            except OSError as error:
                return f"the folder {path} cannot be read ({error.strerror or error})"
        if not is_file(path):
            return f"the file {path} does not exist"
        return media_of(path) if is_media(path) else f"{unread(path)} ({source})"


def _flaw(text: str) -> str:
    """Return the reason why a dataset cannot store the text; empty if it can."""
    if "\0" in text:
        return "it contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can contain these
        return "it contains half a character (a lone surrogate)"
    return ""


def list_csv(path: Path) -> SourceListing:
    """Return the items of a CSV (UTF-8, comma-separated) with the columns `path` and `prompt` or `label`.

    The columns `group` and `split` are optional. `path` is a picture, a video or a folder of frames, relative to the
    CSV's folder. Two lines with the same path are two items. If the group is empty, the file is its own group; a split
    is train, validation or test. All other columns, such as `intensity`, are for templates. Lines that are incomplete,
    or whose file is missing or of another type, are listed as skipped, with their numbers.

    Raises SourceError if the header lacks a column or names one twice, or if the file is not a CSV in UTF-8.
    """
    rows = TableRows(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _Lines(path, file)
            reader = csv.reader(lines, strict=True)
            header = _checked(path, [name.strip().lower() for name in next(reader, [])])
            for values in reader:
                lines.characters = 0
                if not any(value.strip() for value in values):
                    continue
                if len(values) != len(header):
                    rows.skip(
                        reader.line_num,
                        f"it has {counted(len(values), 'value')}, but the header has {len(header)}; put prompts that "
                        'contain commas in "quotes"',
                    )
                    continue
                row = {name: value.strip() for name, value in zip(header, values, strict=True)}
                rows.add(reader.line_num, row, [row.get(PROMPT, "")])
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: the file is not UTF-8 text ({error.reason}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise SourceError(f"{path}: line {reader.line_num} is not valid CSV ({error}); correct it") from error
    return rows.finish()


class _Lines:
    """An iterator over the lines of a file for csv.reader that limits the memory used by one row."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.characters = 0  # characters since it was last set to 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(LONGEST_ROW + 1)
        self.characters += len(line)
        if self.characters > LONGEST_ROW:
            raise SourceError(
                f"{self.path}: a row is longer than {LONGEST_ROW} characters; check for a missing closing quote"
            )
        if not line:
            raise StopIteration
        return line


def _checked(path: Path, header: list[str]) -> list[str]:
    """Return the header. Raises SourceError if a required column is missing or a column appears twice."""
    missing = [name for name in (PATH, PROMPT) if name not in header and (name == PATH or LABEL not in header)]
    if missing:
        raise SourceError(
            f"{path}: the first line must name the columns path and prompt (or label), separated by commas; "
            f"{' and '.join(missing)} not found in: {', '.join(header) or 'an empty line'}"
        )
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if twice:
        raise SourceError(f"{path}: the first line names the column {twice[0]} more than once; rename one")
    return header


def list_jsonl(path: Path) -> SourceListing:
    """Return the items of a UTF-8 file with one JSON object per line, whose keys are a CSV's columns (see `list_csv`).

    `prompt` may be a list: the picture is one item with several prompts. Numbers, true and false are read as text,
    null as an empty text. Lines that are not an object, or have a value of another kind, are listed as skipped.

    Raises SourceError if the file is not UTF-8 text or if no line can be used.
    """
    rows = TableRows(path)
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
        raise SourceError(f"{path}: the file is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    return rows.finish()


def _add(rows: TableRows, number: int, line: str) -> None:
    try:
        # Numbers stay as they are written: 0.50 does not become 0.5, and no number is too long.
        values = json.loads(line, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        rows.skip(number, f"it is not valid JSON ({error})")
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
            rows.skip(
                number, f"the key {name!r} appears twice" if name in row else f"the value of {name!r} is not text"
            )
            return
        row[name] = texts[0] or "" if texts else ""
        if name == PROMPT:
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
