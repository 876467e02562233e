"""The NPZ container: arrays written as a stream, and read with distrust.

The format is NumPy's: a zip of `.npy` members (numpy.lib.format). Nothing is ever unpickled, and no memory is
set aside for an array before its declared size has been held against the bytes that are really there.
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

CHUNK = 1 << 20  # bytes read at a time
MOST_DEFLATED = 1032  # to one: more than this, deflate cannot compress (zlib's technical notes)

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


class DatasetError(ValueError):
    """A dataset file that cannot be used; the message says which file, which array, what is wrong, what to do."""


@dataclass(frozen=True)
class Member:
    """One array to write: its elements come in pieces, in C order, along the first dimension."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Iterable[NDArray[Any]]


def write(path: Path, members: Iterable[Member]) -> None:
    """Write an uncompressed NPZ; memory holds one piece at a time. Equal members make equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            header = {
                "descr": npy.dtype_to_descr(member.dtype),
                "fortran_order": False,
                "shape": member.shape,
            }
            with archive.open(zipfile.ZipInfo(f"{member.name}.npy"), "w", force_zip64=True) as file:
                npy.write_array_header_1_0(file, header)
                for piece in member.pieces:
                    file.write(np.ascontiguousarray(piece, dtype=member.dtype).reshape(-1).view(np.uint8).data)


class Reader:
    """An open NPZ file. Every method raises DatasetError for whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except FileNotFoundError as error:
            raise DatasetError(f"{path}: there is no such file; make one with `python -m training build`") from error
        except _BROKEN as error:
            raise DatasetError(
                f"{path}: not an NPZ file, or cut short ({_reason(error)}); copy or export it again"
            ) from error
        names = self._archive.namelist()
        self.names = {name.removesuffix(".npy") for name in names if name.endswith(".npy")}
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            self.close()
            raise self.error(twice[0].removesuffix(".npy"), "is in the file twice", "export the file again")

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._archive.close()

    def error(self, name: str, wrong: str, remedy: str) -> DatasetError:
        """A DatasetError about the array `name`."""
        return DatasetError(f"{self.path}: {name} {wrong}; {remedy}")

    def read(self, name: str, kinds: str, dimensions: int, width: int | None = None) -> NDArray[Any]:
        """The array `name`, in C order.

        `kinds` are the dtype kinds it may have ("f" floats, "iu" whole numbers, "U" text…), `dimensions` how
        many it must have, and `width` how long its last one must be.
        """
        info = self._archive.getinfo(f"{name}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self.error(name, "is compressed in a way that NumPy does not use", "export the file again")
        try:
            with self._archive.open(info) as file:
                dtype, shape, fortran_order = _header(file)
                self._check(name, dtype, shape, kinds, dimensions, width)
                expected = self._bytes_of(name, info, file.tell(), dtype, shape)
                array: NDArray[Any] = np.empty(shape[::-1] if fortran_order else shape, dtype)
                _fill(array, file, expected)
        except DatasetError:
            raise
        except _BROKEN as error:
            raise self.error(name, f"cannot be read ({_reason(error)})", "copy or export the file again") from error
        return np.ascontiguousarray(array.T) if fortran_order else array

    def _check(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], kinds: str, dimensions: int, width: int | None
    ) -> None:
        if dtype.hasobject:
            raise self.error(
                name,
                "holds pickled Python objects, which could run code, and was not read",
                f"save it as {_KINDS[kinds]} instead (numpy: `array.astype(...)`, then `np.savez`)",
            )
        if dtype.kind not in kinds:
            raise self.error(name, f"has the type {dtype}", f"save it as {_KINDS[kinds]}")
        if len(shape) != dimensions or (width is not None and shape[-1] != width):
            wanted = ", ".join(["N", *([str(width)] if width is not None else [])][:dimensions])
            raise self.error(name, f"has the shape {shape}", f"it must be ({wanted})")

    def _bytes_of(
        self, name: str, info: zipfile.ZipInfo, header: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> int:
        """The size of the array's data, once the declared shape, the member and the file agree on it."""
        expected = dtype.itemsize
        for length in shape:
            expected *= length
        most = info.compress_size * (MOST_DEFLATED if info.compress_type == zipfile.ZIP_DEFLATED else 1)
        if (
            header + expected != info.file_size
            or info.file_size > most
            or info.compress_size > self.path.stat().st_size
        ):
            raise self.error(
                name,
                f"declares the shape {shape}, which is {expected} bytes, but {info.file_size - header} are there",
                "export the file again",
            )
        return expected


_KINDS = {"f": "float32", "iu": "int32", "U": "text", "US": "text"}


def _header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran_order, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran_order, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"an array of the npy format {version[0]}.{version[1]}")
    if any(length < 0 for length in shape):
        raise ValueError(f"the shape {shape}")
    return dtype, shape, fortran_order


def _fill(array: NDArray[Any], file: IO[bytes], expected: int) -> None:
    """Read the array's data into its memory. Reading to the end also has zipfile check the checksum."""
    if expected == 0:
        return
    target = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < expected:
        piece = file.read(min(CHUNK, expected - done))
        if not piece:
            raise EOFError(f"it ends after {done} of {expected} bytes")
        target[done : done + len(piece)] = piece
        done += len(piece)


def _reason(error: BaseException) -> str:
    """The error's first line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
