"""Opening a dataset file, .db or .npz, for one way of reading: whole samples, some at a time, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...common.errors import InputError
from .copying import BATCH, Rows
from .npz import Dataset, load
from .store import Store
from .store_file import SCHEMA_VERSION

__all__ = ["BATCH", "Rows", "open_rows", "versions_of"]


@contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    """The samples of a .db, as they are at this moment, or of an .npz.

    Raises StoreError or DatasetError for what is no dataset, InputError for another suffix.
    """
    if path.suffix == ".npz":
        yield load(path)
    elif path.suffix == ".db":
        with Store(path, create=False) as store, store.snapshot() as snapshot:
            yield snapshot
    else:
        raise InputError(f"{path}: a dataset's name ends in .db or .npz")


def versions_of(rows: Rows) -> dict[str, str]:
    """The version of the file's format, and those of what wrote it as far as the file says."""
    if not isinstance(rows, Dataset):
        return {"dataset": str(SCHEMA_VERSION)}
    written_by = rows.meta.get("versions")
    stated = {"dataset": rows.meta.get("format"), **(written_by if isinstance(written_by, dict) else {})}
    return {str(name): str(version) for name, version in stated.items() if version is not None}
