"""Identify the origin of a face by SHA-256: of the picture bytes and the face number, or of other origins.

The same picture has the same origin with any models and in any batch. The numbers of a perception cannot identify it,
since they are rounded differently on different machines and in different batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

DIGEST = 32  # bytes of an origin


def unknown(count: int) -> Tensor:
    """Return zeros (count, 32) uint8: the origins of faces of unknown origin."""
    return torch.zeros(count, DIGEST, dtype=torch.uint8)


def of_picture(picture: Tensor, faces: Sequence[int]) -> Tensor:
    """Return the origins (K, 32) uint8 of K faces with these numbers in a picture (H, W, 3) uint8."""
    if not len(faces):
        return unknown(0)
    whole = hashlib.sha256(str(tuple(picture.shape)).encode())
    whole.update(picture.contiguous().cpu().numpy().data)
    return _rows([hashlib.sha256(whole.digest() + f"face {face}".encode()) for face in faces])


def face_number(picture: Tensor, origin: Tensor, most: int = 1000) -> int:
    """Return the number, below `most`, of the face in a picture (H, W, 3) uint8 that has this origin (32,)."""
    return int((of_picture(picture, range(most)) == origin).all(dim=1).nonzero()[0])


def derived(operations: str | Sequence[str], *origins: Tensor) -> Tensor:
    """Return the origins (N, 32) uint8 of N faces derived by an operation from faces with origins (N or 1, 32).

    `operations` contains everything else that the result depends on; a sequence has one text for each of the N faces.
    An origin is unknown if any of its sources is unknown.
    """
    count = max(map(len, origins))
    texts = [operations] * count if isinstance(operations, str) else operations
    sources = torch.stack([each.expand(count, DIGEST) for each in origins], dim=1)  # (N, sources, 32)
    result = _rows(
        [
            hashlib.sha256(text.encode() + b"\0" + source.numpy().tobytes())
            for text, source in zip(texts, sources, strict=True)
        ]
    )
    return torch.where((sources != 0).any(dim=2).all(dim=1, keepdim=True), result, torch.zeros_like(result))


def as_texts(origins: Tensor) -> list[str]:
    """Return origins (N, 32) as N texts of hexadecimal digits; "" if unknown."""
    return [bytes(origin).hex() if any(origin) else "" for origin in origins.tolist()]


def _rows(digests: Sequence[hashlib._Hash]) -> Tensor:
    """Return the digests as (N, 32) uint8."""
    joined = bytearray().join(digest.digest() for digest in digests)
    return torch.frombuffer(joined, dtype=torch.uint8).reshape(-1, DIGEST) if joined else unknown(0)
