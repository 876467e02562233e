"""A CSV of pictures and what they express."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TextIO

from ...common.words import counted
from .items import Listing, SourceError
from .rows import LABEL, LONGEST_ROW, PATH, PROMPT, Rows


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
