"""What a .pth must be before torch reads it: a zip as torch.save writes it, with a pickle of nothing but tensors.

torch's `weights_only` runs no code, but inflates and allocates whatever a file says. These checks cost little, and
everything that they let through is no larger than the file.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from pathlib import Path

LARGEST_TEXT = 4 << 20  # bytes of names, shapes and metadata together; a few hundred prompts take 100,000
LONGEST_NAME = 200  # characters of a tensor's or a part's
MOST_STEPS = 200_000  # of a pickle; a tensor takes about 30
MOST_SHARED = 12  # fetches of a tuple: nested in one another, many would take for ever to hash
STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
PICKLED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"} | {
    f"torch {name}Storage" for name in STORAGES
}
ZIP_END = struct.Struct("<4sQ2H2L4Q 4sLQL 4s4H2LH")  # the last bytes of a zip as torch.save writes it


class RefusedError(ValueError):
    """The reason why a file is not read, to follow "refused, as …"."""


def require(holds: bool, otherwise: str) -> None:
    """Raise RefusedError unless it holds."""
    if not holds:
        raise RefusedError(otherwise)


def check_zip(path: Path) -> None:
    """Refuse a zip that is not as torch.save writes it: nothing compressed, sizes that are true, a harmless pickle.

    Python and torch find what is in a zip from its end, and must find the same.

    Raises RefusedError; and what zipfile, struct and pickletools raise for a file that is damaged or no such zip.
    """
    with path.open("rb") as file:
        end = file.seek(0, 2) - ZIP_END.size
        file.seek(max(end, 0))
        marks = ZIP_END.unpack(file.read())
    size, offset, found = marks[8], marks[9], (marks[0], marks[10], marks[14])
    if found != (b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06") or (offset + size, marks[12], marks[-1]) != (end, end, 0):
        raise zipfile.BadZipFile
    require(size <= LARGEST_TEXT, f"the list of its parts has {size} bytes, of at most {LARGEST_TEXT}")
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
        claimed = sum(max(part.file_size, part.compress_size) for part in parts)
        require(stored, "parts of it are compressed, and torch compresses nothing")
        require(claimed <= end, f"its parts claim {claimed} bytes, and it has {end}")
        for part in parts:
            require(len(part.filename) <= LONGEST_NAME, "a part's name is too long")
            if part.filename.lower().endswith("byteorder"):
                little = part.file_size == len(b"little") and archive.read(part) == b"little"
                require(little, "its numbers are big-endian")
            if part.filename.lower().endswith("data.pkl"):
                require(
                    part.file_size <= LARGEST_TEXT, f"its pickle has {part.file_size} bytes, of at most {LARGEST_TEXT}"
                )
                _check_pickle(archive.read(part))


def _check_pickle(content: bytes) -> None:
    """Refuse one that names anything but tensors, or that is made to take long."""
    tuples: set[object] = set()
    shared, before = 0, ""
    for step, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name == "GLOBAL":
            require(argument in PICKLED, "it carries objects other than tensors, which could run code")
        if opcode.name.endswith("PUT"):
            tuples |= {argument} if before.startswith("TUPLE") else set()
        else:
            before = opcode.name
        shared += opcode.name.endswith("GET") and argument in tuples
        require(step < MOST_STEPS and shared <= MOST_SHARED, "its pickle is too long, or nested")
