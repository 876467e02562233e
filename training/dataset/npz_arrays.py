"""The arrays of a training_data.npz, one by one: read, and checked for what could not be trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.words import counted
from ...perception.vector import DIM, EMOTIONS, LANDMARK_VALUES, SUM_TOLERANCE
from ...projection.spaces import EXTRAS, SD15, SDXL, SPACES
from .gathered import Arrays
from .npz_file import DatasetError
from .samples import SPLITS, Floats

NAMED_ROWS = 5  # so many bad rows are named in an error
LAST_CHARACTER, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)  # of Unicode; surrogates are no characters
LARGEST = float(np.finfo(np.float32).max)

Texts = NDArray[np.str_]


def read_perceptions(file: Arrays, bad: set[int] | None = None) -> Floats:
    """(N, 1441); NaN, infinities and emotions that are no probabilities are refused, or their rows added to `bad`."""
    emotions = _Check(
        f"have emotion probabilities (the last {len(EMOTIONS)} numbers) that are negative or do not sum to 1",
        _bad_emotions,
    )
    return read_vectors(file, None, "perception_embeddings", DIM, emotions, bad=bad)


def read_vectors(
    file: Arrays, count: int | None, name: str, width: int, *checks: _Check, bad: set[int] | None = None
) -> Floats:
    """(N, width) float32; `count` is N where it is known. NaN and infinities are refused, or added to `bad`."""
    everything = (_Check("hold NaN or infinite values", _not_finite), *checks)

    def look(rows: Floats) -> None:
        for check in everything:
            check(rows)

    array = _rows(file, count, name, "f", 2, width, dtype=np.float32, look=look)
    for check in everything:
        check.verdict(file, name, bad)
    return array


def read_extras(file: Arrays, count: int, meta: dict[str, Any]) -> dict[str, Floats]:
    """What the sdxl space adds, name → (N, width); empty for a file of sd15 alone."""
    wanted = EXTRAS[SDXL.name]
    missing = [name for name in wanted if name not in file.names]
    if len(missing) == len(wanted) and SDXL.name not in meta.get("spaces", ()):
        return {}
    if missing:
        raise file.error(missing[0], "is missing, though the file is of the space sdxl", "export the file again")
    return {name: read_vectors(file, count, name, width) for name, width in wanted.items()}


def read_image_sizes(file: Arrays, count: int, bad: set[int] | None = None) -> NDArray[np.int32] | None:
    """(N, 2) heights and widths, 1 or more."""
    if "image_sizes" not in file.names:
        return None
    check = _Check("hold sizes below 1 pixel", _no_sizes)
    sizes = _rows(file, count, "image_sizes", "iu", 2, 2, look=check)
    check.verdict(file, "image_sizes", bad)
    return sizes.astype(np.int32, copy=False)


def read_scores(file: Arrays, count: int) -> Floats | None:
    """(N,) in 0…1, NaN where unknown."""
    if "scores" not in file.names:
        return None
    check = _Check("are no scores of a detector, which lie in 0…1 or are NaN", lambda rows: (rows < 0) | (rows > 1))
    scores = _rows(file, count, "scores", "f", 1, dtype=np.float32, look=check)
    check.verdict(file, "scores")
    return scores


def read_texts(file: Arrays, count: int, name: str) -> Texts | None:
    """(N,) Unicode; splits are those of SPLITS or ""."""
    if name not in file.names:
        return None
    texts = _decoded(file, name, _rows(file, count, name, "US", 1, look=partial(_check_texts, file, name)))
    if name == "splits":
        strange = set(np.unique(texts).tolist()) - {"", *SPLITS}
        if strange:
            choices = ", ".join(SPLITS)
            raise file.error(name, f"holds {min(strange)!r}", f"use {choices}, or nothing to let training choose")
    return texts


def read_meta(file: Arrays) -> dict[str, Any]:
    """The meta string's content; empty if there is none. What other parts rely on is checked."""
    if "meta" not in file.names:
        return {}
    text = str(_decoded(file, "meta", file.read("meta", "US", 0, look=partial(_check_texts, file, "meta"))))
    remedy = "export the file again, or leave meta out"
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise file.error("meta", f"is not JSON ({error})", remedy) from error
    if not isinstance(meta, dict):
        raise file.error("meta", "is not a JSON object", remedy)
    for key in ("encoder", "landmarker", "emotion_model", "space"):
        if not isinstance(meta.get(key, ""), str):
            raise file.error("meta", f"names no {key} in words", remedy)
    if meta.get("space", SD15.name) != SD15.name:
        raise file.error(
            "meta", f"says that the targets are in the space {meta['space']!r}", f"this needs {SD15.name!r}"
        )
    spaces = meta.get("spaces", [SD15.name])
    if spaces not in ([SD15.name], [SD15.name, SDXL.name]):
        raise file.error(
            "meta", f"says that the file is of the spaces {spaces!r}", f"this knows {SD15.name} and {SDXL.name}"
        )
    space = SDXL.name if file.names >= EXTRAS[SDXL.name].keys() else SD15.name
    fingerprint, width = meta.get("fingerprint"), sum(SPACES[space].fingerprint)
    if fingerprint is not None and not _is_vector(fingerprint, width):
        raise file.error("meta", f"has a fingerprint that is not {width} finite numbers", remedy)
    return meta


@dataclass
class _Check:
    """Counts the rows that are wrong, while pieces of an array pass by."""

    wrong: str  # what is wrong with such rows, in words
    is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]]  # (n, …) → (n,)
    seen: int = 0
    found: list[int] = field(default_factory=list)  # row numbers

    def __call__(self, rows: NDArray[Any]) -> None:
        self.found += (self.seen + self.is_bad(rows).nonzero()[0]).tolist()
        self.seen += len(rows)

    def verdict(self, file: Arrays, name: str, bad: set[int] | None = None) -> None:
        """Add the rows that were bad to `bad`; if there is none, raise DatasetError, naming the first few."""
        if bad is not None:
            bad.update(self.found)
        elif self.found:
            rows, more = ", ".join(map(str, self.found[:NAMED_ROWS])), len(self.found) - NAMED_ROWS
            raise file.error(
                name,
                f"has {len(self.found)} of {counted(self.seen, 'row')} that {self.wrong}: {rows}"
                f"{f' and {more} more' if more > 0 else ''} (counted from 0)",
                "leave those rows out of every array, or make them again; `train --drop-bad-rows` goes on without them",
            )


def _rows(
    file: Arrays,
    count: int | None,
    name: str,
    kinds: str,
    dimensions: int,
    width: int | None = None,
    *,
    dtype: type[np.generic] | None = None,
    look: Callable[[NDArray[Any]], None],
) -> NDArray[Any]:
    """An array with one row per sample; `count` is None for the first."""
    array = file.read(name, kinds, dimensions, width, dtype=dtype, look=look)
    if count not in (None, len(array)):
        raise file.error(
            name,
            f"has {counted(len(array), 'row')}, but perception_embeddings has {count}",
            "row i of every array must belong to the same sample: make the file again",
        )
    return array


def _not_finite(rows: Floats) -> NDArray[np.bool_]:
    bad = np.zeros(len(rows), dtype=np.bool_)
    np.any(~np.isfinite(rows), axis=1, out=bad)
    return bad


def _no_sizes(rows: NDArray[Any]) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = (rows.min(axis=1) < 1) | (rows.max(axis=1) >= 2**31)
    return bad


def _bad_emotions(rows: Floats) -> NDArray[np.bool_]:
    emotions = rows[:, LANDMARK_VALUES:]
    bad = np.zeros(len(rows), dtype=np.bool_)
    np.less(emotions.min(axis=1), 0, out=bad)
    with np.errstate(invalid="ignore"):  # infinities are another check's matter
        bad |= np.abs(emotions.sum(axis=1) - 1) > SUM_TOLERANCE
    return bad


def _decoded(file: Arrays, name: str, array: NDArray[Any]) -> Texts:
    """Text as Unicode; bytes are taken as UTF-8. Raises DatasetError for bytes that are not."""
    try:
        decoded: Texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeError as error:
        raise _broken(file, name, error) from error
    return decoded


def _check_texts(file: Arrays, name: str, texts: NDArray[Any]) -> None:
    """Raise DatasetError for what NumPy would take for a character, or stumble over: any number of 32 bits."""
    if texts.dtype.kind == "U":
        codes = texts.view(np.dtype(np.uint32).newbyteorder(texts.dtype.byteorder))
        if ((codes > LAST_CHARACTER) | ((codes >= SURROGATES[0]) & (codes <= SURROGATES[1]))).any():
            raise _broken(file, name, "numbers that are no characters")


def _broken(file: Arrays, name: str, why: object) -> DatasetError:
    return file.error(name, f"holds broken text ({why})", "save it as Unicode text")


def _is_vector(value: object, width: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == width
        and all(type(number) in (int, float) and abs(number) < LARGEST for number in value)
    )
