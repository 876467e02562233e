"""The items of a training data source: pictures and videos with their prompts or labels and their split."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...common.errors import PerceptionClipError
from .files import Parts, Tree
from .media import Media, media_of

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "publictest"),  # PublicTest and PrivateTest: FER2013
    "test": ("test", "testing", "privatetest"),
}
_PART_OF = {name: part for part, names in _NAMES.items() for name in names} | {"": ""}


class SourceError(PerceptionClipError, ValueError):
    """Raised for a source that cannot be listed; the message names it and describes what it must look like."""


@dataclass(frozen=True)
class Choices:
    """What the user has decided about the labels of a source. Levels of folders count from 1, the topmost."""

    label_level: int | None = None
    group_level: int | None = None  # 0: each picture is its own group
    label_map: Mapping[str, str] = field(default_factory=dict)  # label → new label; "" leaves its pictures out


NO_CHOICES = Choices()


@dataclass(frozen=True, slots=True)  # there may be very many
class SourceItem:
    """One picture, video or folder of frames with its prompts, or a label from which prompts are generated."""

    media: Media
    source: str  # its name in the dataset, in reports and in skipped.csv
    group: str  # the person or clip: a group is never divided between training and validation
    prompts: tuple[str, ...] = ()  # as the source states them
    label: str = ""  # as the source states it; prompts are generated from it if there are none
    columns: Mapping[str, str] = field(default_factory=dict)  # values for templates, such as intensity or age
    split: str = ""  # one of SPLITS if the source states it, else ""


@dataclass(frozen=True)
class SourceListing:
    """The contents of a source."""

    items: list[SourceItem] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason) of what cannot be used
    notes: list[str] = field(default_factory=list)  # what the user should know about how the source was read
    doubt: str = ""  # why the labels may be wrong, with the other readings and the flags that choose one

    def first_skip(self, path: str, reason: str) -> str:
        """Return the first skipped path and its reason; those passed in if nothing was skipped."""
        return ": ".join(self.skipped[0] if self.skipped else (path, reason))


def item_of(
    tree: Tree,
    parts: Parts,
    *,
    group: str = "",
    prompts: tuple[str, ...] = (),
    label: str = "",
    columns: Mapping[str, str] | None = None,
    split: str = "",
) -> SourceItem:
    """Return the item of a picture or video in a tree; without a group, it is its own."""
    name = tree.name(parts)
    return SourceItem(media_of(tree.path(parts)), name, group or name, prompts, label, columns or {}, split)


def merge_rows(items: Sequence[SourceItem]) -> list[SourceItem]:
    """Return the items with the rows of one picture next to each other, so that it is read once.

    Rows that differ only in their prompts become one item with all of these. Columns only count without prompts.
    """
    merged: dict[str, dict[Hashable, SourceItem]] = {}
    for item in items:
        rows = merged.setdefault(item.source, {})
        columns = () if item.prompts else tuple(item.columns.items())
        key = (item.group, item.label, item.split, bool(item.prompts), columns)
        first = rows.setdefault(key, item)
        if first is not item:
            rows[key] = replace(first, prompts=first.prompts + item.prompts)
    return [_distinct(item) for rows in merged.values() for item in rows.values()]


def _distinct(item: SourceItem) -> SourceItem:
    return replace(item, prompts=tuple(dict.fromkeys(item.prompts))) if len(item.prompts) > 1 else item


def part_of_folder(name: str) -> str | None:
    """Return the split that a folder's name contains, as in `train_set` and `Val_AFEW`; None if it contains none."""
    parts = {part for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", name) if (part := part_of(word))}
    return parts.pop() if len(parts) == 1 else None


def split_of_folders(folders: Sequence[str]) -> str:
    """Return the split that the nearest of the folders names, the last one; "" if none of them names one."""
    return next(filter(None, map(part_of_folder, reversed(folders))), "")


def part_of(name: str) -> str | None:
    """Return the split, one of SPLITS, for any of its usual names in any case; "" for ""; None for anything else."""
    return _PART_OF.get(name.strip().casefold())
