"""Where samples of other datasets go: a dataset that grows, or a new file that appears whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...common.errors import InputError
from ...common.files import atomic_path
from .npz import export
from .store import Store

SUFFIXES = (".db", ".npz")
OUT_HELP = "my.db, made, or added to if it exists; or a new my.npz"


def check_suffix(path: Path) -> None:
    """Raise ValueError for an --out that is neither kind of dataset."""
    if path.suffix not in SUFFIXES:
        raise InputError(f"--out {path} must end in {' or '.join(SUFFIXES)}")


@contextmanager
def open_output(path: Path, sources: Sequence[Path]) -> Iterator[Store]:
    """The dataset `path`, to be appended to. A new one appears when the block ends well, and not if it raises.

    Raises ValueError if it is one of the sources, which are never changed; has another suffix; is an .npz that exists
    already; or if nothing was appended to a new one.
    """
    check_suffix(path)
    for source in sources:
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"--out {path} is the dataset that is read, which is never changed; give another name")
    if not path.exists():
        with atomic_path(path) as whole:
            if path.suffix == ".db":
                with Store(whole) as store:
                    yield store
                    _check_filled(store, path)
            else:
                with (
                    tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder,
                    Store(Path(folder) / "samples.db") as store,
                ):
                    yield store
                    _check_filled(store, path)
                    export(store, whole)
    elif path.suffix == ".npz":
        raise InputError(f"--out {path} exists, and an .npz cannot grow; give a new name, or a .db")
    else:
        with Store(path) as store:
            yield store


def _check_filled(store: Store, path: Path) -> None:
    if not len(store):
        raise InputError(f"no sample is left for {path}, so it was not written; ask for less")
