"""What a source of training data lists: pictures and videos, what they express, and their part of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...common.errors import PerceptionClipError
from ..dataset.samples import SPLITS
from .media import Media

__all__ = ["SPLITS", "Item", "Listing", "SourceError"]

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "publictest"),  # PublicTest and PrivateTest: FER2013
    "test": ("test", "testing", "privatetest"),
}
_PART_OF = {name: part for part, names in _NAMES.items() for name in names} | {"": ""}


class SourceError(PerceptionClipError, ValueError):
    """A source that cannot be listed at all; the message names it and says what it should look like."""


@dataclass(frozen=True)
class Item:
    """One picture, video or folder of frames, and what it expresses: its own prompts, or a label to make some from."""

    media: Media
    source: str  # how it is called in the dataset, in reports and in skipped.csv
    group: str  # the person or clip: rows of one group never straddle the train/validation split
    prompts: tuple[str, ...] = ()  # as the source states them
    label: str = ""  # as the source states it; prompts are made from it where there are none
    columns: Mapping[str, str] = field(default_factory=dict)  # what templates may name, such as intensity or age
    split: str = ""  # one of SPLITS if the source says which part it belongs to, else ""


@dataclass(frozen=True)
class Listing:
    """What a source holds."""

    items: list[Item] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (which, why) of what cannot be used
    notes: list[str] = field(default_factory=list)  # what the user should know of how it was understood


def part_of(name: str) -> str | None:
    """One of items.SPLITS for any of its usual names, in any case; "" for none given; None for anything else."""
    return _PART_OF.get(name.strip().casefold())
