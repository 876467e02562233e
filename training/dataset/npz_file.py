"""The NPZ container: a zip of `.npy` arrays (numpy.lib.format), written as a stream and read without trusting it.

Nothing is ever unpickled, and no name in the zip is used as a path. Before any array is read or allocated, the declared
sizes of all of them are compared with the number of bytes in the file. Arrays are mapped from where zipfile has read
them and verified their checksums.
"""

from __future__ import annotations

import io
import math
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...common.errors import PerceptionClipError

ALIGNMENT = 64  # bytes, which suits NumPy and vector instructions
CHUNK = 1 << 20  # bytes read at a time
MOST_AT_ONCE = 4 << 20  # bytes of the directory, and of anything else that zipfile reads in one piece
MOST_MEMORY = 128 << 20  # bytes of memory that any file may need …
MOST_GROWTH = 20  # … or times its own size: perceptions hardly compress, so no real dataset comes close
LONGEST_TEXT = 1 << 20  # characters
LONGEST_HEADER = 10_000  # bytes, as in NumPy: it is parsed as Python syntax

_LOCAL_HEADER = struct.Struct("<26x2H")  # before a member; ends with the lengths of its name and extra field
_ZIP64_SIZES = 20  # bytes of an extra field with two sizes of 64 bits
_PADDING = struct.Struct("<3H")  # an extra field of zeros, as in Android's zipalign: 0xD935, length, alignment
_SAVED_AS = {"f": "float32", "iu": "int32", "US": "text"}

# What zipfile and numpy raise for damaged files; RuntimeError: encrypted, or nested too deeply.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, ValueError, TypeError),
    *(EOFError, OSError, LookupError, ArithmeticError, RuntimeError, MemoryError),
)


class DatasetError(PerceptionClipError, ValueError):
    """Raised for a dataset file that cannot be used; the message names the file, the array and the remedy."""


def array_error(path: Path, name: str, wrong: str, remedy: str) -> DatasetError:
    """Return a DatasetError about the array `name`."""
    return DatasetError(f"{path}: {name} {wrong}; {remedy}")


ArrayError = Callable[[str, str], DatasetError]  # what is wrong with one array, remedy → error


@dataclass(frozen=True)
class Member:
    """An array in pieces along the first dimension, in C order."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Iterable[NDArray[Any]]

    @property
    def size(self) -> int:
        """Return the number of bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def in_memory(self) -> NDArray[Any]:
        """Return the whole array; uses up the pieces."""
        array, row = np.empty(self.shape, self.dtype), 0
        for piece in map(np.atleast_1d, self.pieces):
            np.atleast_1d(array)[row : row + len(piece)] = piece
            row += len(piece)
        return array

    def in_file(self, folder: Path) -> NDArray[Any]:
        """Return the whole array, mapped from a nameless file in `folder`, which vanishes with it; uses up the pieces.

        On Windows the file has a name, and the system deletes it together with the array. Raises OSError if the disk
        is full.
        """
        with tempfile.TemporaryFile(dir=folder, prefix=".perception-clip-") as file:
            self.write(file)
            file.flush()
            return _mapped(file, self.dtype, 0, self.shape)

    def write(self, file: IO[bytes]) -> None:
        """Write the elements; memory holds one piece at a time."""
        for piece in self.pieces:
            file.write(np.ascontiguousarray(piece, dtype=self.dtype).reshape(-1).view(np.uint8).data)


@dataclass(frozen=True)
class Layout:
    """The type and shape that an array must have."""

    kinds: str  # of NumPy's dtype.kind: "f", "iu" or "US"
    shape: tuple[str | int, ...]  # ("N", 1441): any number of rows
    required: bool = False


def write(path: Path, members: Iterable[Member]) -> None:
    """Write an uncompressed NPZ; memory holds one piece at a time. Equal members result in equal files.

    Each array starts at a multiple of 64 bytes, so that it can be mapped.
    """
    with path.open("wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            header = {"descr": npy.dtype_to_descr(member.dtype), "fortran_order": False, "shape": member.shape}
            with archive.open(_aligned(f"{member.name}.npy", raw.tell()), "w", force_zip64=True) as file:
                npy.write_array_header_1_0(file, header)  # as long as a multiple of 64 bytes
                member.write(file)


def read(path: Path, layouts: Mapping[str, Layout]) -> dict[str, NDArray[Any]]:
    """Return those arrays of an NPZ that `layouts` names; floats as float32, all in C order.

    Those that lie in the file as they would in memory are mapped from it: they take memory of the process only where
    they are written to, and the file does not change. Raises DatasetError for an invalid file.
    """
    error = partial(array_error, path)
    with ExitStack() as stack:
        with _reporting(path):
            file = stack.enter_context(_Limited(path.open("rb", buffering=0)))
            archive = stack.enter_context(zipfile.ZipFile(file))
            members = _members(archive, error)
        for name, layout in layouts.items():
            if layout.required and name not in members:
                contents = ", ".join(sorted(members)) or "nothing"
                raise error(name, f"is missing (the file contains {contents})", "see docs/training.md for the format")
        places = {}
        for name in filter(members.__contains__, layouts):
            with _reporting(path, name):
                places[name] = _find(file, archive, members[name], partial(error, name))
                _check(places[name], layouts[name], partial(error, name))
        _check_memory(places, file.seek(0, io.SEEK_END), error)
        arrays = {}
        for name, place in places.items():
            with _reporting(path, name):
                arrays[name] = _read(file, archive, place)
        return arrays


class _Limited(io.BufferedReader):
    """A file that is read in small pieces: a zip may declare a directory of any size."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MOST_AT_ONCE:
            raise zipfile.BadZipFile(f"it declares a piece of {size} bytes, but at most {MOST_AT_ONCE} are allowed")
        return super().read(MOST_AT_ONCE if size is None or size < 0 else size)


@contextmanager
def _reporting(path: Path, name: str | None = None) -> Iterator[None]:
    """Convert what is raised for a damaged file or array to a DatasetError."""
    try:
        yield
    except DatasetError:
        raise
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: there is no such file; create it with `python -m training build`") from error
    except _BROKEN as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if name is not None:
            raise array_error(path, name, f"cannot be read ({reason})", "copy or export the file again") from error
        raise DatasetError(
            f"{path}: this is not an NPZ file, or it is truncated ({reason}); copy or export it again"
        ) from error


def _members(archive: zipfile.ZipFile, error: Callable[[str, str, str], DatasetError]) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays in the file's directory by name.

    Raises DatasetError for names that no NPZ has, BadZipFile if a member overlaps another.
    """
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    ends = [*(info.header_offset for info in infos), archive.start_dir][1:]
    for info, end in zip(infos, ends, strict=True):
        if info.header_offset + _LOCAL_HEADER.size + len(info.orig_filename) + info.compress_size > end:
            raise zipfile.BadZipFile(f"its member {info.filename!r} lies outside the file or overlaps another member")
    for name, count in Counter(info.orig_filename for info in infos).items():
        if count > 1:
            raise error(name.removesuffix(".npy"), "is in the file twice", "export the file again")
        parts = PureWindowsPath(name)  # recognizes both kinds of slashes and drives
        if parts.anchor or ".." in parts.parts or "\0" in name:
            raise error(repr(name), "is a path, not the name of an array", "use files from another source")
    return {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist() if name.endswith(".npy")}


@dataclass(frozen=True)
class _Place:
    """The position of an array in the file, and its type."""

    info: zipfile.ZipInfo
    start: int  # position of its data in the file, unless compressed
    header: int  # bytes of the member before the data
    shape: tuple[int, ...]
    fortran_order: bool
    saved: np.dtype[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that it is read as."""
        return np.dtype(np.float32) if self.saved.kind == "f" else self.saved.newbyteorder("=")

    @property
    def is_mapped(self) -> bool:
        """Whether it can be mapped: it lies in the file as it would in memory."""
        stored = self.info.compress_type == zipfile.ZIP_STORED and not self.fortran_order and 0 not in self.shape
        return stored and self.saved == self.dtype and self.start % self.dtype.alignment == 0

    @property
    def memory(self) -> int:
        """The bytes of memory that reading and converting it takes. Each byte of text becomes 4 bytes."""
        if self.is_mapped:
            return 0
        unchanged = self.saved == self.dtype and not self.fortran_order
        converted = 4 * self.saved.itemsize if self.saved.kind == "S" else 0 if unchanged else self.dtype.itemsize
        return math.prod(self.shape) * (self.saved.itemsize + converted)


def _find(file: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo, error: ArrayError) -> _Place:
    """Return the position of an array after reading only its headers."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise error("has a compression that NumPy does not use", "export the file again")
    with archive.open(info) as member:
        header = io.BytesIO(member.read(LONGEST_HEADER))
    file.seek(info.header_offset)
    start = info.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size)))
    version = npy.read_magic(header)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of the npy format {version[0]}.{version[1]}")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran_order, dtype = read_header(header)
    return _Place(info, start + header.tell(), header.tell(), shape, fortran_order, dtype)


def _check(place: _Place, layout: Layout, error: ArrayError) -> None:
    """Raise DatasetError if the array has another type, shape or size than it must have."""
    dtype, shape, saved_as = place.saved, place.shape, _SAVED_AS[layout.kinds]
    if dtype.hasobject:
        remedy = f"save it as {saved_as} instead (numpy: `array.astype(...)`, then `np.savez`)"
        raise error("contains pickled Python objects, which could run code, so it was not read", remedy)
    if dtype.kind not in layout.kinds or dtype.itemsize == 0:
        raise error(f"has the type {dtype}", f"save it as {saved_as}")
    if dtype.itemsize > LONGEST_TEXT * 4:
        raise error(f"has the type {dtype}", f"the longest text may have {LONGEST_TEXT} characters")
    if len(shape) != len(layout.shape) or shape[1:] != layout.shape[1:]:
        raise error(f"has the shape {shape}", f"it must be ({', '.join(map(str, layout.shape))})")
    declared, there = math.prod(shape) * dtype.itemsize, place.info.file_size - place.header
    is_cut = place.info.compress_type == zipfile.ZIP_STORED and place.info.compress_size != place.info.file_size
    if declared != there or is_cut:
        wrong = f"declares the shape {shape}, which takes {declared} bytes, but it has {there}"
        raise error(wrong, "export the file again")


def _check_memory(places: Mapping[str, _Place], size: int, error: Callable[[str, str, str], DatasetError]) -> None:
    """Raise DatasetError if reading takes more memory than `size`, the bytes of the file, justifies."""
    memory = 0
    for name, place in places.items():
        memory += place.memory
        if memory > max(MOST_MEMORY, MOST_GROWTH * size):
            wrong = f"would unpack to an implausible size (this file of {size} bytes to more than {memory})"
            raise error(name, wrong, "if you trust the file, save it uncompressed (numpy: `np.savez`)")


def _read(file: IO[bytes], archive: zipfile.ZipFile, place: _Place) -> NDArray[Any]:
    with archive.open(place.info) as member:
        if not place.is_mapped:
            array = npy.read_array(member, allow_pickle=False)
            with np.errstate(over="ignore"):  # numbers too large become infinite, which is reported later
                return array.astype(place.dtype, order="C", copy=False)
        while member.read(CHUNK):  # to the end, where zipfile verifies the checksum
            pass
    return _mapped(file, place.dtype, place.start, place.shape)


def _mapped(file: IO[bytes], dtype: np.dtype[Any], start: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array that lies in the file; what is written to it stays in memory."""
    try:  # a private copy of every page that is written to: torch warns of arrays that cannot be
        return np.asarray(np.memmap(file, dtype, "c", start, shape))
    except OSError:  # Linux grants none that is larger than memory and swap
        return np.asarray(np.memmap(file, dtype, "r", start, shape))


def _aligned(name: str, position: int) -> zipfile.ZipInfo:
    """Return a member whose data are aligned if its header, with 64-bit sizes, is written at `position`."""
    info = zipfile.ZipInfo(name)
    zeros = -(position + _LOCAL_HEADER.size + len(name.encode()) + _ZIP64_SIZES + _PADDING.size) % ALIGNMENT
    info.extra = _PADDING.pack(0xD935, 2 + zeros, ALIGNMENT) + bytes(zeros)
    return info
