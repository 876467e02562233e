"""Rows of tables as items: the roles of their columns, the files of their pictures, and the people in them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ...common.errors import InputError
from ...common.words import listed
from ..prompts.labels import visible
from .columns import AFFECTNET_PATH, GROUP, ID, LABEL, PATH, PROMPT, SPLIT, role_notes, roles_of
from .files import FILE, FOLDER, frame_folder, is_file, is_folder, is_hidden, is_media, printable, unread
from .items import SourceError, SourceItem, SourceListing, part_of, part_of_folder
from .media import Media, media_of
from .numbering import LEFT_OUT, NUMBERINGS, number_of

_UNUSUAL = re.compile(r"\\|//|(?:^|/)\.|/$|^$")  # what a path can be without
_URL = re.compile(r"(?:https?|s3|gs|ftp)://", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # the beginning of an absolute path on Windows
FEW = 6  # the most keys that a message names
NO_DATASETS = frozenset({"", "data"})  # names of folders that data sets of any name have


class _UnusableError(InputError):
    """Raised for a row that cannot be used; the message is the reason."""


class TableRows:
    """Converts the rows of one table to items. A picture in several rows is looked up only once.

    `place` is the folder of the table as it appears in the names of the items, if it is not where the source is. `unit`
    is the word for a row in messages.
    """

    def __init__(self, table: Path, place: str = "", split: str = "", unit: str = "line") -> None:
        self.table, self.unit = table, unit
        self.folder = table.absolute().parent
        self.listing = SourceListing()
        self.roles: dict[tuple[str, ...], Mapping[str, str]] = {}  # header → role → column
        self.ids: dict[int, str] = {}  # number of an item whose row has an id and no column for a group → the id
        self._place, self._split = place, split
        self._media: dict[str, tuple[str, Media | str]] = {}  # path in the table → its name, and the media or a reason
        self._names: dict[str, dict[str, bool]] = {}  # folder → its entries, and whether each is a folder

    def add(
        self,
        number: int,
        row: Mapping[str, str],
        prompts: Sequence[str] | None = None,
        picture: Media | None = None,
    ) -> None:
        """Add the item of a row, column in lower case → text without surrounding whitespace.

        `prompts` replaces the row's prompt; empty ones are ignored. `picture` is one in the table itself, which then
        needs no path.
        """
        try:
            self.listing.items.append(self._item(number, row, prompts, picture))
        except _UnusableError as reason:
            self.skip(number, str(reason))

    def skip(self, number: int, why: str) -> None:
        self.listing.skipped.append((self._name(number), why))

    def checked(self) -> TableRows:
        """Return the rows. Raises SourceError if none can be used."""
        if not self.listing.items:
            reason = self.listing.first_skip(self.table.name, "it has no rows")
            raise SourceError(f"{self.table}: no {self.unit} can be used. {reason}")
        return self

    def _name(self, number: int) -> str:
        return f"{self._place}{self.table.name} {self.unit} {number}"

    def _item(
        self, number: int, row: Mapping[str, str], prompts: Sequence[str] | None, picture: Media | None
    ) -> SourceItem:
        roles: Mapping[str, str] = roles_of(tuple(row))
        if picture is not None:
            roles = {role: name for role, name in roles.items() if role != PATH}
        cells = {role: row[name] for role, name in roles.items()}
        texts = [cells.get(PROMPT, "")] if prompts is None else prompts
        _check_text("\n".join((*row.keys(), *row.values(), *texts)))
        if picture is None and PATH not in roles:
            raise _UnusableError(f"it has no path; its keys are: {listed(list(row), FEW) or 'none'}")
        if picture is None and not cells[PATH]:
            raise _UnusableError("the path is empty")
        own = tuple(dict.fromkeys(text for text in texts if text))
        label = cells.get(LABEL, "")
        if not own and not label:
            columns = [f"the {roles[name]}" for name in (PROMPT, LABEL) if name in roles]
            if not columns:
                raise _UnusableError(f"it has no prompt and no label; its keys are: {listed(list(row), FEW)}")
            raise _UnusableError(f"{' and '.join(columns)} {'is' if len(columns) == 1 else 'are'} empty")
        split = part_of(cells.get(SPLIT, ""))
        if split is None:
            raise _UnusableError(f"the split {cells[SPLIT]!r} is not train, validation or test")
        if picture is None:
            source, media = self._found(cells[PATH])
            if isinstance(media, str):
                raise _UnusableError(media)
        else:
            source, media = self._name(number), picture
        if roles.get(PATH) == AFFECTNET_PATH and label:
            label = NUMBERINGS["affectnet"].get(number_of(label), label)
            if not label:
                raise _UnusableError(LEFT_OUT)
        self.roles.setdefault(tuple(row), roles)
        if GROUP not in roles and row.get(ID):
            self.ids[len(self.listing.items)] = self._group(row[ID])
        # A person is also a word for templates.
        used = {name for role, name in roles.items() if role != GROUP or name == GROUP}
        return SourceItem(
            media=media,
            source=source,
            group=self._group(cells.get(GROUP, "")) or source,
            prompts=own,
            label=label,
            columns={name: text for name, text in row.items() if name and text and name not in used},
            split=split or self._split,
        )

    def _group(self, text: str) -> str:
        """Return the group of a person. An id with a digit is one of this data set; a name, such as anna, is of any."""
        name = visible(printable(text))
        if not self._dataset or not any(map(str.isdecimal, name)):
            return name
        return f"{self._dataset}/{name}"

    @cached_property
    def _dataset(self) -> str:
        """The name of the data set: of the folder that contains the table, or the folders of its splits."""
        names = (printable(folder.name) for folder in (self.folder, *self.folder.parents))
        return next((name for name in names if name.lower() not in NO_DATASETS and not part_of_folder(name)), "")

    def _found(self, text: str) -> tuple[str, Media | str]:
        """Return the name of a path's file in the dataset, and its media or the reason why it cannot be used."""
        if text not in self._media and _URL.match(text):
            self._media[text] = (text, f"{text} is on the network; download the pictures and write the paths of files")
        elif text not in self._media:
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
            return f"the file {source if _DRIVE.match(source) else path} does not exist"
        try:
            return frame_folder(path) or f"the folder {path} contains no pictures"
        except OSError as error:
            return f"the folder {path} cannot be read ({error.strerror or error})"


def _entries(folder: Path) -> dict[str, bool]:
    """Return the names in a folder, and whether each is a folder; broken links are left out."""
    with suppress(OSError, ValueError), os.scandir(folder) as scan:
        return {entry.name: entry.is_dir() for entry in scan if entry.is_dir() or entry.is_file()}
    return {}


def _check_text(text: str) -> None:
    """Raise _UnusableError for a text that a dataset cannot store."""
    if "\0" in text:
        raise _UnusableError("it contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # JSON can contain these
        raise _UnusableError("it contains half a character (a lone surrogate)") from error


def listing_of(tables: Sequence[TableRows]) -> SourceListing:
    """Return the items of all tables of a source. The column id is their group if its values are people.

    They are if one of them has several pictures in a table, and no picture has several ids. Otherwise, they number rows
    or pictures, often from the start in each table, and a note says that they are not the group.
    """
    listing = SourceListing()
    why_not = _why_not_people(tables)
    for table in tables:
        items = table.listing.items
        ids = {} if why_not else table.ids
        listing.items.extend(
            replace(item, group=ids[number]) if number in ids else item for number, item in enumerate(items)
        )
        listing.skipped.extend(table.listing.skipped)
        listing.notes.extend(note for note in table.listing.notes if note not in listing.notes)
    listing.notes.extend(role_notes(roles for table in tables for roles in table.roles.values()))
    if any(table.ids for table in tables):
        listing.notes.append(
            f"the column {ID} is not used as the group: {why_not}. If ids are people, rename the column to person"
            if why_not
            else f"the column {ID} is used as the group"
        )
    return listing


def _why_not_people(tables: Sequence[TableRows]) -> str:
    """Return why the ids are not those of people; "" if they are."""
    repeated = False
    for table in tables:
        pairs = {(table.listing.items[number].source, each) for number, each in table.ids.items()}
        if len({source for source, _ in pairs}) < len(pairs):
            return "a picture has several ids"
        repeated = repeated or len({each for _, each in pairs}) < len(pairs)
    return "" if repeated else "no id has several pictures"
