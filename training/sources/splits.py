"""What data sets call the parts for training, validation and test."""

from __future__ import annotations

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev", "publictest"),  # PublicTest and PrivateTest: FER2013
    "test": ("test", "testing", "privatetest"),
}
_PART_OF = {name: part for part, names in _NAMES.items() for name in names} | {"": ""}


def part_of(name: str) -> str | None:
    """One of items.SPLITS for any of its usual names, in any case; "" for none given; None for anything else."""
    return _PART_OF.get(name.strip().casefold())
