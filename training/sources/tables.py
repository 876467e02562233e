"""Tables of pictures and what they express: CSV and JSON Lines, row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ...common.words import counted
from .files import frame_folder, is_file, is_folder, is_media, unread
from .items import Item, Listing, SourceError, part_of
from .media import Media, media_of

PATH, PROMPT, LABEL, GROUP, SPLIT = "path", "prompt", "label", "group", "split"
NAMED = (PATH, PROMPT, LABEL, GROUP, SPLIT)  # all others are columns for templates
LONGEST_ROW = 1 << 20  # characters


class Rows:
    """Turns the rows of one table into items. A picture that many rows name is looked up once."""

    def __init__(self, table: Path) -> None:
        self.table = table
        self.folder = table.absolute().parent
        self.listing = Listing()
        self._media: dict[str, Media | str] = {}

    def add(self, line: int, row: Mapping[str, str], prompts: Sequence[str]) -> None:
        """`row`: column → text, without blanks around it; `prompts`: its prompts, empty ones among them."""
        item = self._item(row, tuple(dict.fromkeys(prompt for prompt in prompts if prompt)), row.get(LABEL, ""))
        if isinstance(item, Item):
            self.listing.items.append(item)
        else:
            self.skip(line, item)

    def skip(self, line: int, why: str) -> None:
        self.listing.skipped.append((f"{self.table.name} line {line}", why))

    def finish(self) -> Listing:
        """The listing. Raises SourceError if not one row can be used."""
        if not self.listing.items:
            empty = (self.table.name, "it has no rows")
            which, why = self.listing.skipped[0] if self.listing.skipped else empty
            raise SourceError(f"{self.table}: not one usable line. {which}: {why}")
        return self.listing

    def _item(self, row: Mapping[str, str], prompts: tuple[str, ...], label: str) -> Item | str:
        """The item of one row, or why there is none."""
        if flaw := _flaw("\n".join((*row.keys(), *row.values(), *prompts))):
            return flaw
        if not row.get(PATH):
            return "the path is empty"
        if not prompts and not label:
            columns = [f"the {name}" for name in (PROMPT, LABEL) if name in row] or ["the prompt"]
            return f"{' and '.join(columns)} {'is' if len(columns) == 1 else 'are'} empty"
        split = part_of(row.get(SPLIT, ""))
        if split is None:
            return f"the split {row[SPLIT]!r} is none of train, validation and test"
        source = self._existing(row[PATH])
        if source not in self._media:
            self._media[source] = self._find(source)
        media = self._media[source]
        if isinstance(media, str):
            return media
        return Item(
            media=copy(media),  # each item its own: a reading leaves its problems there
            source=source,
            group=row.get(GROUP) or source,
            prompts=prompts,
            label=label,
            columns={name: text for name, text in row.items() if name and text and name not in NAMED},
            split=split,
        )

    def _existing(self, source: str) -> str:
        """The path as it is, or with Windows' backslashes turned if there is nothing of that name."""
        if "\\" in source and source not in self._media:
            path = self.folder / source
            if not is_file(path) and not is_folder(path):
                source = source.replace("\\", "/")
        return Path(source).as_posix()

    def _find(self, source: str) -> Media | str:
        """What pictures come out of, or why there are none."""
        path = self.folder / source
        if is_folder(path):
            try:
                return frame_folder(path) or f"there are no pictures in the folder {path}"
            except OSError as error:
                return f"the folder {path} cannot be read ({error.strerror or error})"
        if not is_file(path):
            return f"there is no file {path}"
        return media_of(path) if is_media(path) else f"{unread(path)} ({source})"


def _flaw(text: str) -> str:
    """Why a dataset cannot hold the text; empty if it can."""
    if "\0" in text:
        return "it holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can write such
        return "it holds half a character (a lone surrogate)"
    return ""


def list_csv(path: Path) -> Listing:
    """A CSV (UTF-8, comma-separated) with the columns `path` and `prompt` or `label`; `group` and `split` if known.

    `path` is a picture, a video or a folder of frames, from the CSV's folder on. Two lines with the same path are
    two items. An empty group is the file itself; a split is train, validation or test. All other columns, such as
    `intensity`, are for templates. Lines whose file is missing or of another type, or that are incomplete, are
    listed as skipped, with their numbers.

    Raises SourceError if the header lacks a column or names one twice, or the file is no CSV in UTF-8.
    """
    rows = Rows(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _Lines(path, file)
            reader = csv.reader(lines, strict=True)
            header = _checked(path, [name.strip().lower() for name in next(reader, [])])
            for values in reader:
                lines.taken = 0
                if not any(value.strip() for value in values):
                    continue
                if len(values) != len(header):
                    rows.skip(
                        reader.line_num,
                        f"it has {counted(len(values), 'value')} and the header {len(header)}; put a prompt that "
                        "contains commas "
                        'into "quotes"',
                    )
                    continue
                row = {name: value.strip() for name, value in zip(header, values, strict=True)}
                rows.add(reader.line_num, row, [row.get(PROMPT, "")])
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text ({error.reason}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise SourceError(f"{path}: line {reader.line_num} is not CSV ({error})") from error
    return rows.finish()


class _Lines:
    """The lines of a file, for csv.reader; a row that goes on and on does not fill the memory."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.taken = 0  # characters, since it was last set to 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self.file.readline(LONGEST_ROW + 1)
        self.taken += len(line)
        if self.taken > LONGEST_ROW:
            raise SourceError(f"{self.path}: a row is longer than {LONGEST_ROW} characters; is a quote left open?")
        if not line:
            raise StopIteration
        return line


def _checked(path: Path, header: list[str]) -> list[str]:
    """The header, if it has what it must. Raises SourceError."""
    missing = [name for name in (PATH, PROMPT) if name not in header and (name == PATH or LABEL not in header)]
    if missing:
        raise SourceError(
            f"{path}: its first line must name the columns path and prompt (or label), separated by commas; "
            f"{' and '.join(missing)} not found among: {', '.join(header) or 'nothing'}"
        )
    twice = [name for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if twice:
        raise SourceError(f"{path}: its first line names the column {twice[0]} more than once; rename one")
    return header


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
