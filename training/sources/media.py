"""Media that contain pictures: a picture file, a video, a folder of frames, or numbers in a text file."""

from __future__ import annotations

import hashlib
import math
import mimetypes
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePath

import torch
from torch import Tensor

from ...common.words import counted
from ...perception.pictures import PictureError, read_picture
from ...perception.sequences.videos import SPARSE, Frame, Video

PLUGINS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}
PLAYLISTS = frozenset({"hls", "dash"})  # formats that name other files, also on the network

MARGIN = 0.3  # of a face's box: detectors need some surroundings
TIFF = (b"II*\0", b"MM\0*")  # the first bytes of a file
BLOCK = 1 << 20  # bytes read at a time
SIDE = 48  # pixels: FER2013's pictures are 48 × 48, gray


class Media(ABC):
    """A file or folder that contains one or more pictures; the attributes describe the last reading, if any."""

    __slots__ = ()
    is_sequence = False  # whether its pictures are consecutive in time, so that neighbors are nearly identical
    problem = ""  # what could not be read
    unreadable = 0  # the number of pictures that could not be read; 0 if they cannot be counted, as in a video
    expected = 1  # the approximate number of pictures; 0 if it is unknown

    @abstractmethod
    def digest(self) -> bytes:
        """Return the SHA-256 of its content, independent of its name and location. Raises OSError."""

    @abstractmethod
    def frames(self, every: int | None = None) -> Iterator[Frame]:
        """Yield its pictures in order; of a sequence every `every`-th, or the default selection if None.

        Raises PictureError, VideoError or OSError if they cannot be read.
        """


class Picture(Media):
    """A single picture."""

    __slots__ = ()

    @abstractmethod
    def read(self) -> Tensor:
        """Return the picture, (H, W, 3) uint8. Raises PictureError or OSError."""

    def frames(self, every: int | None = None) -> Iterator[Frame]:
        yield Frame(0, 0.0, self.read())


@dataclass(frozen=True)
class PictureFile(Picture):
    """One picture in a file of its own."""

    path: Path

    def digest(self) -> bytes:
        return _digest([self.path])

    def read(self) -> Tensor:
        return _read(self.path)


@dataclass(frozen=True)
class PicturePart(Picture):
    """One face's part of a picture with several faces."""

    path: Path
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels; enlarged by MARGIN on each side

    def digest(self) -> bytes:
        return hashlib.sha256(_digest([self.path]) + repr(self.box).encode()).digest()

    def read(self) -> Tensor:
        picture = _read(self.path)
        left, top, right, bottom = self.box
        wide, high = round(MARGIN * (right - left)), round(MARGIN * (bottom - top))
        part = picture[max(top - high, 0) : bottom + high, max(left - wide, 0) : right + wide]
        if 0 in part.shape:
            raise PictureError(f"{self.path}: the face's box {self.box} is outside the picture")
        return part.contiguous()


@dataclass
class VideoFile(Media):
    """A video; the default selection is two frames per second of its own time."""

    path: Path
    is_sequence = True
    expected = 0

    def digest(self) -> bytes:
        return _digest([self.path])

    def frames(self, every: int | None = None) -> Iterator[Frame]:
        video = Video(self.path)
        seconds = 0.0 if every else SPARSE
        self.problem = ""
        self.expected = math.ceil(video.frame_count / (every or video.rate * seconds))
        yield from video.frames(every or 1, seconds)
        self.problem = video.problem


@dataclass
class FrameFolder(Media):
    """The frames of one clip in order, each a picture file; the default selection is all of them."""

    paths: tuple[Path, ...]
    is_sequence = True
    expected = 0

    def digest(self) -> bytes:
        return _digest(self.paths)

    def frames(self, every: int | None = None) -> Iterator[Frame]:
        chosen = range(0, len(self.paths), every or 1)
        self.problem, self.unreadable, self.expected = "", 0, len(chosen)
        bad: list[PictureError] = []
        for number in chosen:
            try:
                yield Frame(number, float(number), _read(self.paths[number]))
            except PictureError as error:
                bad.append(error)
                self.unreadable += 1
        if len(bad) == len(chosen):
            raise bad[0] if bad else PictureError("the folder has no frames")
        if bad:
            self.problem = f"{len(bad)} of {counted(len(chosen), 'frame')} could not be read; the first: {bad[0]}"


@dataclass(frozen=True)
class PixelRow(Picture):
    """A picture as numbers 0…255 separated by spaces, row by row: `length` bytes from byte `offset` of a file."""

    path: Path
    offset: int
    length: int
    name: str  # its name in errors

    def digest(self) -> bytes:
        return hashlib.sha256(self._text()).digest()

    def read(self) -> Tensor:
        try:
            pixels = bytearray(map(int, self._text().split()))
        except ValueError as error:
            raise PictureError(f"{self.name}: the pixels are not all numbers from 0 to 255") from error
        if len(pixels) != SIDE * SIDE:
            raise PictureError(
                f"{self.name}: it has {counted(len(pixels), 'pixel')}, not {SIDE} × {SIDE}; was the file changed?"
            )
        gray = torch.frombuffer(pixels, dtype=torch.uint8).reshape(SIDE, SIDE, 1)
        return gray.expand(-1, -1, 3).contiguous()  # (48, 48, 3)

    def _text(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@lru_cache
def picture_types() -> frozenset[str]:
    """Return the suffixes of the pictures that Pillow can decode here, such as `.jpg`; plugins count if installed."""
    from PIL import Image, ImageFile

    with suppress(ImportError):
        import pillow_heif  # type: ignore[import-not-found]

        pillow_heif.register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # type: ignore[import-not-found]  # noqa: F401
    Image.init()
    # Of MPEG, Pillow reads only the size; EPS is a program, which Ghostscript would have to run.
    factories = {name: factory for name, (factory, _) in Image.OPEN.items() if name not in ("MPEG", "EPS")}
    decoded = {
        name
        for name, factory in factories.items()
        if not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    }
    return frozenset(suffix.lower() for suffix, name in Image.registered_extensions().items() if name in decoded)


@lru_cache
def video_types() -> frozenset[str]:
    """Return the suffixes of the containers that PyAV knows here and that contain video by default, such as `.mp4`."""
    import av
    from av.format import ContainerFormat

    suffixes: set[str] = set()
    for name in sorted(av.formats_available - PLAYLISTS - {"image2"}):  # image2: single pictures
        with suppress(ValueError, av.FFmpegError):
            form = ContainerFormat(name, "w")
            with av.open(BytesIO(), "w", format=name) as container:
                if container.default_video_codec not in ("none", "png"):  # png: the cover of a song
                    suffixes.update(f".{suffix.strip().lower()}" for suffix in form.extensions)
    sounds = set(filter(is_sound, suffixes)) - {".3gp", ".3g2"}  # 3GPP is registered as both
    return frozenset(suffixes) - picture_types() - sounds


def is_picture(path: PurePath | str) -> bool:
    """Return whether the name of a file is that of a picture."""
    return suffix_of(path) in picture_types()


def is_video(path: PurePath | str) -> bool:
    return suffix_of(path) in video_types()


def is_sound(suffix: str) -> bool:
    """Return whether files with a suffix, such as `.wav`, contain only sound."""
    return (mimetypes.guess_type(f"a{suffix}")[0] or "").startswith("audio/")


def suffix_of(path: PurePath | str) -> str:
    """Return the suffix in lower case; of a text, which is a file's name, in a tenth of the time of a path."""
    if isinstance(path, PurePath):
        return path.suffix.lower()
    stem, dot, suffix = path.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def media_of(path: Path) -> PictureFile | VideoFile:
    """Return the picture or video file at `path`, for which `is_picture` or `is_video` must be true."""
    return VideoFile(path) if is_video(path) else PictureFile(path)


def origin_of(content: bytes, frame: int, face: int = 0) -> str:
    """Return the origin of a face as text: of the content with this digest, the frame, and the face's number in it."""
    return hashlib.sha256(content + frame.to_bytes(8, "little") + face.to_bytes(8, "little")).hexdigest()


def _read(path: Path) -> Tensor:
    """Return a picture. Raises PictureError, also in our own words for what remains of interrupted downloads."""
    from PIL import UnidentifiedImageError

    try:
        return read_picture(path)
    except PictureError as error:
        start = _start(path)
        if start == b"":
            raise PictureError(f"{path}: the file is empty") from error
        if start in TIFF and isinstance(error.__cause__, UnidentifiedImageError):
            raise PictureError(
                f"{path}: this TIFF is damaged, or has pixels of a form that cannot be read, such as floats with LZW "
                "compression; save it with 8 bits per color, or uncompressed"
            ) from error
        if "truncated" in str(error.__cause__):
            raise PictureError(f"{path}: the end of the file is missing; copy or download it again") from error
        raise


def _start(path: Path) -> bytes | None:
    """Return the first four bytes of a file, fewer if it has no more; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return None


def _digest(paths: tuple[Path, ...] | list[Path]) -> bytes:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.digest()
