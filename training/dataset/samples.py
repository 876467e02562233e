"""The contents of a dataset: its samples, the models they were created with, and the checks of both."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ...perception.vector import validate
from ...projection.spaces import ADDED_TARGETS, EMBEDDING, SAME_VECTOR, SD15, SPACES, SUBJECT_TARGETS

SPLITS = ("train", "validation", "test")
TEXTS = ("prompts", "groups", "sources", "labels", "splits", "origins")
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
        different = [f"{what} {mine!r}, not {theirs!r}" for what, mine, theirs in pairs if mine != theirs]
        if not self._same_encoder(other):
            different.insert(0, f"text encoder {self.encoder!r}, not {other.encoder!r}")
        return different

    def check(self) -> None:
        """Raise StoreError if a dataset cannot store it."""
        if self.space not in ADDED_TARGETS:
            raise StoreError(f"the text space {self.space!r} does not exist; choose {' or '.join(ADDED_TARGETS)}")
        if self.fingerprint is not None:
            width = sum(SPACES[self.space].fingerprint)
            _check_vectors(self.fingerprint[None], 1, width, "an encoder's fingerprint")
        for text in (self.encoder, self.landmarker, self.emotion_model):
            check_text(text)

    def _same_encoder(self, other: Provenance) -> bool:
        """Return whether the encoders match, by their fingerprints; encoders without one are compared by name."""
        if self.fingerprint is None or other.fingerprint is None:
            return self.fingerprint is other.fingerprint and self.encoder == other.encoder
        return same_encoder(self.fingerprint, other.fingerprint)


@dataclass
class Samples:
    """N samples of a dataset. Columns that are left out are unknown; numbers may be arrays or tensors on the CPU."""

    perceptions: Floats  # (N, 1441)
    image_sizes: NDArray[np.int32]  # (N, 2): height, width in pixels; zeros if unknown
    prompts: list[str]
    embeddings: Floats  # (N, 768) text vectors of the prompts
    groups: list[str] = field(default_factory=list)  # the person or clip of a sample; "" if unknown
    sources: list[str] = field(default_factory=list)  # readable names
    # Identifiers of the data that the faces were computed from: the bytes of a file and the number of a frame, or the
    # bytes of a picture and the number of a face in it. "" if unknown, as in files from elsewhere.
    origins: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)  # as the source names them; "" if unknown
    splits: list[str] = field(default_factory=list)  # one of SPLITS; "" lets training choose
    scores: Floats = field(default_factory=lambda: np.empty(0, np.float32))  # (N,) of the detector, 0…1; NaN if unknown
    # The further vectors of the prompts, name → (N, width): those of the space, and the subject's if known.
    added_targets: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.perceptions = np.asarray(self.perceptions, dtype=np.float32)
        self.image_sizes = np.asarray(self.image_sizes)
        self.embeddings = np.asarray(self.embeddings, dtype=np.float32)
        self.added_targets = {name: np.asarray(values, np.float32) for name, values in self.added_targets.items()}
        self.scores = np.asarray(self.scores, dtype=np.float32)
        if not len(self.scores):
            self.scores = np.full(len(self), np.nan, dtype=np.float32)
        for name in TEXTS[1:]:
            if not len(getattr(self, name)):
                setattr(self, name, [""] * len(self))

    def __len__(self) -> int:
        return len(self.perceptions)

    @property
    def has_image_sizes(self) -> bool:
        """Whether the sizes of the pictures are known."""
        return bool(self.image_sizes.any())

    def targets(self) -> dict[str, Floats]:
        """Return all vectors of the prompts by name."""
        return {"embeddings": self.embeddings, **self.added_targets}

    def check(self, space: str) -> None:
        """Raise ValueError, mostly StoreError, for samples that a dataset with targets in `space` cannot store."""
        validate(torch.from_numpy(self.perceptions))
        added, needed, optional = self.added_targets.keys(), ADDED_TARGETS[space], SUBJECT_TARGETS[space]
        if added not in (needed.keys(), needed.keys() | optional.keys()):
            raise StoreError(
                f"the text space {space} needs {' and '.join(needed) or 'no further vectors'}, not "
                f"{' and '.join(added) or 'nothing'}: encode the prompts for the dataset's text space"
            )
        widths = {"embeddings": EMBEDDING, **needed, **optional}
        for name, vectors in self.targets().items():
            _check_vectors(vectors, len(self), widths[name], name)
        self._check_sizes()
        if self.scores.shape != (len(self),):
            raise StoreError(f"scores must have the shape ({len(self)},), not {self.scores.shape}")
        if (bad := self.scores[(self.scores < 0) | (self.scores > 1)]).size:
            raise StoreError(f"a detection score must be between 0 and 1, not {bad[0]}")
        for name in TEXTS:
            texts = getattr(self, name)
            if len(texts) != len(self):
                raise StoreError(f"{counted(len(self), 'perception')} came with {len(texts)} {name}; pass one for each")
            for text in texts:
                check_text(text)
        for split in set(self.splits) - {"", *SPLITS}:
            raise StoreError(
                f"the split {split!r} does not exist; use {', '.join(SPLITS)}, or an empty text to let training choose"
            )

    def _check_sizes(self) -> None:
        sizes = self.image_sizes
        if sizes.shape != (len(self), 2) or sizes.dtype.kind not in "iu":
            raise StoreError(
                f"image sizes must be whole numbers of the shape ({len(self)}, 2), not {sizes.dtype} of {sizes.shape}"
            )
        if self.has_image_sizes and not 1 <= sizes.min() <= sizes.max() < 2**31:
            raise StoreError(f"image sizes must be 1 pixel or more, not {sizes.min()}…{sizes.max()}")


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


def check_text(text: str) -> None:
    """Raise StoreError for a text that cannot be stored and exported unchanged."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"the text {text!r} is not valid Unicode; remove the invalid characters") from error
    if "\0" in text:
        raise StoreError(f"the text {text!r} contains a NUL character; remove it")


def _check_vectors(vectors: Floats, count: int, width: int, what: str) -> None:
    if vectors.shape != (count, width):
        raise StoreError(f"{what} must have the shape ({count}, {width}), not {vectors.shape}")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        more = f" (and {counted(len(bad) - 1, 'more row')})" if len(bad) > 1 else ""
        raise StoreError(f"{what} row {bad[0]} contains NaN or infinite values{more}")
