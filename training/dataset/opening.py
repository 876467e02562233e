"""A dataset file, .npz or one that grows (.db), opened for training."""

from __future__ import annotations

from pathlib import Path

from .npz import Dataset, gather, load
from .store import Store


def opened(path: Path, *, drop_bad_rows: bool = False) -> Dataset:
    """The dataset `path`: an .npz mapped from the disk, a .db as it is at this moment, read into memory.

    Nothing is written: faces stay where they are. With `drop_bad_rows`, rows that could not be trained on are named
    in `Dataset.bad_rows`; else they raise DatasetError.
    """
    if path.suffix != ".db":
        return load(path, allow_bad_rows=drop_bad_rows)
    with Store(path, create=False) as store:
        return gather(store, allow_bad_rows=drop_bad_rows)
