"""A dataset file, .npz or one that grows (.db), opened for training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .npz import Dataset, export, load
from .store import Store


@contextmanager
def opened(path: Path, *, drop_bad_rows: bool = False) -> Iterator[Dataset]:
    """The dataset `path`, its arrays mapped from the disk while the block lasts.

    A .db is first exported, as it is at this moment, to a temporary file beside it: faces stay where they are. With
    `drop_bad_rows`, rows that could not be trained on are named in `Dataset.bad_rows`; else they raise DatasetError.
    """
    if path.suffix != ".db":
        yield load(path, allow_bad_rows=drop_bad_rows)
        return
    with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
        exported = Path(folder) / "training_data.npz"
        with Store(path, create=False) as store:
            export(store, exported)
        dataset = load(exported, allow_bad_rows=drop_bad_rows)
        yield dataset
        del dataset  # Windows removes no file that is mapped
