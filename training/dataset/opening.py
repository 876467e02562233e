"""Opening of dataset files, .db or .npz, for reading, training or writing, and merging of several."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import InputError
from ...common.files import atomic_path
from .copying import SampleSource, copy_samples
from .npz import Dataset, export, gather, load
from .samples import StoreError
from .store import Store
from .store_file import SCHEMA_VERSION

SUFFIXES = (".db", ".npz")
OUT_HELP = "my.db, which is created or, if it exists, extended; or a new my.npz"


@contextmanager
def open_dataset(path: Path) -> Iterator[SampleSource]:
    """Yield the samples of a .db, as they are at this moment, or of an .npz.

    Raises StoreError or DatasetError if the file is not a dataset, InputError for another suffix.
    """
    if path.suffix.lower() == ".npz":
        yield load(path)
    elif path.suffix.lower() == ".db":
        with Store(path, create=False) as store, store.snapshot() as snapshot:
            yield snapshot
    else:
        refuse_torch(path)
        raise InputError(f"{path}: the name of a dataset must end in .db or .npz")


def versions_of(rows: SampleSource) -> dict[str, str]:
    """Return the version of the file's format, and those of the programs that wrote it, if the file states them."""
    if not isinstance(rows, Dataset):
        return {"dataset": str(SCHEMA_VERSION)}
    written_by = rows.meta.get("versions")
    stated = {"dataset": rows.meta.get("format"), **(written_by if isinstance(written_by, dict) else {})}
    return {str(name): str(version) for name, version in stated.items() if version is not None}


def open_for_training(path: Path, *, drop_bad_rows: bool = False) -> Dataset:
    """Return the dataset `path`: an .npz mapped from the disk, or a .db as it is at this moment.

    A .db of up to `npz.IN_MEMORY` bytes (44,000 samples) is read into memory, a larger one into nameless files beside
    it, which vanish with the dataset. With `drop_bad_rows`, rows that cannot be used for training are listed in
    `Dataset.bad_rows`; otherwise they raise DatasetError.
    """
    if path.suffix.lower() != ".db":
        refuse_torch(path)
        if path.is_dir() or (path.is_file() and path.suffix.lower() not in SUFFIXES and not zipfile.is_zipfile(path)):
            raise InputError(f"{path}: datasets are .db and .npz files; create one with `python -m training build`")
        return load(path, allow_bad_rows=drop_bad_rows)
    with Store(path, create=False) as store:
        return gather(store, allow_bad_rows=drop_bad_rows)


def refuse_torch(path: Path) -> None:
    """Raise InputError, with what to do, for a file written by torch.save."""
    if path.is_file() and zipfile.is_zipfile(path):
        with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
            if any(name.endswith("data.pkl") for name in archive.namelist()):
                raise InputError(
                    f"{path}: this was saved by torch.save, and datasets are .npz files. Convert it: data = "
                    f'torch.load("{path.name}"), then numpy.savez("{path.stem}.npz", perception_embeddings=…, '
                    "clip_embeddings=…) with its two arrays"
                )


def check_suffix(path: Path) -> None:
    """Raise InputError for an --out that ends neither in .db nor in .npz."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {path} must end in {' or '.join(SUFFIXES)}")


@contextmanager
def open_output(path: Path, sources: Sequence[Path]) -> Iterator[Store]:
    """Yield the dataset `path` for appending. A new dataset appears only if the block ends without an error.

    Raises InputError if it is one of the sources, which are never changed; if it has another suffix; if it is an
    existing .npz; or if nothing was appended to a new one.
    """
    check_suffix(path)
    for source in sources:
        if path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"--out {path} is an input dataset, which is never changed; choose another name")
    if not path.exists():
        with atomic_path(path) as whole:
            if path.suffix.lower() == ".db":
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
    elif path.suffix.lower() == ".npz":
        raise InputError(f"--out {path} already exists, and an .npz cannot grow; choose a new name or a .db")
    else:
        with Store(path) as store:
            yield store


def _check_filled(store: Store, path: Path) -> None:
    if not len(store):
        raise InputError(f"no sample is left for {path}, so it was not written; relax the conditions")


@dataclass(frozen=True)
class Merged:
    """The result of merging one dataset."""

    path: Path
    samples: int
    new: int  # the others were already in the target


def merge(paths: Sequence[Path], target: Store) -> list[Merged]:
    """Append the samples of .db and .npz files in order, and return the result for each; the files are not changed.

    Merging the parts of a build yields the samples of the whole build, in its order. Raises StoreError, before
    anything is appended, if the datasets were created with different models.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(open_dataset(path)) for path in paths]
        _check_alike(paths, sources)
        return [
            Merged(path, len(source), copy_samples(source, target)) for path, source in zip(paths, sources, strict=True)
        ]


def _check_alike(paths: Sequence[Path], sources: Sequence[SampleSource]) -> None:
    filled = [(path, source) for path, source in zip(paths, sources, strict=True) if source.provenance is not None]
    for path, source in filled[1:]:
        first_path, first = filled[0]
        assert first.provenance is not None and source.provenance is not None
        differences = first.provenance.differences(source.provenance)
        if first.has_image_sizes != source.has_image_sizes:
            known, unknown = "known image sizes", "unknown ones"
            differences.append(f"{known}, not {unknown}" if first.has_image_sizes else f"{unknown}, not {known}")
        if differences:
            raise StoreError(
                f"{first_path} and {path} cannot be merged: the first was made with the "
                f"{', and the '.join(differences)}. Merge only datasets of the same models; for another text encoder, "
                "re-encode one of them with `relabel --re-encode`"
            )
