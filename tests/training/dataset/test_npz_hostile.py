"""NPZ files made to harm: refused with a message, and never for more than a gigabyte of memory."""

from __future__ import annotations

import copy
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy
from torch import Tensor

from perception_clip.training.dataset.npz import Dataset, DatasetError, load, save

LOADER = Path(__file__).with_name("npz_loader.py")
PERCEPTIONS, TARGETS = "perception_embeddings.npy", "clip_embeddings.npy"
LOCAL = 30  # bytes of a local header before the name

Faces = Callable[..., Tensor]


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.fixture
def sound(tmp_path: Path, faces: Faces) -> Path:
    """A small dataset as `save` writes it."""
    path = tmp_path / "sound.npz"
    targets = np.ones((3, 768), dtype=np.float32)
    save(Dataset(faces(3).numpy(), targets, prompts=np.array(["one", "two", "three"])), path)
    return path


def deflated(path: Path, members: dict[str, list[tuple[bytes, int]]]) -> None:
    """A zip whose members are made of pieces, each so many times over: bombs of any size, made in no time."""
    directory, body = b"", b""
    for name, pieces in members.items():
        data, checksum, size = b"", 0, 0
        for piece, times in pieces:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            data += (packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)) * times
            for _ in range(times):
                checksum = zlib.crc32(piece, checksum)
            size += len(piece) * times
        data += zlib.compressobj(9, zlib.DEFLATED, -15).flush()
        common = struct.pack("<4H3L2H", 0, 8, 0, 33, checksum, len(data), size, len(name), 0)
        directory += b"PK\x01\x02" + struct.pack("<2H", 20, 20) + common + struct.pack("<3H2L", 0, 0, 0, 0, len(body))
        directory += name.encode()
        body += b"PK\x03\x04" + struct.pack("<H", 20) + common + name.encode() + data
    count = len(members)
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, len(directory), len(body), 0)
    path.write_bytes(body + directory + end)


def rows(count: int) -> tuple[bytes, int]:
    """So many sound perceptions, as a piece and how often it comes."""
    piece = np.zeros((250, 1441), dtype=np.float32)
    piece[:, -1] = 1
    return piece.tobytes(), count // 250


def test_files_that_would_fill_the_memory(tmp_path: Path) -> None:
    few = {PERCEPTIONS: [(header((250, 1441)), 1), rows(250)], TARGETS: [(header((250, 768)), 1), (bytes(768_000), 1)]}
    spaces = b"\x93NUMPY\x02\x00" + struct.pack("<L", 600_000_000), 1
    bombs: dict[str, tuple[dict[str, list[tuple[bytes, int]]], str]] = {
        "sound": (few, "250 rows"),
        "sound rows": ({**few, PERCEPTIONS: [(header((110_000, 1441)), 1), rows(110_000)]}, "to an implausible size"),
        "halves": (
            {**few, PERCEPTIONS: [(header((250_000, 1441), "<f2"), 1), (bytes(1 << 20), 688)]},
            "declares the shape|to an implausible size",
        ),
        "texts": ({**few, "prompts.npy": [(header((500, 1 << 20), "<U1"), 1), (bytes(1 << 20), 600)]}, "the shape"),
        "long texts": (
            {**few, "prompts.npy": [(header((150,), "<U1048576"), 1), (bytes(1 << 22), 150)]},
            "to an implausible size",
        ),
        "long bytes": (
            {**few, "prompts.npy": [(header((250,), "|S1048576"), 1), (bytes(1 << 20), 250)]},
            "to an implausible size",
        ),
        "meta": ({**few, "meta.npy": [(header((), "<U150000000"), 1), (bytes(1 << 20), 573)]}, "longest text"),
        "a long header": ({**few, "prompts.npy": [spaces, (b" " * (1 << 20), 573)]}, "expected 600000000 bytes"),
    }
    for name, (members, _) in bombs.items():
        deflated(tmp_path / f"{name}.npz", members)
    expected = {name: message for name, (_, message) in bombs.items()}

    with (tmp_path / "a large directory.npz").open("wb") as file:  # two gigabytes of it, though not on the disk
        file.seek(2_000_000_000)
        file.write(b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 2_000_000_000, 0, 0))
    expected["a large directory"] = "a piece of 2000000000 bytes"
    with zipfile.ZipFile(tmp_path / "many members.npz", "w") as archive:
        for number in range(20_000):
            archive.writestr(str(number), b"")
    expected["many members"] = "perception_embeddings is missing"

    paths = [str(tmp_path / f"{name}.npz") for name in expected]
    done = subprocess.run([sys.executable, str(LOADER), *paths], capture_output=True, text=True, check=True)
    start, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    for path, message, line in zip(paths, expected.values(), lines, strict=True):
        assert any(part in line["outcome"] for part in message.split("|")), (path, line)
        assert message == "250 rows" or path in line["outcome"]
        assert line["peak"] - start["peak"] < 400e6, (path, line)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"PK\x01\x02", "Bad magic number"),
        (26, b"\x14\x00", "differ"),  # a shorter name
        (28, b"\xff\x00", "CRC|Overlapped"),  # a longer extra field: the data begin elsewhere
        (28, b"\x10\x00", "CRC"),  # a shorter one
        (30, b"P", "differ"),  # another name
    ],
)
def test_local_headers_that_lie(sound: Path, at: int, value: bytes, message: str) -> None:
    changed(sound, at, value)
    with pytest.raises(DatasetError, match=f"clip_embeddings cannot be read .*{message}"):
        load(sound)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (8, b"\x08\x00"),  # the method
        (6, b"\x01\x00"),  # encrypted
        (14, b"\1\2\3\4"),  # the checksum
        (18, b"\x10\x00\x00\x00"),  # the sizes
        (22, b"\x10\x00\x00\x00"),
    ],
)
def test_what_a_local_header_repeats_is_not_believed(sound: Path, at: int, value: bytes) -> None:
    """The directory says it too, and that is what holds, as in NumPy's own reader."""
    before = load(sound).clip_embeddings.copy()
    changed(sound, at, value)
    assert np.array_equal(load(sound).clip_embeddings, before)


def changed(path: Path, at: int, value: bytes) -> None:
    """Write `value` into the header before the targets."""
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(TARGETS).header_offset
    content = bytearray(path.read_bytes())
    content[start + at : start + at + len(value)] = value
    path.write_bytes(content)


def rewritten(path: Path, change: Callable[[zipfile.ZipFile], None]) -> None:
    """The directory written anew, after `change`."""
    with zipfile.ZipFile(path, "a") as archive:
        change(archive)
        archive._didModify = True


def alias(archive: zipfile.ZipFile) -> None:
    """One member's data under two names."""
    other = copy.copy(archive.getinfo(TARGETS))
    other.filename = other.orig_filename = "sdxl_pooled.npy"
    archive.filelist.append(other)


def longer(archive: zipfile.ZipFile) -> None:
    """A member that reaches into the next one."""
    info = archive.getinfo(PERCEPTIONS)
    info.file_size = info.compress_size = info.file_size + 1000


def elsewhere(archive: zipfile.ZipFile) -> None:
    archive.getinfo(TARGETS).header_offset += 10**9


def beyond_four_gigabytes(archive: zipfile.ZipFile) -> None:
    """Sizes that need 64 bits."""
    info = archive.getinfo(TARGETS)
    info.file_size = info.compress_size = 2**40


def two_sizes(archive: zipfile.ZipFile) -> None:
    archive.getinfo(TARGETS).file_size += 4


def encrypted(archive: zipfile.ZipFile) -> None:
    archive.getinfo(TARGETS).flag_bits |= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (alias, "lies outside the file or overlaps another member"),
        (longer, "lies outside the file or overlaps another member"),
        (elsewhere, "lies outside the file or overlaps another member"),
        (beyond_four_gigabytes, "lies outside the file or overlaps another member"),
        (two_sizes, "clip_embeddings declares the shape"),
        (encrypted, "is encrypted"),
    ],
)
def test_directories_that_lie(sound: Path, change: Callable[[zipfile.ZipFile], None], message: str) -> None:
    rewritten(sound, change)
    with pytest.raises(DatasetError, match=message):
        load(sound)


def test_members_in_one_another(sound: Path, tmp_path: Path) -> None:
    """A zip inside a member's data, whose members the directory names as well: both headers are sound."""
    with zipfile.ZipFile(tmp_path / "outer.npz", "w") as archive:
        with archive.open("outer", "w") as file:
            file.write(sound.read_bytes())
        start = archive.getinfo("outer").header_offset + LOCAL + len("outer")
        with zipfile.ZipFile(sound) as inner:
            for info in inner.infolist():
                info.header_offset += start
                archive.filelist.append(info)
        archive._didModify = True
    with pytest.raises(DatasetError, match="lies outside the file or overlaps another member"):
        load(tmp_path / "outer.npz")


def test_a_dataset_after_other_bytes_is_one(sound: Path) -> None:
    """As Python's zipfile has it: a program may stand in front of a zip. What is mapped is still in its place."""
    content = sound.read_bytes()
    before = load(sound).perceptions.copy()
    for shift in (1, 64):
        sound.write_bytes(bytes(shift) + content)
        assert np.array_equal(load(sound).perceptions, before)


def test_streamed_zips_load(tmp_path: Path, faces: Faces) -> None:
    """Whoever cannot go back in the file writes sizes and checksums behind the data."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.content += bytes(data)
            return len(data)

    stream = Stream()
    np.savez(stream, perception_embeddings=faces(3).numpy(), clip_embeddings=np.ones((3, 768), np.float32))
    (tmp_path / "a.npz").write_bytes(stream.content)
    assert np.array_equal(load(tmp_path / "a.npz").perceptions, faces(3).numpy())
