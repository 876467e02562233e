"""Parquet files with pictures, as Hugging Face's datasets have them: single files, shards and dataset folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from torch import Tensor

from ...common.words import listed
from ...perception.pictures import PictureError, read_picture
from .columns import PARQUET_SUFFIX, PATH, is_table
from .files import Parts, Tree, is_file, walk
from .items import SourceError, SourceListing, split_of_folders
from .media import Picture, is_picture
from .rows import TableRows, listing_of

ROWS = 64  # read at a time while pictures are read
KEPT = 8  # batches kept, because threads read ahead
EXACT = 1 << 53  # whole numbers below this are exact as floating-point numbers
FEATURES = b"huggingface"  # the key in a schema's metadata with the types of the columns


@dataclass(frozen=True, slots=True)
class ParquetPicture(Picture):
    """One picture in a row of a Parquet file: its bytes, or a struct of its bytes or the path of its file."""

    path: Path
    column: str
    row: int

    @property
    def name(self) -> str:
        """Its name in errors."""
        return f"{self.path.name} row {self.row}"

    def digest(self) -> bytes:
        return hashlib.sha256(self._content()).digest()

    def read(self) -> Tensor:
        return read_picture(BytesIO(self._content()), name=self.name)

    def _content(self) -> bytes:
        value = _reader(self.path, self.column).value(self.row)
        content, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if isinstance(content, bytes):
            return content
        if not isinstance(name, str) or not name:
            raise PictureError(f"{self.name}: the row has no picture")
        path = self.path.parent / name
        if not is_picture(path) or not is_file(path):
            raise PictureError(f"{self.name}: {path} does not exist or is not a picture")
        return path.read_bytes()


class _Reader:
    """Reads single values of a column, best in order, in constant memory."""

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column
        self._lock = Lock()
        self._batches: dict[int, list[Any]] = {}  # first row → values
        self._upcoming: Iterator[Any] = iter(())
        self._next = -1  # first row of the next batch

    def value(self, row: int) -> Any:
        start = row - row % ROWS
        with self._lock:
            if start not in self._batches and not 0 <= self._next <= start:
                self._upcoming, self._next, self._batches = self._all(), 0, {}
            while start not in self._batches and (batch := next(self._upcoming, None)) is not None:
                self._batches[self._next] = batch
                self._next += ROWS
                if len(self._batches) > KEPT:
                    del self._batches[next(iter(self._batches))]  # the oldest
            values = self._batches.get(start, [])
            if row - start >= len(values):
                raise PictureError(f"{self._path.name}: there is no row {row}; was the file changed?")
            return values[row - start]

    def _all(self) -> Iterator[list[Any]]:
        """Yield the values of the column in lists of ROWS."""
        waiting: list[Any] = []
        with _open(self._path) as file:
            for batch in file.iter_batches(batch_size=ROWS, columns=[self._column]):
                waiting.extend(batch.column(0).to_pylist())
                while len(waiting) >= ROWS:
                    yield waiting[:ROWS]
                    waiting = waiting[ROWS:]
        yield waiting


@lru_cache(maxsize=4)
def _reader(path: Path, column: str) -> _Reader:
    return _Reader(path, column)


def list_parquet(source: Path) -> SourceListing:
    """Return the rows of a Parquet file, or of all in a folder, as items: pictures with prompts or labels.

    The columns are those of a CSV (see columns.py); the picture is a column of pictures or of bytes, or else a path as
    in a CSV. Labels with names in the schema, ClassLabel, have these names. The split is in the name of a file or its
    folder, as in `train-00000-of-00002.parquet`. Only texts and numbers are read now; pictures stay in their files.

    Raises SourceError if pyarrow is missing, if a file cannot be read, or if there is no usable row.
    """
    tree = walk(source)
    shards = [parts for parts in tree.files if parts[-1].lower().endswith(PARQUET_SUFFIX)]
    listing = listing_of([_read(tree, parts) for parts in shards])
    listing.skipped[:0] = [*tree.skipped, *tree.unused(set(shards), "it is in no row of a Parquet file")]
    if not listing.items:
        raise SourceError(f"{source}: no row can be used. {listing.first_skip(source.name, 'there are no rows')}")
    return listing


def _read(tree: Tree, parts: Parts) -> TableRows:
    """Return the rows of one file."""
    path = tree.path(parts)
    split = split_of_folders((*parts[:-1], path.stem))
    rows = TableRows(path, f"{tree.name(parts[:-1])}/", split, unit="row")
    with _open(path) as file:
        schema = file.schema_arrow
        picture = _picture_column(schema)
        columns = [field.name for field in schema if _is_text(field.type) and field.name != picture]
        header = tuple(name.lower() for name in columns)
        if not is_table(header if picture is None else (PATH, *header)):
            raise SourceError(
                f"{path}: a column with pictures and one called text, prompt or label are needed; the columns are: "
                f"{listed([f'{field.name} ({field.type})' for field in schema], 12)}"
            )
        names, number = _class_names(schema), 0
        for batch in file.iter_batches(columns=columns):
            for values in batch.to_pylist():
                row = {name.lower(): _text(value, names.get(name)) for name, value in values.items()}
                rows.add(number, row, picture=None if picture is None else ParquetPicture(path, picture, number))
                number += 1
    return rows


def _picture_column(schema: Any) -> str | None:
    """Return the column with pictures: bytes, or a struct with bytes and a path. None if pictures can only be paths."""
    import pyarrow.types as kinds

    for field in schema:
        parts = [part.name for part in field.type] if kinds.is_struct(field.type) else []
        if "bytes" in parts or kinds.is_binary(field.type) or kinds.is_large_binary(field.type):
            return str(field.name)
    return None


def _is_text(kind: Any) -> bool:
    import pyarrow.types as kinds

    checks = (kinds.is_string, kinds.is_large_string, kinds.is_integer, kinds.is_floating, kinds.is_boolean)
    return any(check(kind) for check in (*checks, kinds.is_dictionary))


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of the numbers in ClassLabel columns."""
    try:
        features = json.loads((schema.metadata or {}).get(FEATURES, b"{}"))["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _text(value: object, names: list[str] | None) -> str:
    """Return the value of a cell as text; `names` are those of its column's numbers."""
    if value is None or value != value:  # NaN stands for an empty cell
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)  # a column of whole numbers with an empty cell
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else ""  # −1: no label
    return str(value).lower() if isinstance(value, bool) else str(value).replace("\0", "").strip()


def _open(path: Path) -> Any:
    """Return the opened file. Raises SourceError if pyarrow is missing or if it is not a Parquet file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SourceError(f"{path}: reading Parquet needs pyarrow; run pip install pyarrow") from error
    try:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: the file cannot be read as Parquet ({error})") from error
