"""Tables of pictures with prompts or labels: CSV and JSON Lines, read row by row."""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ...common.words import counted, listed
from .columns import AFFECTNET_PATH, GROUP, LABEL, PATH, PROMPT, SPLIT, role_notes, roles_of
from .dialects import declared_delimiter, delimiter_of, encoding_of
from .files import frame_folder, is_file, is_folder, is_hidden, is_media, printable, unread
from .items import SourceError, SourceItem, SourceListing, part_of
from .media import Media, PictureFile, media_of
from .numbering import LEFT_OUT, NUMBERINGS

FILE, FOLDER = "file", "folder"
_UNUSUAL = re.compile(r"\\|//|(?:^|/)\.|/$|^$")  # what a path can be without
LONGEST_ROW = 1 << 20  # characters
LONGEST_ARRAY = 256 << 20  # bytes of a JSON array, which is read at once
FEW = 6  # the most keys that a reason names


class TableRows:
    """Converts the rows of one table to items. A picture in several rows is looked up only once.

    `place` is the folder of the table as it appears in the names of the items, if it is not where the source is.
    """

    def __init__(self, table: Path, place: str = "", split: str = "") -> None:
        self.table = table
        self.folder = table.absolute().parent
        self.listing = SourceListing()
        self._place, self._split = place, split
        self._media: dict[str, tuple[str, Media | str]] = {}  # path in the table → its name, and the media or a reason
        self._headers: dict[tuple[str, ...], None] = {}
        self._names: dict[str, dict[str, bool]] = {}  # folder → its entries, and whether each is a folder

    def add(self, line: int, row: Mapping[str, str], prompts: Sequence[str] | None = None) -> None:
        """Add the item of a row, column in lower case → text without surrounding whitespace.

        `prompts` replaces the row's prompt; empty ones are ignored.
        """
        header = tuple(row)
        roles = roles_of(header)
        texts = [row[roles[PROMPT]] if PROMPT in roles else ""] if prompts is None else prompts
        item = self._item(row, roles, tuple(dict.fromkeys(text for text in texts if text)))
        if isinstance(item, SourceItem):
            self.listing.items.append(item)
            self._headers.setdefault(header)
        else:
            self.skip(line, item)

    def skip(self, line: int, why: str) -> None:
        self.listing.skipped.append((f"{self._place}{self.table.name} line {line}", why))

    def finish(self) -> SourceListing:
        """Return the listing. Raises SourceError if no row can be used."""
        if not self.listing.items:
            reason = self.listing.first_skip(self.table.name, "it has no rows")
            raise SourceError(f"{self.table}: no line can be used. {reason}")
        self.listing.notes.extend(role_notes(self._headers))
        return self.listing

    def _item(self, row: Mapping[str, str], roles: Mapping[str, str], prompts: tuple[str, ...]) -> SourceItem | str:
        """Return the item of one row, or the reason why the row cannot be used."""
        if flaw := _flaw("\n".join((*row.keys(), *row.values(), *prompts))):
            return flaw
        if PATH not in roles:
            return f"it has no path; its keys are: {listed(list(row), FEW) or 'none'}"
        if not row[roles[PATH]]:
            return "the path is empty"
        label = row[roles[LABEL]] if LABEL in roles else ""
        if not prompts and not label:
            columns = [f"the {roles[name]}" for name in (PROMPT, LABEL) if name in roles]
            if not columns:
                return f"it has no prompt and no label; its keys are: {listed(list(row), FEW)}"
            return f"{' and '.join(columns)} {'is' if len(columns) == 1 else 'are'} empty"
        split = part_of(row.get(SPLIT, ""))
        if split is None:
            return f"the split {row[SPLIT]!r} is not train, validation or test"
        source, media = self._found(row[roles[PATH]])
        if isinstance(media, str):
            return media
        own = {
            name for role, name in roles.items() if role != GROUP or name == GROUP
        }  # a person is a word for templates
        if roles[PATH] == AFFECTNET_PATH and label:
            label = NUMBERINGS["affectnet"].get(label, label)
            if not label:
                return LEFT_OUT
        return SourceItem(
            media=media if isinstance(media, PictureFile) else copy(media),  # reading stores problems in others
            source=source,
            group=printable(row[roles[GROUP]] if GROUP in roles else "") or source,
            prompts=prompts,
            label=label,
            columns={name: text for name, text in row.items() if name and text and name not in own},
            split=split or self._split,
        )

    def _found(self, text: str) -> tuple[str, Media | str]:
        """Return the name of a path's file in the dataset, and its media or the reason why it cannot be used."""
        if text not in self._media:
            path = self._existing(text)
            self._media[text] = (f"{self._place}{printable(path)}", self._find(path))
        return self._media[text]

    def _existing(self, source: str) -> str:
        """Return the path as it is, or in another form if no file has that name: with slashes for Windows' backslashes,
        with its accents composed or decomposed, or in the only folder next to the table that has it.
        """
        if _UNUSUAL.search(source):
            source = Path(source).as_posix()
        if self._kind(source):
            return source
        forms = [source]
        if "\\" in source:
            forms.append(Path(source.replace("\\", "/")).as_posix())
        if not source.isascii():
            forms.extend(unicodedata.normalize(form, each) for each in tuple(forms) for form in ("NFC", "NFD"))
        places = [[form] for form in forms[1:]] + [[f"{folder}/{form}" for folder in self._folders] for form in forms]
        for candidates in places:
            existing = [place for place in candidates if self._kind(place)]
            if len(existing) == 1:
                return existing[0]
        return source

    @cached_property
    def _folders(self) -> list[str]:
        """The names of the folders next to the table."""
        with suppress(OSError):
            return sorted(path.name for path in self.folder.iterdir() if not is_hidden(path.name) and path.is_dir())
        return []

    def _kind(self, place: str) -> str:
        """Return whether a path below the table's folder is a file or a folder; "" if it does not exist.

        Folders are listed once, which is ten times faster than asking for each file.
        """
        folder, _, name = place.rpartition("/")
        if folder not in self._names:
            self._names[folder] = _entries(self.folder / folder) if folder or not place.startswith("/") else {}
        is_dir = self._names[folder].get(name)
        if is_dir is not None:
            return FOLDER if is_dir else FILE
        path = self.folder / place  # on some systems, names in another case exist, too
        return FILE if is_file(path) else FOLDER if is_folder(path) else ""

    def _find(self, source: str) -> Media | str:
        """Return the media at a path, or the reason why it cannot be used."""
        path, kind = self.folder / source, self._kind(source)
        if kind == FILE:
            return media_of(path) if is_media(source) else f"{unread(path)} ({source})"
        if kind != FOLDER:
            return f"the file {path} does not exist"
        try:
            return frame_folder(path) or f"the folder {path} contains no pictures"
        except OSError as error:
            return f"the folder {path} cannot be read ({error.strerror or error})"


def _entries(folder: Path) -> dict[str, bool]:
    """Return the names in a folder, and whether each is a folder; broken links are left out."""
    with suppress(OSError, ValueError), os.scandir(folder) as scan:
        return {entry.name: entry.is_dir() for entry in scan if entry.is_dir() or entry.is_file()}
    return {}


def _flaw(text: str) -> str:
    """Return the reason why a dataset cannot store the text; empty if it can."""
    if "\0" in text:
        return "it contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can contain these
        return "it contains half a character (a lone surrogate)"
    return ""


def list_csv(path: Path, place: str = "", split: str = "") -> SourceListing:
    """Return the items of a CSV with the columns `path` and `prompt` or `label`, or other names of these (columns.py).

    The columns `group` and `split` are optional. `path` is a picture, a video or a folder of frames, relative to the
    CSV's folder. Two lines with the same path are two items. If the group is empty, the file is its own group; a split
    is train, validation or test, and `split` without one. All other columns, such as `intensity`, are for templates.
    Lines that are incomplete, or whose file is missing or of another type, are listed as skipped, with their numbers.
    The encoding and the delimiter are detected.

    Raises SourceError if the header lacks a column or names one twice, or if the file is not a CSV.
    """
    rows = TableRows(path, place, split)
    encoding = encoding_of(path)
    try:
        with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
            lines = _Lines(path, file)
            reader = csv.reader(lines, strict=True, delimiter=_delimiter(lines))
            header = _checked(path, [name.strip().lower() for name in next(reader, [])])
            for values in reader:
                lines.characters = 0
                if not any(value.strip() for value in values):
                    continue
                if len(values) != len(header):
                    rows.skip(
                        lines.number,
                        f"it has {counted(len(values), 'value')}, but the header has {len(header)}; put prompts that "
                        'contain commas in "quotes"',
                    )
                    continue
                rows.add(lines.number, {name: value.strip() for name, value in zip(header, values, strict=True)})
    except UnicodeError as error:
        raise SourceError(f"{path}: the file is not UTF-8 text ({error}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise SourceError(f"{path}: line {lines.number} is not valid CSV ({error}); correct it") from error
    if encoding == "cp1252":
        rows.listing.notes.append(f"{path.name} is not UTF-8 and is read as Windows-1252; check names with accents")
    return rows.finish()


def _delimiter(lines: _Lines) -> str:
    """Return the delimiter, and leave `lines` at the header."""
    first = next(lines, "")
    if declared := declared_delimiter(first):
        return declared
    lines.push_back(first)
    return delimiter_of(first)


class _Lines:
    """An iterator over the lines of a file for csv.reader that limits the memory used by one row."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.characters = 0  # characters since it was last set to 0
        self.number = 0  # of the last line, from 1
        self._pushed = ""

    def __iter__(self) -> _Lines:
        return self

    def push_back(self, line: str) -> None:
        """Return this line, the last one, once more."""
        self._pushed = line
        self.number -= bool(line)

    def __next__(self) -> str:
        line, self._pushed = self._pushed or self.file.readline(LONGEST_ROW + 1), ""
        self.characters += len(line)
        if self.characters > LONGEST_ROW:
            raise SourceError(
                f"{self.path}: a row is longer than {LONGEST_ROW} characters; check for a missing closing quote"
            )
        if not line:
            raise StopIteration
        self.number += 1
        return line


def _checked(path: Path, header: list[str]) -> list[str]:
    """Return the header. Raises SourceError if a required column is missing or a column appears twice."""
    roles = roles_of(tuple(header))
    missing = [PATH] if PATH not in roles else []
    if PROMPT not in roles and LABEL not in roles:
        missing.append(PROMPT)
    if missing:
        raise SourceError(
            f"{path}: the first line must name the columns path and prompt (or label), separated by commas; "
            f"{' and '.join(missing)} not found in: {', '.join(header) or 'an empty line'}"
        )
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if twice:
        raise SourceError(f"{path}: the first line names the column {twice[0]} more than once; rename one")
    return header


def list_jsonl(path: Path, place: str = "", split: str = "") -> SourceListing:
    """Return the items of a file with one JSON object per line, whose keys are a CSV's columns (see `list_csv`).

    The file may also be one JSON array of such objects. `prompt` may be a list: the picture is one item with several
    prompts. Numbers, true and false are read as text, null as an empty text. Lines that are not an object, or have a
    value of another kind, are listed as skipped.

    Raises SourceError if the file is not UTF-8 text or if no line can be used.
    """
    rows = TableRows(path, place, split)
    try:
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(LONGEST_ROW + 1):
                number += 1
                if not number - 1 and line.lstrip().startswith("["):
                    _add_array(rows, path)
                    break
                if len(line) > LONGEST_ROW:
                    raise SourceError(f"{path}: line {number} is longer than {LONGEST_ROW} characters")
                if line.strip():
                    _add(rows, number, *parsed_json(line))
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: the file is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    return rows.finish()


def _add_array(rows: TableRows, path: Path) -> None:
    if path.stat().st_size > LONGEST_ARRAY:
        raise SourceError(f"{path}: the JSON array is larger than {LONGEST_ARRAY >> 20} MB; write one object per line")
    values, why = parsed_json(path.read_text("utf-8-sig"))
    if not isinstance(values, list):
        rows.skip(1, why)
        return
    for number, row in enumerate(values, start=1):
        _add(rows, number, row)


def parsed_json(text: str) -> tuple[Any, str]:
    """Return the JSON value, or None and what is wrong with it. Numbers stay as they are written: 0.50, not 0.5."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse), ""
    except (ValueError, RecursionError) as error:
        return None, f"it is not valid JSON ({error})"


def _add(rows: TableRows, number: int, values: Any, why: str = "") -> None:
    if not isinstance(values, dict):
        rows.skip(number, why or 'it is not a JSON object, such as {"path": "1.jpg", "prompt": "a happy face"}')
        return
    prompt = roles_of(tuple(key.strip().lower() for key in values)).get(PROMPT)
    row: dict[str, str] = {}
    prompts: list[str] = []
    for key, value in values.items():
        name = key.strip().lower()
        texts = [_text(entry) for entry in (value if name == prompt and isinstance(value, list) else [value])]
        if None in texts or name in row:
            rows.skip(
                number, f"the key {name!r} appears twice" if name in row else f"the value of {name!r} is not text"
            )
            return
        row[name] = texts[0] or "" if texts else ""
        if name == prompt:
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
