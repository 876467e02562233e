"""FER2013: one CSV with the pixels of 35,887 faces, or a folder per split and label.

The format is that of Goodfellow et al. (2013), "Challenges in Representation Learning", arXiv:1307.0414.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ...common.words import counted, listed
from ...perception.vector import EMOTIONS
from ..prompts.labels import known_label
from .folders import list_labels
from .items import NO_CHOICES, Choices, SourceError, SourceItem, SourceListing, part_of
from .media import SIDE, PixelRow
from .numbering import FER2013

EMOTION, PIXELS, USAGE = "emotion", "pixels", "usage"
VOTES = "fer2013new.csv"  # FERPlus' file next to FER2013's
_OTHER_VOTES = "{path}: {votes} next to it has another number of rows, so it is not of this file; move it away"
LONGEST_ROW = 1 << 16  # bytes; FER2013's longest row is under 10,000


def list_fer2013(source: Path, choices: Choices = NO_CHOICES) -> SourceListing:
    """Return the faces of `fer2013.csv` (or `icml_face_data.csv`), or of a folder with train, test or validation.

    A folder has the layout train/label/picture, test/… or validation/…. Emotion numbers 0…6 are angry, disgust, fear,
    happy, sad, surprise, neutral. PublicTest is the validation split, PrivateTest the test split. Pixels stay in the
    file until they are needed. The people are unknown, so each face is a separate group. With FERPlus' votes next to
    the CSV, these give the labels. Rows that cannot be used are listed as skipped, with their line numbers.

    Raises SourceError if the header differs, or if there is no usable row or picture.
    """
    return list_labels(source, choices) if source.is_dir() else _list_csv(source)


def is_fer2013_csv(path: Path) -> bool:
    """Return whether the first line of a CSV is FER2013's."""
    with path.open("rb") as file:
        return {EMOTION, PIXELS} <= set(_header(file))


def _list_csv(path: Path) -> SourceListing:
    listing = SourceListing()
    votes = _votes(path.with_name(VOTES))
    with path.open("rb") as file:
        header = _header(file)
        if not {EMOTION, PIXELS} <= set(header):
            raise SourceError(
                f"{path}: the first line must name the columns emotion and pixels, and optionally Usage, not: "
                f"{', '.join(header)[:200] or 'nothing'}"
            )
        line, start = 1, file.tell()
        while row := file.readline(LONGEST_ROW + 1):
            line += 1
            if len(row) > LONGEST_ROW:
                raise SourceError(
                    f"{path}: line {line} is longer than {LONGEST_ROW} bytes, so this is not a FER2013 file"
                )
            if row.strip():
                name = f"{path.name} line {line}"
                item = _item(path.absolute(), name, header, row, start)
                if votes is not None and isinstance(item, SourceItem):
                    item = _voted(item, votes.pop() if votes else "", path)
                elif votes:
                    votes.pop()
                if isinstance(item, SourceItem):
                    listing.items.append(item)
                else:
                    listing.skipped.append((name, item))
            start += len(row)
    if not listing.items:
        reason = listing.first_skip(path.name, "there are no lines below the header")
        raise SourceError(f"{path}: no line can be used. {reason}")
    if votes is not None:
        if votes:
            raise SourceError(_OTHER_VOTES.format(path=path, votes=VOTES))
        listing.notes.append(f"the labels are the majority of FERPlus' votes in {VOTES}; move it away to use FER2013's")
    if any(item.split not in ("", "train") for item in listing.items):
        listing.notes.append("FER2013's PublicTest is the validation split, PrivateTest the test split")
    return listing


def _votes(path: Path) -> list[str] | None:
    """Return the label that most of FERPlus' votes give each face, the last face first, or why there is none.

    Barsoum et al. (2016), arXiv:1608.01041: one row per face of FER2013, in its order, with ten columns of votes. None
    if there is no such file. A reason begins with a space. Raises SourceError if the file is not a CSV in UTF-8.
    """
    if not path.is_file():
        return None
    labels = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            names = [name.strip().lower() for name in next(rows, [])][2:]
            for values in rows:
                counts = [int(value) if value.strip().isdecimal() else 0 for value in values[2:]]
                best = [name for name, count in zip(names, counts, strict=False) if count == max(counts)]
                label = known_label(best[0]) if len(best) == 1 else None
                labels.append(label or f" FERPlus' votes are tied or for no emotion ({listed(best, 3)})")
    except (UnicodeError, csv.Error) as error:
        raise SourceError(f"{path}: these are not FERPlus' votes ({error}); move the file away") from error
    return labels[::-1]


def _voted(item: SourceItem, label: str, path: Path) -> SourceItem | str:
    """Return the item with FERPlus' label, or the reason why it has none."""
    if not label:
        raise SourceError(_OTHER_VOTES.format(path=path, votes=VOTES))
    return label.strip() if label.startswith(" ") else replace(item, label=label)


def _header(file: BinaryIO) -> list[str]:
    """Return the column names in lower case."""
    line = file.readline(LONGEST_ROW)
    return [name.strip(' \t\r\n"').lower() for name in line.decode("utf-8-sig", "replace").split(",")]


def _item(path: Path, name: str, header: list[str], row: bytes, start: int) -> SourceItem | str:
    """Return the item of the row that begins at byte `start`, or the reason why the row cannot be used."""
    values = row.rstrip(b"\r\n").split(b",")
    if len(values) != len(header):
        return f"it has {counted(len(values), 'value')}, but the header has {len(header)}"
    text = {column: value.strip(b' \t"') for column, value in zip(header, values, strict=True)}
    number = text[EMOTION].decode("ascii", "replace")
    if number not in FER2013:
        return f"the emotion is {number[:20]!r}, not a number from 0 to {len(EMOTIONS) - 1}"
    usage = text.get(USAGE, b"").decode("ascii", "replace")
    split = part_of(usage)
    if split is None:
        return f"the usage is {usage[:20]!r}, not Training, PublicTest or PrivateTest"
    pixels = text[PIXELS]
    if (
        pixels.count(b" ") != SIDE * SIDE - 1 and len(pixels.split()) != SIDE * SIDE
    ):  # splitting every row would be slow
        return f"it has {counted(len(pixels.split()), 'pixel')}, not {SIDE} × {SIDE}"
    before = sum(len(value) + 1 for value in values[: header.index(PIXELS)])  # values and the commas after them
    offset = start + row.index(pixels, before)
    return SourceItem(PixelRow(path, offset, len(pixels), name), name, group=name, label=FER2013[number], split=split)
