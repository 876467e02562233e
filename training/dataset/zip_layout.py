"""Where the members of a zip lie in the file, and that they lie there as the zip's directory says.

What is mapped from disk is not read through `zipfile`, so its place has to be certain: the directory and the header
before each member agree, no member reaches into another or into the directory. Source of the format: PKWARE's
APPNOTE.TXT, 4.3.7 (local file header), 4.5.3 (sizes beyond 4 GB) and 4.3.12 (directory).
"""

from __future__ import annotations

import struct
import zipfile
from typing import IO

MOST_AT_ONCE = 4 << 20  # bytes of the directory, and of whatever else is read in one piece
ALIGNMENT = 64  # bytes: where NumPy and vector instructions like data to begin

_LOCAL = struct.Struct("<4s5H3L2H")
_PAD = struct.Struct("<3H")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1  # flag bits
_SIZES_FOLLOW = 0x8  # they stand behind the data, zeros before it
_UTF8 = 0x800  # of the name
_IN_EXTRA = 0xFFFFFFFF  # a size that stands in the extra field
_ZIP64 = 1  # extra fields
_ZIP64_SIZES = 20  # bytes of an extra field with two sizes
_PADDING = 0xD935  # Android's zipalign pads with it: the alignment, then zeros


def data_starts(archive: zipfile.ZipFile, file: IO[bytes]) -> dict[str, int]:
    """Where the data of each member begins in `file`, by the member's name in the zip.

    Raises zipfile.BadZipFile, naming the member, if the file is not laid out as its directory says.
    """
    starts: dict[str, int] = {}
    free_from = 0  # where the member before ends
    for info in sorted(archive.infolist(), key=lambda member: member.header_offset):
        if not free_from <= info.header_offset <= archive.start_dir - _LOCAL.size:
            raise _bad(info, "lies outside the file or in another member")
        file.seek(info.header_offset)
        signature, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        called = file.read(name).decode("utf-8" if flags & _UTF8 else "cp437")
        packed, size = _full_sizes(file.read(extra), packed, size)
        sizes_known = not flags & _SIZES_FOLLOW or (crc, packed, size) != (0, 0, 0)
        if (
            signature != _SIGNATURE
            or called != info.orig_filename
            or method != info.compress_type
            or (sizes_known and (crc, packed, size) != (info.CRC, info.compress_size, info.file_size))
        ):
            raise _bad(info, "is not what the directory says")
        if (flags | info.flag_bits) & _ENCRYPTED:
            raise _bad(info, "is encrypted")
        if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise _bad(info, "is stored as it is, and yet of two sizes")
        start = info.header_offset + _LOCAL.size + name + extra
        free_from = start + info.compress_size
        if free_from > archive.start_dir:
            raise _bad(info, "reaches beyond the end of the data")
        starts[info.filename] = start
    return starts


def aligned(info: zipfile.ZipInfo, position: int) -> zipfile.ZipInfo:
    """`info` padded so that its data begins aligned, if its header, with sizes of 64 bits, is written at `position`."""
    before = position + _LOCAL.size + len(info.filename.encode()) + _PAD.size + _ZIP64_SIZES
    zeros = -before % ALIGNMENT
    info.extra = _PAD.pack(_PADDING, 2 + zeros, ALIGNMENT) + bytes(zeros)
    return info


def _full_sizes(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """The sizes of a local header; those that do not fit into 32 bits stand in its extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64 and length >= 16 and at + _ZIP64_SIZES <= len(extra):
            long_size, long_packed = struct.unpack_from("<2Q", extra, at + 4)
            return (
                long_packed if packed == _IN_EXTRA else packed,
                long_size if size == _IN_EXTRA else size,
            )
        at += 4 + length
    return packed, size


def _bad(info: zipfile.ZipInfo, what: str) -> zipfile.BadZipFile:
    return zipfile.BadZipFile(f"its member {info.filename!r} {what}")
