"""One row of a table of pictures, whatever the table's format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

from .files import frame_folder, is_file, is_folder, is_media, unread
from .items import Item, Listing, SourceError
from .media import Media, media_of
from .splits import part_of

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
