"""A picture that stands in a text file as numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ...common.words import counted
from ...perception.pictures import PictureError
from ...perception.sequences.videos import Frame

SIDE = 48  # FER2013's pictures are 48 × 48, grey


@dataclass(frozen=True)
class PixelRow:
    """Numbers 0…255 with blanks between them, row by row, `length` bytes from byte `offset` of a file on."""

    path: Path
    offset: int
    length: int
    name: str  # what an error calls it
    is_sequence = False
    problem = ""
    unreadable = 0
    expected = 1

    def digest(self) -> bytes:
        return hashlib.sha256(self._text()).digest()

    def frames(self, every: int | None = None) -> Iterator[Frame]:
        try:
            pixels = bytearray(map(int, self._text().split()))
        except ValueError as error:
            raise PictureError(f"{self.name}: its pixels are not all numbers from 0 to 255") from error
        if len(pixels) != SIDE * SIDE:
            raise PictureError(
                f"{self.name}: it has {counted(len(pixels), 'pixel')}, not {SIDE} × {SIDE}; was the file changed?"
            )
        grey = torch.frombuffer(pixels, dtype=torch.uint8).reshape(SIDE, SIDE, 1)
        yield Frame(0, 0.0, grey.expand(-1, -1, 3).contiguous())  # (48, 48, 3)

    def _text(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)
