"""Where pictures and their prompts come from: a folder per label, or a CSV.

A listing is stable: the same files give the same items, with the same prompts, in the same order.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .prompts import prompt_for_label

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi"})
REQUIRED_COLUMNS = ("path", "prompt")
GROUP_COLUMN = "group"


class SourceError(ValueError):
    """A source that cannot be listed at all; the message names it and says what it should look like."""


@dataclass(frozen=True)
class Item:
    """One picture or video file and what it expresses."""

    path: Path
    prompt: str
    group: str  # the person or clip: rows of one group never straddle the train/validation split
    label: str | None = None
    source: str = ""  # how to name the file in the dataset; its name if empty

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEOS

    @property
    def name(self) -> str:
        return self.source or self.path.name


@dataclass(frozen=True)
class Listing:
    """What a source holds."""

    items: list[Item] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (which, why) of what cannot be used


def find_items(source: Path) -> Listing:
    """List a folder per label, or a CSV, told apart by what `source` is.

    Raises SourceError for anything else, and FileNotFoundError if there is nothing of that name.
    """
    if source.is_dir():
        return folder_items(source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such folder or file")
    if source.suffix.lower() == ".csv":
        return csv_items(source)
    raise SourceError(
        f"{source}: give a folder with one subfolder per label, or a .csv with the columns path, prompt and, "
        "if you know it, group"
    )


def folder_items(root: Path) -> Listing:
    """`root`/label/…/picture: each subfolder's name is the label of all pictures and videos in it.

    Seven-emotion labels and their synonyms become varied prompts (see training/prompts.py), other labels appear
    in the prompt as they are. Who is in a picture is unknown, so each file is a group of its own: frames of a
    video stay together, but a person with several pictures may land on both sides of a split. A CSV can say
    better. Hidden files are passed over; other files that are no pictures are listed as skipped.
    """
    base = root.resolve()
    listing = Listing()
    for path in sorted(_visible_files(base)):
        relative = path.relative_to(base)
        name = _printable((Path(base.name) / relative).as_posix())
        if len(relative.parts) == 1:
            listing.skipped.append((name, "it lies beside the label folders, not in one"))
        elif not _is_supported(path):
            listing.skipped.append((name, f"files of the type {path.suffix or 'without suffix'} are not read"))
        else:
            label = _printable(relative.parts[0])
            prompt = prompt_for_label(label, name)
            listing.items.append(Item(path=path, prompt=prompt, group=name, label=label, source=name))
    if not listing.items:
        raise SourceError(
            f"{root}: no pictures or videos found in subfolders. It must hold one folder per label: "
            f"{base.name}/happy/1.jpg, {base.name}/sad/2.jpg, …"
        )
    return listing


def csv_items(path: Path) -> Listing:
    """A CSV (UTF-8, comma-separated) with the columns `path`, `prompt` and perhaps `group`; others are ignored.

    Paths are relative to the CSV's folder. An empty group is the file itself. Lines whose file is missing or of
    another type, or that are incomplete, are listed as skipped, with their numbers. Raises SourceError if the
    header lacks a column, or the file is no UTF-8 text.
    """
    listing = Listing()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            missing = [name for name in REQUIRED_COLUMNS if name not in header]
            if missing:
                raise SourceError(
                    f"{path}: its first line must name the columns path and prompt, separated by commas; "
                    f"{' and '.join(missing)} not found among: {', '.join(header) or 'nothing'}"
                )
            for values in reader:
                if not any(value.strip() for value in values):
                    continue
                line = f"{path.name} line {reader.line_num}"
                item = _csv_item(path.parent, header, values)
                if isinstance(item, Item):
                    listing.items.append(item)
                else:
                    listing.skipped.append((line, item))
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text ({error.reason}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise SourceError(f"{path}: line {reader.line_num} is not CSV ({error})") from error
    if not listing.items:
        which, why = listing.skipped[0] if listing.skipped else (path.name, "it has no lines below the header")
        raise SourceError(f"{path}: not one usable line. {which}: {why}")
    return listing


def _csv_item(folder: Path, header: list[str], values: list[str]) -> Item | str:
    """The item of one line, or why there is none."""
    if len(values) != len(header):
        return (
            f'it has {len(values)} values and the header {len(header)}; put a prompt that contains commas into "quotes"'
        )
    if any("\0" in value for value in values):
        return "it holds a NUL character"
    row = {name: value.strip() for name, value in zip(header, values, strict=True)}
    source, prompt = row["path"], row["prompt"]
    if not source or not prompt:
        return f"the {'prompt' if source else 'path'} is empty"
    path = folder / source
    if not _is_file(path):
        return f"there is no file {path}"
    if not _is_supported(path):
        return f"files of the type {path.suffix or 'without suffix'} are not read ({source})"
    return Item(path=path, prompt=prompt, group=row.get(GROUP_COLUMN) or source, source=source)


def _visible_files(folder: Path) -> Iterator[Path]:
    """All files below `folder` of which no part of the name is hidden."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def _printable(name: str) -> str:
    """A file name as text: bytes that are no Unicode, which some systems allow, become question marks."""
    return name.encode("utf-8", "replace").decode()


def _is_supported(path: Path) -> bool:
    return path.suffix.lower() in PICTURES | VIDEOS


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a NUL in it
        return False
