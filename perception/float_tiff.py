"""TIFF pictures with colors in floating-point numbers, which Pillow does not read."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, CHANNELS, LENGTHS = 256, 257, 258, 259, 273, 277, 279  # of strips
PLANAR, PREDICTOR, TILES, FORMAT = 284, 317, 322, 339
FLOAT = 3  # the format
DEFLATE = (8, 32946)  # compressions; 1 is none


def read_float_tiff(source: Path | BytesIO) -> NDArray[Any] | None:
    """Return a TIFF of float colors as (H, W, 3 or 4) float32; None for any other file, and for forms not known here.

    16, 32 and 64 bits are read if the colors are uncompressed or deflated; PyAV knows further forms of 32 bits. Raises
    Pillow's DecompressionBombError for a picture beyond Pillow's limit.
    """
    if isinstance(source, BytesIO):
        return _strips(BytesIO(source.getvalue()))
    with source.open("rb") as file:
        pixels = _strips(file)
    return _by_av(source) if pixels is None and source.suffix.lower() in (".tif", ".tiff") else pixels


def _strips(file: BinaryIO) -> NDArray[Any] | None:
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    start = file.read(8)
    if start[:4] not in (b"II*\0", b"MM\0*"):
        return None
    try:
        tags = ImageFileDirectory_v2(start)
        file.seek(tags.next)
        tags.load(file)
        if not _is_float(tags):
            return None
        shape = int(tags[HEIGHT]), int(tags[WIDTH]), int(tags[CHANNELS])
        if Image.MAX_IMAGE_PIXELS and shape[0] * shape[1] > 2 * Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        kind = np.dtype(f"{'<' if start.startswith(b'II') else '>'}f{tags[BITS][0] // 8}")
        size = shape[0] * shape[1] * shape[2] * kind.itemsize
        content = bytearray()
        for offset, length in zip(tags[OFFSETS], tags[LENGTHS], strict=True):
            file.seek(offset)
            strip = file.read(min(length, size))
            if tags.get(COMPRESSION) in DEFLATE:
                strip = zlib.decompressobj().decompress(strip, size + 1)
            content.extend(strip)
            if len(content) > size:
                return None
        return np.frombuffer(content, kind).reshape(shape).astype(np.float32)
    except (KeyError, IndexError, TypeError, ValueError, SyntaxError, OSError, zlib.error):
        return None  # damaged


def _is_float(tags: ImageFileDirectory_v2) -> bool:
    """Return whether the colors are floats, in a form that is read here: pixel after pixel in strips."""
    return (
        set(tags[FORMAT]) == {FLOAT}
        and set(tags[BITS]) in ({16}, {32}, {64})
        and tags[CHANNELS] in (3, 4)
        and tags.get(COMPRESSION, 1) in (1, *DEFLATE)
        and tags.get(PLANAR, 1) == tags.get(PREDICTOR, 1) == 1
        and TILES not in tags
    )


def _by_av(path: Path) -> NDArray[Any] | None:
    import av

    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, OSError, StopIteration, IndexError):
        return None
    return frame.to_ndarray() if frame.format.name == "rgbf32le" else None
