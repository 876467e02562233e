"""What a face is made from, as SHA-256: of the picture's bytes and the face's number, or of other faces' origins.

The same picture gives the same origin whatever it is perceived with, or together with. The numbers of a perception do
not do as a name: they are rounded differently from machine to machine and from batch to batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

DIGEST = 32  # bytes of an origin


def unknown(count: int) -> Tensor:
    """(count, 32) uint8 zeros: the origins of faces of which nothing is known."""
    return torch.zeros(count, DIGEST, dtype=torch.uint8)


def of_picture(picture: Tensor, faces: Sequence[int]) -> Tensor:
    """A picture (H, W, 3) uint8 and the numbers of K faces in it → their origins (K, 32) uint8."""
    if not len(faces):
        return unknown(0)
    whole = hashlib.sha256(str(tuple(picture.shape)).encode())
    whole.update(picture.contiguous().cpu().numpy().data)
    return _rows([hashlib.sha256(whole.digest() + f"face {face}".encode()) for face in faces])


def derived(operations: str | Sequence[str], *origins: Tensor) -> Tensor:
    """Origins (N or 1, 32) of what N faces are made from, and the operation → theirs (N, 32) uint8.

    `operations` has all that the result depends on besides the faces; a sequence has one text for each of the N. An
    origin is unknown if any that it is made from is.
    """
    count = max(map(len, origins))
    texts = [operations] * count if isinstance(operations, str) else operations
    sources = torch.stack([each.expand(count, DIGEST) for each in origins], dim=1)  # (N, sources, 32)
    made = _rows(
        [
            hashlib.sha256(text.encode() + b"\0" + source.numpy().tobytes())
            for text, source in zip(texts, sources, strict=True)
        ]
    )
    return torch.where((sources != 0).any(dim=2).all(dim=1, keepdim=True), made, torch.zeros_like(made))


def as_texts(origins: Tensor) -> list[str]:
    """Origins (N, 32) as N texts of hexadecimal digits; "" for those that are unknown."""
    return [bytes(origin).hex() if any(origin) else "" for origin in origins.tolist()]


def _rows(digests: Sequence[hashlib._Hash]) -> Tensor:
    """(N, 32) uint8."""
    joined = bytearray().join(digest.digest() for digest in digests)
    return torch.frombuffer(joined, dtype=torch.uint8).reshape(-1, DIGEST) if joined else unknown(0)
