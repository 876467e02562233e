"""Check a .pth before torch reads it: it must be a zip as torch.save writes it, with a pickle of tensors only.

torch's `weights_only` runs no code, but it decompresses and allocates whatever a file declares. These checks are cheap,
and everything that passes them is no larger than the file.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ..common.errors import PerceptionClipError

LARGEST_TEXT = 4 << 20  # total bytes of names, shapes and metadata; a few hundred prompts take 100,000
LONGEST_NAME = 200  # characters of the name of a tensor or a part
MOST_STEPS = 200_000  # of a pickle; a tensor takes about 30
MOST_SHARED = 12  # fetches of a tuple: if nested, many would take forever to hash
STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
PICKLED = {
    *(b"collections\nOrderedDict\n", b"torch._utils\n_rebuild_tensor_v2\n", b"torch._utils\n_rebuild_parameter\n"),
    *(f"torch\n{name}Storage\n".encode() for name in STORAGES),
}
# The opcodes in pickles of torch.save, and the number of argument bytes that follow each.
GLOBAL, TEXT, LONG = b"cX\x8a"  # arguments: two lines; a 4-byte length and its bytes; a 1-byte length and its bytes
TUPLES, PUTS, GETS = b"t\x85\x86\x87", b"qr", b"hj"
ARGUMENTS = {
    **dict.fromkeys(b"()}].NtRQsuaeb\x85\x86\x87\x88\x89", 0),
    **dict.fromkeys(b"\x80qhK", 1),
    **dict.fromkeys(b"M", 2),
    **dict.fromkeys(b"rjJ", 4),
    **dict.fromkeys(b"G", 8),
}
# What torch and the other libraries raise for malformed files; ComfyUI's interrupt is not among these. The error of
# unpickling is taken from torch, as the pack imports nothing that could unpickle.
DAMAGED = (
    *(torch.serialization.pickle.UnpicklingError, zipfile.BadZipFile, struct.error),  # type: ignore[attr-defined]
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError),
)
ZIP_END = struct.Struct("<4sQ2H2L4Q 4sLQL 4s4H2LH")  # the last bytes of a zip as torch.save writes it


class RefusedError(PerceptionClipError, ValueError):
    """The reason why a file is not read, to follow "refused because …"."""


def require(holds: bool, otherwise: str) -> None:
    """Raise RefusedError with the message `otherwise` unless `holds` is True."""
    if not holds:
        raise RefusedError(otherwise)


def check_zip(path: Path) -> None:
    """Refuse a zip that torch.save did not write: it must be uncompressed, with correct sizes and a harmless pickle.

    Python and torch read the contents of a zip from its end and must find the same.

    Raises RefusedError, or ValueError and what zipfile and struct raise if the file is damaged or not such a zip.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2) - ZIP_END.size
        file.seek(max(end, 0))
        marks = ZIP_END.unpack(file.read())
    size, offset, found = marks[8], marks[9], (marks[0], marks[10], marks[14])
    if found != (b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06") or (offset + size, marks[12], marks[-1]) != (end, end, 0):
        raise zipfile.BadZipFile
    require(size <= LARGEST_TEXT, f"the list of its parts has {size} bytes, but at most {LARGEST_TEXT} are allowed")
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
        claimed = sum(max(part.file_size, part.compress_size) for part in parts)
        require(stored, "parts of it are compressed, which torch.save never does")
        require(claimed <= end, f"its parts claim {claimed} bytes, but it has only {end}")
        for part in parts:
            require(len(part.filename) <= LONGEST_NAME, "the name of a part is too long")
            if part.filename.lower().endswith("byteorder"):
                little = part.file_size == len(b"little") and archive.read(part) == b"little"
                require(little, "its numbers are big-endian")
            if part.filename.lower().endswith("data.pkl"):
                require(
                    part.file_size <= LARGEST_TEXT,
                    f"its pickle has {part.file_size} bytes, but at most {LARGEST_TEXT} are allowed",
                )
                _check_pickle(archive.read(part))


def _check_pickle(content: bytes) -> None:
    """Refuse a pickle that contains anything but tensors, or that is built to take a long time."""
    tuples: set[int] = set()
    shared, before = 0, 0
    for step, (code, argument) in enumerate(_steps(content)):
        if code == GLOBAL:
            require(argument in PICKLED, "it contains objects other than tensors, which could run code")
        place = int.from_bytes(argument, "little")
        if code in PUTS:
            tuples |= {place} if before in TUPLES else set()
        else:
            before = code
        shared += code in GETS and place in tuples
        require(step < MOST_STEPS and shared <= MOST_SHARED, "its pickle is too long or too deeply nested")


def _steps(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the steps (code, argument) of a pickle. Raises ValueError for a code that torch.save does not write."""
    end = 0
    while end < len(content):
        code, start = content[end], end + 1
        if code == GLOBAL:
            end = content.index(b"\n", content.index(b"\n", start) + 1) + 1
        elif code == TEXT:
            end = start + 4 + int.from_bytes(content[start : start + 4], "little")
        elif code == LONG:
            end = start + 1 + sum(content[start : start + 1])
        elif code in ARGUMENTS:
            end = start + ARGUMENTS[code]
        else:
            raise ValueError(f"the pickle contains the unsupported code {code}")
        yield code, content[start:end] if code != TEXT else b""
