"""The contents of a dataset: its samples, the models they were created with, and the checks of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ...projection.spaces import ADDED_TARGETS, EMBEDDING, SAME_VECTOR, SD15, SPACES

SPLITS = ("train", "validation", "test")
UNKNOWN = "unknown"  # identity of an encoder, landmarker or emotion model that the data does not name

Floats = NDArray[np.float32]


class StoreError(PerceptionClipError, ValueError):
    """Raised for a dataset that cannot be used as requested; the message names the file and the remedy."""


@dataclass(frozen=True)
class Provenance:
    """The models that a dataset's samples were created with; they are the same for all of its samples."""

    encoder: str  # identity of the text encoder
    fingerprint: Floats | None  # (F,) its vector of the probe sentence (encoders/base.py); None if unknown
    landmarker: str
    emotion_model: str
    space: str = SD15.name  # the text space of the prompts' vectors; sdxl adds its own to those of sd15

    def differences(self, other: Provenance) -> list[str]:
        """Return a description of each difference from `other`; empty if the two match."""
        pairs = [
            ("landmarker", self.landmarker, other.landmarker),
            ("emotion model", self.emotion_model, other.emotion_model),
            ("text space", self.space, other.space),
        ]
        found = [f"{what} {mine!r}, not {theirs!r}" for what, mine, theirs in pairs if mine != theirs]
        if not self._same_encoder(other):
            found.insert(0, f"text encoder {self.encoder!r}, not {other.encoder!r}")
        return found

    def _same_encoder(self, other: Provenance) -> bool:
        """Return whether the encoders match, by their fingerprints; encoders without one are compared by name."""
        if self.fingerprint is None or other.fingerprint is None:
            return self.fingerprint is other.fingerprint and self.encoder == other.encoder
        return same_encoder(self.fingerprint, other.fingerprint)


@dataclass(frozen=True)
class Samples:
    """N samples of a dataset."""

    perceptions: Floats  # (N, 1441)
    embeddings: Floats  # (N, 768)
    image_sizes: NDArray[np.int32]  # (N, 2): height, width in pixels; zeros if unknown
    prompts: list[str]
    groups: list[str]  # the person or clip of a sample; "" if unknown
    sources: list[str]
    labels: list[str]  # the source's label; "" if unknown
    splits: list[str]  # one of SPLITS if the source states it, else ""
    scores: Floats  # (N,) detection scores, 0…1; NaN if unknown
    origins: list[str]  # identifiers of the data the faces were computed from (see Store.append); "" if unknown
    sdxl_targets: dict[str, Floats] = field(default_factory=dict)  # the space's further vectors: name → (N, width)

    def __len__(self) -> int:
        return len(self.perceptions)


def same_vector(one: Floats, other: Floats) -> bool:
    """Return whether two vectors are the same, up to the rounding of another device or precision."""
    if np.array_equal(one, other):
        return True
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))
    return scale > 0 and float(one @ other) >= SAME_VECTOR * scale


def same_encoder(one: Floats, other: Floats) -> bool:
    """Return whether two fingerprints are the same encoder's: of the same space, and equal in each part."""
    if one.shape != other.shape:
        return False
    parts = zip(np.split(one, [EMBEDDING]), np.split(other, [EMBEDDING]), strict=True)
    return all(same_vector(*pair) for pair in parts)


def check_fingerprint(values: Tensor, space: str) -> Floats:
    """Return an encoder's fingerprint (F,) in `space` as little-endian float32. Raises StoreError if it is invalid."""
    width = sum(SPACES[space].fingerprint)
    vector: Floats = _check_vectors(values[None], 1, width, "an encoder's fingerprint")[0]
    return vector


def check_embeddings(values: Tensor, count: int) -> Floats:
    """Return embeddings (N, 768) as little-endian float32. Raises StoreError unless all numbers are finite."""
    return _check_vectors(values, count, EMBEDDING, "embeddings", ": one text vector of an SD1.5 CLIP per sample")


def check_sdxl_targets(values: Mapping[str, Tensor] | None, count: int, space: str) -> dict[str, Floats]:
    """Return the vectors that prompts have in `space` in addition to their sd15 ones, name → (N, width).

    Raises StoreError if a vector is missing, unexpected or invalid.
    """
    given, wanted = values or {}, ADDED_TARGETS[space]
    if set(given) != set(wanted):
        raise StoreError(
            f"the text space {space} needs {' and '.join(wanted) or 'no further vectors'}, not "
            f"{' and '.join(given) or 'nothing'}: encode the prompts for the space that was passed to set_provenance()"
        )
    return {name: _check_vectors(given[name], count, width, name) for name, width in wanted.items()}


def _check_vectors(values: Tensor, count: int, width: int, what: str, hint: str = "") -> Floats:
    vectors = torch.as_tensor(values).detach().to(device="cpu", dtype=torch.float32)
    if vectors.shape != (count, width):
        raise StoreError(f"{what} must have the shape ({count}, {width}), not {tuple(vectors.shape)}{hint}")
    bad = (~vectors.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        more = f" (and {counted(len(bad) - 1, 'more row')})" if len(bad) > 1 else ""
        raise StoreError(f"{what} row {bad[0]} contains NaN or infinite values{more}")
    array: Floats = vectors.numpy().astype("<f4")
    return array


def check_splits(values: Sequence[str] | None, count: int) -> list[str]:
    """Return N splits; N empty ones for None. Raises StoreError for an unknown split."""
    splits = check_texts(values, count, "splits")
    for split in splits:
        if split not in ("", *SPLITS):
            raise StoreError(
                f"the split {split!r} does not exist; use {', '.join(SPLITS)}, or an empty text to let training choose"
            )
    return splits


def check_scores(values: Tensor | None, count: int) -> list[float | None]:
    """Return N detection scores, None if unknown. Raises StoreError for scores outside of 0…1."""
    if values is None:
        return [None] * count
    scores = torch.as_tensor(values, dtype=torch.float32).detach().cpu()
    if scores.shape != (count,):
        raise StoreError(f"scores must have the shape ({count},), not {tuple(scores.shape)}")
    known = [None if value != value else float(value) for value in scores.tolist()]
    bad = [value for value in known if value is not None and not 0 <= value <= 1]
    if bad:
        raise StoreError(f"a detection score must be between 0 and 1, not {bad[0]}")
    return known


def check_sizes(values: Tensor | None, count: int) -> NDArray[np.int32]:
    """Return picture sizes (N, 2) as little-endian int32; zeros if unknown. Raises StoreError for invalid sizes."""
    if values is None:
        return np.zeros((count, 2), dtype="<i4")
    sizes = torch.as_tensor(values).detach().cpu()
    if sizes.shape != (count, 2) or sizes.is_floating_point():
        raise StoreError(
            f"image sizes must be whole numbers of the shape ({count}, 2), not {sizes.dtype} of {tuple(sizes.shape)}"
        )
    if count and not 1 <= int(sizes.min()) <= int(sizes.max()) < 2**31:
        raise StoreError(f"image sizes must be 1 pixel or more, not {int(sizes.min())}…{int(sizes.max())}")
    array: NDArray[np.int32] = sizes.numpy().astype("<i4")
    return array


def check_texts(values: Sequence[str] | None, count: int, what: str) -> list[str]:
    """Return N texts; N empty ones for None. Raises StoreError for another number of texts."""
    texts = [""] * count if values is None else [check_text(value) for value in values]
    if len(texts) != count:
        raise StoreError(f"{counted(count, 'perception')} came with {len(texts)} {what}; pass one for each")
    return texts


def check_text(value: str) -> str:
    """Return the text. Raises StoreError if it cannot be stored and exported unchanged."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"the text {value!r} is not valid Unicode; remove the invalid characters") from error
    if "\0" in value:
        raise StoreError(f"the text {value!r} contains a NUL character; remove it")
    return str(value)
