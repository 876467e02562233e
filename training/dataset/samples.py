"""What a dataset holds: its samples, what they were made with, and the checks that keep both sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ...projection.spaces import EMBEDDING, EXTRAS, SAME_VECTOR, SD15, SPACES

SPLITS = ("train", "validation", "test")
UNKNOWN = "unknown"  # identity of an encoder, landmarker or emotion model that the data does not state

Floats = NDArray[np.float32]


class StoreError(PerceptionClipError, ValueError):
    """A dataset that cannot be used as asked; the message names the file and says what to do."""


@dataclass(frozen=True)
class Binding:
    """What a dataset's samples were made with: all of one dataset are made alike."""

    encoder: str  # identity of the text encoder
    fingerprint: Floats | None  # (F,) what it makes of the probe sentence (encoders/base.py), where known
    landmarker: str
    emotion_model: str
    space: str = SD15.name  # which text space the prompts' vectors are in; sdxl adds its own to those of sd15

    def differences(self, other: Binding) -> list[str]:
        """In words, in what `other` is made with something else; empty if the two go together."""
        pairs = [
            ("landmarker", self.landmarker, other.landmarker),
            ("emotion model", self.emotion_model, other.emotion_model),
            ("text space", self.space, other.space),
        ]
        found = [f"{what} {mine!r}, not {theirs!r}" for what, mine, theirs in pairs if mine != theirs]
        if not self._same_encoder(other):
            found.insert(0, f"text encoder {self.encoder!r}, not {other.encoder!r}")
        return found

    def _same_encoder(self, other: Binding) -> bool:
        """Encoders are compared by what they do; those of unknown origin have nothing but their names."""
        if self.fingerprint is None or other.fingerprint is None:
            return self.fingerprint is other.fingerprint and self.encoder == other.encoder
        return same_encoder(self.fingerprint, other.fingerprint)


@dataclass(frozen=True)
class Samples:
    """N samples of a dataset."""

    perceptions: Floats  # (N, 1441)
    embeddings: Floats  # (N, 768)
    image_sizes: NDArray[np.int32]  # (N, 2): height, width in pixels; zeros where they are unknown
    prompts: list[str]
    groups: list[str]  # the person or clip a sample is from; "" where unknown
    sources: list[str]
    labels: list[str]  # what the source called it; "" where unknown
    splits: list[str]  # one of SPLITS where the source says so, else ""
    scores: Floats  # (N,) how sure the detector was, 0…1; NaN where unknown
    origins: list[str]  # names of what the faces are made from (see Store.append); "" where that is unknown
    extras: dict[str, Floats] = field(default_factory=dict)  # the space's further vectors: name → (N, width)

    def __len__(self) -> int:
        return len(self.perceptions)


def same_vector(one: Floats, other: Floats) -> bool:
    """Whether two vectors are one, up to the rounding of another device or precision."""
    if np.array_equal(one, other):
        return True
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))
    return scale > 0 and float(one @ other) >= SAME_VECTOR * scale


def same_encoder(one: Floats, other: Floats) -> bool:
    """Whether two fingerprints are one encoder's: of one space, and alike in each of their parts."""
    if one.shape != other.shape:
        return False
    parts = zip(np.split(one, [EMBEDDING]), np.split(other, [EMBEDDING]), strict=True)
    return all(same_vector(*pair) for pair in parts)


def check_fingerprint(values: Tensor, space: str) -> Floats:
    """An encoder's fingerprint in `space`, as little-endian float32."""
    width = sum(SPACES[space].fingerprint)
    vector: Floats = _check_vectors(values[None], 1, width, "an encoder's fingerprint")[0]
    return vector


def check_embeddings(values: Tensor, count: int) -> Floats:
    """(N, 768) finite numbers as little-endian float32."""
    return _check_vectors(values, count, EMBEDDING, "embeddings", ": one text vector of an SD1.5 CLIP per sample")


def check_extras(values: Mapping[str, Tensor] | None, count: int, space: str) -> dict[str, Floats]:
    """The vectors that prompts have in `space` beside their sd15 ones, name → (N, width)."""
    given, wanted = values or {}, EXTRAS[space]
    if set(given) != set(wanted):
        raise StoreError(
            f"the text space {space} needs {' and '.join(wanted) or 'no further vectors'}, not "
            f"{' and '.join(given) or 'nothing'}: encode the prompts for the space that was given to bind()"
        )
    return {name: _check_vectors(given[name], count, width, name) for name, width in wanted.items()}


def _check_vectors(values: Tensor, count: int, width: int, what: str, hint: str = "") -> Floats:
    vectors = torch.as_tensor(values).detach().to(device="cpu", dtype=torch.float32)
    if vectors.shape != (count, width):
        raise StoreError(f"{what} must have the shape ({count}, {width}), not {tuple(vectors.shape)}{hint}")
    bad = (~vectors.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        more = f" (and {counted(len(bad) - 1, 'more row')})" if len(bad) > 1 else ""
        raise StoreError(f"{what} row {bad[0]} holds NaN or infinite values{more}")
    array: Floats = vectors.numpy().astype("<f4")
    return array


def check_splits(values: Sequence[str] | None, count: int) -> list[str]:
    """N split hints; as many empty ones for None."""
    splits = check_texts(values, count, "splits")
    for split in splits:
        if split not in ("", *SPLITS):
            raise StoreError(
                f"a split cannot be {split!r}; give {', '.join(SPLITS)}, or nothing to let training choose"
            )
    return splits


def check_scores(values: Tensor | None, count: int) -> list[float | None]:
    """N detector scores, None where they are unknown."""
    if values is None:
        return [None] * count
    scores = torch.as_tensor(values, dtype=torch.float32).detach().cpu()
    if scores.shape != (count,):
        raise StoreError(f"scores must have the shape ({count},), not {tuple(scores.shape)}")
    known = [None if value != value else float(value) for value in scores.tolist()]
    bad = [value for value in known if value is not None and not 0 <= value <= 1]
    if bad:
        raise StoreError(f"a detector's score lies in 0…1, so it cannot be {bad[0]}")
    return known


def check_sizes(values: Tensor | None, count: int) -> NDArray[np.int32]:
    """(N, 2) picture sizes as little-endian int32; zeros where they are unknown."""
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
    """N texts; as many empty ones for None."""
    texts = [""] * count if values is None else [check_text(value) for value in values]
    if len(texts) != count:
        raise StoreError(f"{counted(count, 'perception')} came with {len(texts)} {what}; give one for each")
    return texts


def check_text(value: str) -> str:
    """The text, if it can be stored and exported as it is."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"the text {value!r} is not valid Unicode; give it without such characters") from error
    if "\0" in value:
        raise StoreError(f"the text {value!r} holds a NUL character; remove it")
    return str(value)
