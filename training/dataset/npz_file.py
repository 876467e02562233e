"""The NPZ container: arrays written as a stream, and read with distrust.

The format is NumPy's: a zip of `.npy` members (numpy.lib.format). Nothing is ever unpickled, no name in the zip is
taken for a path, and no memory is set aside for an array before its declared size has been held against the bytes
that are really there. An array that lies in the file as it would in memory is mapped from the disk.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...common.errors import PerceptionClipError
from .zip_layout import MOST_AT_ONCE, aligned, data_starts

CHUNK = 1 << 20  # bytes read at a time
MOST_DEFLATED = 1032  # to one: more than this, deflate cannot compress (zlib's technical notes)
MOST_HELD = 128 << 20  # bytes of arrays in memory that any file may ask for …
MOST_GROWN = 20  # … and how many times its own size: perceptions hardly compress, so no real dataset comes near
LOOKED_AT = 1024  # rows at a time, of an array that is already in memory
LONGEST_TEXT = 1 << 20  # characters
LONGEST_HEADER = 10_000  # bytes, as in NumPy: it is parsed as Python's syntax

# What zipfile and numpy raise on bytes that are not what they should be.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,  # an encrypted member, or a header nested too deeply
    MemoryError,  # Python's parser, on such a header
    OverflowError,
    IndexError,
    KeyError,
)


class DatasetError(PerceptionClipError, ValueError):
    """A dataset file that cannot be used; the message says which file, which array, what is wrong, what to do."""


@dataclass(frozen=True)
class Member:
    """One array to write: its elements come in pieces, in C order, along the first dimension."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Iterable[NDArray[Any]]


def write(path: Path, members: Iterable[Member]) -> None:
    """Write an uncompressed NPZ; memory holds one piece at a time. Equal members make equal files.

    Each array begins at a multiple of 64 bytes, so that it can be mapped.
    """
    with path.open("wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            header = {
                "descr": npy.dtype_to_descr(member.dtype),
                "fortran_order": False,
                "shape": member.shape,
            }
            info = aligned(zipfile.ZipInfo(f"{member.name}.npy"), raw.tell())
            with archive.open(info, "w", force_zip64=True) as file:
                npy.write_array_header_1_0(file, header)  # as long as a multiple of 64 bytes
                for piece in member.pieces:
                    file.write(np.ascontiguousarray(piece, dtype=member.dtype).reshape(-1).view(np.uint8).data)


class Reader:
    """An open NPZ file. Every method raises DatasetError for whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = _Sips(path.open("rb", buffering=0))
        except FileNotFoundError as error:
            raise DatasetError(f"{path}: there is no such file; make one with `python -m training build`") from error
        except OSError as error:
            raise self._no_npz(error) from error
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        try:
            self._archive = zipfile.ZipFile(self._file)
            infos = self._archive.infolist()
            self._check_names([info.orig_filename for info in infos])
            self._starts = data_starts(self._archive, self._file)
        except DatasetError:
            raise
        except _BROKEN as error:
            raise self._no_npz(error) from error
        self.names = {info.filename.removesuffix(".npy") for info in infos if info.filename.endswith(".npy")}
        self._size = self._file.seek(0, io.SEEK_END)
        self._held = 0  # bytes of the arrays read into memory
        self._map: mmap.mmap | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Arrays that are mapped stay usable."""
        self._archive.close()
        self._file.close()

    def error(self, name: str, wrong: str, remedy: str) -> DatasetError:
        """A DatasetError about the array `name`."""
        return DatasetError(f"{self.path}: {name} {wrong}; {remedy}")

    def read(
        self,
        name: str,
        kinds: str,
        dimensions: int,
        width: int | None = None,
        *,
        dtype: type[np.generic] | None = None,
        look: Callable[[NDArray[Any]], None] | None = None,
    ) -> NDArray[Any]:
        """The array `name`, in C order, as `dtype` (None: as it is saved).

        It is mapped from the disk where the file holds it uncompressed, in C order, in this type and aligned to
        its elements; otherwise it is read into memory. Both ways it is read once from beginning to end, for the
        checksum and for `look`, which is shown some rows (n, …) at a time; that takes little memory. A mapped
        array can be written to (this changes neither the file nor other arrays), but whoever cuts the file short
        while the array is in use ends this process: put another file in its place instead, as `export` does.
        Windows refuses that while the array lives.

        `kinds` are the dtype kinds it may have ("f" floats, "iu" whole numbers, "U" text…), `dimensions` how
        many it must have, and `width` how long its last one must be.
        """
        info = self._archive.getinfo(f"{name}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self.error(name, "is compressed in a way that NumPy does not use", "export the file again")
        try:
            with self._archive.open(info) as file:
                saved, shape, fortran_order = _header(file)
                self._check(name, saved, shape, kinds, dimensions, width)
                self._check_sizes(name, info, file.tell(), saved, shape)
                wanted = saved if dtype is None else np.dtype(dtype)
                start = self._starts[info.filename] + file.tell()
                fits = saved == wanted and wanted.isnative and not fortran_order and start % wanted.alignment == 0
                mapped = fits and info.compress_type == zipfile.ZIP_STORED and 0 not in shape
                array = self._mapped(start, shape, wanted) if mapped else self._empty(name, shape, wanted)
                rows = np.atleast_1d(array.T if fortran_order else array)
                done = 0
                for saved_piece in _pieces(file, saved, rows.shape):
                    piece = _converted(saved_piece, wanted)
                    if not mapped:
                        rows[done : done + len(piece)] = piece
                    if look is not None and not fortran_order:
                        look(piece)
                    done += len(piece)
        except DatasetError:
            raise
        except _BROKEN as error:
            raise self.error(name, f"cannot be read ({_reason(error)})", "copy or export the file again") from error
        if look is not None and fortran_order:
            for done in range(0, len(array), LOOKED_AT):
                look(array[done : done + LOOKED_AT])
        return array

    def _no_npz(self, error: BaseException) -> DatasetError:
        return DatasetError(f"{self.path}: not an NPZ file, or cut short ({_reason(error)}); copy or export it again")

    def _check_names(self, names: list[str]) -> None:
        for name, count in Counter(names).items():
            if count > 1:
                raise self.error(name.removesuffix(".npy"), "is in the file twice", "export the file again")
            leads = PureWindowsPath(name)  # takes both kinds of slashes, and knows drives
            if leads.anchor or ".." in leads.parts or "\0" in name:
                raise self.error(repr(name), "is a path, not the name of an array", "use files from another source")

    def _check(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], kinds: str, dimensions: int, width: int | None
    ) -> None:
        if dtype.hasobject:
            raise self.error(
                name,
                "holds pickled Python objects, which could run code, and was not read",
                f"save it as {_KINDS[kinds]} instead (numpy: `array.astype(...)`, then `np.savez`)",
            )
        if dtype.kind not in kinds or dtype.itemsize == 0:
            raise self.error(name, f"has the type {dtype}", f"save it as {_KINDS[kinds]}")
        if dtype.itemsize > LONGEST_TEXT * 4:
            raise self.error(name, f"has the type {dtype}", f"the longest text may have {LONGEST_TEXT} characters")
        if len(shape) != dimensions or (width is not None and shape[-1] != width):
            wanted = ", ".join(["N", *([str(width)] if width is not None else [])][:dimensions])
            raise self.error(name, f"has the shape {shape}", f"it must be ({wanted})")

    def _check_sizes(
        self, name: str, info: zipfile.ZipInfo, header: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        """See that the declared shape, the member and the file agree on the size of the array's data."""
        expected = dtype.itemsize
        for length in shape:
            expected *= length
        most = info.compress_size * (MOST_DEFLATED if info.compress_type == zipfile.ZIP_DEFLATED else 1)
        if header + expected != info.file_size or info.file_size > most:
            raise self.error(
                name,
                f"declares the shape {shape}, which is {expected} bytes, but {info.file_size - header} are there",
                "export the file again",
            )

    def _empty(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Memory for an array, unless the file asks for too much of it."""
        bytes_each = dtype.itemsize * (5 if dtype.kind == "S" else 1)  # it will be decoded
        self._held += bytes_each * math.prod(shape)
        if self._held > max(MOST_HELD, MOST_GROWN * self._size):
            raise self.error(
                name,
                f"would unpack to an unlikely size (this file of {self._size} bytes to more than {self._held})",
                "save the file uncompressed (numpy: `np.savez`) if it is sound",
            )
        return np.empty(shape, dtype)

    def _mapped(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array that lies in the file. The file is mapped once, and stays so while one of its arrays lives."""
        if self._map is None:
            try:  # a private copy of every page that is written to: torch warns of arrays that cannot be
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
            except OSError:  # Linux grants none that is larger than memory and swap
                self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, dtype, math.prod(shape), start).reshape(shape)


class _Sips(io.BufferedReader):
    """A file of which only a little is read at once: a zip may declare a directory of any size."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MOST_AT_ONCE:
            raise zipfile.BadZipFile(f"it declares a piece of {size} bytes where none may exceed {MOST_AT_ONCE}")
        return super().read(MOST_AT_ONCE if size is None or size < 0 else size)


_KINDS = {"f": "float32", "iu": "int32", "U": "text", "US": "text"}


def _header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of the npy format {version[0]}.{version[1]}")
    prefix = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(prefix, "little")
    if length > LONGEST_HEADER:  # older versions of NumPy read it all before they refuse it
        raise ValueError(f"a header of {length} bytes")
    text = io.BytesIO(prefix + file.read(length))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read(text)
    if any(length < 0 for length in shape):
        raise ValueError(f"the shape {shape}")
    return dtype, shape, fortran_order


def _pieces(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """The array's data, some rows (n, …) at a time. Reading to the end also has zipfile check the checksum."""
    row = dtype.itemsize * math.prod(shape[1:])
    left = row * shape[0]
    while left:
        data = file.read(min(max(1, CHUNK // row) * row, left))
        if not data or len(data) % row:
            raise EOFError(f"it ends {left - len(data)} bytes too early")
        left -= len(data)
        yield np.frombuffer(data, dtype).reshape(-1, *shape[1:])


def _converted(piece: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is reported as such
        return piece.astype(dtype, copy=False)


def _reason(error: BaseException) -> str:
    """The error's first line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
