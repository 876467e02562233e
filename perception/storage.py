"""Perceptions in a file: safetensors, with one JSON string of metadata. Nothing is ever unpickled.

The file holds the tensors of `Perceptions` under their own names and, as metadata, the number of frames and the
identities of the landmarker and the emotion model. A file is a stranger's until it is checked: every value must
be one that perceiving pictures could give.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import torch

from ..common.errors import PerceptionClipError
from ..common.files import atomic_path, is_name
from ..common.words import counted
from .origins import DIGEST
from .vector import DIM, Perceptions

FORMAT_VERSION = 1
METADATA_KEY = "perception_clip_perceptions"
SUFFIX = ".safetensors"
COLUMNS: dict[str, tuple[torch.dtype, str, tuple[int, ...]]] = {  # type, the file's word for it, shape of a row
    "vectors": (torch.float32, "F32", (DIM,)),
    "image_sizes": (torch.int32, "I32", (2,)),
    "frames": (torch.int64, "I64", ()),
    "boxes": (torch.float32, "F32", (4,)),
    "scores": (torch.float32, "F32", ()),
    "tracks": (torch.int64, "I64", ()),
    "origins": (torch.uint8, "U8", (DIGEST,)),
}
# Far more than anyone perceives in one run, and few enough for what walks over all frames.
MAX_FACES = 1_000_000
MAX_FRAMES = 1_000_000
MAX_IDENTITY = 500  # characters
MAX_NAME = 50  # characters, at most four bytes each: with a number behind, and while it is written, below 255 bytes
NUMBER = "_{:05}"  # behind a name that is taken


class PerceptionFileError(PerceptionClipError, ValueError):
    """A file of perceptions that cannot be read or written; the message names the file and says what to do."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def save(perceptions: Perceptions, path: Path) -> None:
    """Write `path` whole or not at all, over what was there; missing folders are made.

    Raises PerceptionFileError for what `load` would refuse, and if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    _check(path, perceptions)
    tensors = {
        name: getattr(perceptions, name).detach().to(dtype=dtype, device="cpu", copy=True).contiguous()
        for name, (dtype, _, _) in COLUMNS.items()
    }
    description = {
        "format_version": FORMAT_VERSION,
        "frame_count": perceptions.frame_count,
        "landmarker": perceptions.landmarker,
        "emotion_model": perceptions.emotion_model,
    }
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={METADATA_KEY: json.dumps(description)})
    except (OSError, SafetensorError) as error:
        raise PerceptionFileError(
            path, f"cannot be written ({error}); see that its folder can be written to and has room"
        ) from error


def load(path: Path) -> Perceptions:
    """Read what `save` wrote, bit for bit.

    Raises PerceptionFileError if there is no such file, if it is damaged, of another kind or of a newer version,
    or if it holds anything that perceiving pictures could not give. Shapes and types are judged by the file's
    header, before anything is read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise PerceptionFileError(path, "there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            description = _description(path, (file.metadata() or {}).get(METADATA_KEY))
            _check_header(path, {name: file.get_slice(name) for name in file.keys()})  # noqa: SIM118  # no mapping
            # Copies: what safetensors returns reads from the file, which may be replaced while it is in use.
            tensors = {name: file.get_tensor(name).clone() for name in COLUMNS}
    except (OSError, SafetensorError) as error:
        raise PerceptionFileError(path, f"not a readable safetensors file ({error}); save the faces anew") from error
    try:
        perceptions = Perceptions(**tensors, **description)
    except ValueError as error:
        raise PerceptionFileError(path, f"damaged: {error}; save the faces anew") from error
    _check(path, perceptions)
    return perceptions


def find(folder: Path) -> dict[str, Path]:
    """The files of perceptions in `folder`, by name and in the order of their names; none if there is no folder."""
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stem.casefold())
    return {
        path.stem: path for path in paths if is_name(path.stem, MAX_NAME + len(NUMBER.format(1))) and path.is_file()
    }


def path_of(folder: Path, name: str) -> Path:
    """The file to save under `name` in `folder`. Raises PerceptionFileError for a name that could lead elsewhere."""
    if not is_name(name, MAX_NAME):
        raise PerceptionFileError(
            folder,
            f"{name!r} cannot be the name of saved faces. Use up to {MAX_NAME} letters, digits, spaces, dots, dashes "
            "and underscores, beginning with a letter and not ending with a dot or a space: 'my smile'",
        )
    return folder / f"{name}{SUFFIX}"


def unused(path: Path) -> Path:
    """`path`, or if that is taken the first of name_00001, name_00002 … that is not."""
    if not path.exists():
        return path
    numbered = (path.with_name(path.stem + NUMBER.format(number) + path.suffix) for number in count(1))
    return next(other for other in numbered if not other.exists())


def _description(path: Path, text: str | None) -> dict[str, Any]:
    """The metadata, as the arguments of `Perceptions` that are no tensors; their values are judged by `_check`."""
    if text is None:
        raise PerceptionFileError(path, "holds no perceptions; choose a file that Save Perception wrote")
    try:
        description: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PerceptionFileError(path, "damaged: its metadata is no JSON; save the faces anew") from error
    version = description.pop("format_version", None) if isinstance(description, dict) else None
    if type(version) is not int or version < 1:
        raise PerceptionFileError(path, "damaged: its metadata gives no version; save the faces anew")
    if version > FORMAT_VERSION:
        raise PerceptionFileError(
            path, f"format version {version} is newer than this pack reads ({FORMAT_VERSION}); update the pack"
        )
    if description.keys() != {"frame_count", "landmarker", "emotion_model"}:
        raise PerceptionFileError(path, "damaged: its metadata is incomplete; save the faces anew")
    return dict(description)


def _check_header(path: Path, slices: dict[str, Any]) -> None:
    """Refuse tensors of other names, types or shapes, and more of them than anyone perceives."""
    if slices.keys() != COLUMNS.keys():
        raise PerceptionFileError(path, f"damaged: holds other tensors than {', '.join(COLUMNS)}; save the faces anew")
    faces = (slices["vectors"].get_shape() or [0])[0]
    if faces > MAX_FACES:
        raise PerceptionFileError(
            path, f"holds {counted(faces, 'face')}, and at most {MAX_FACES} are read; save fewer in a file"
        )
    for name, (_, word, row) in COLUMNS.items():
        actual, wanted = (slices[name].get_dtype(), slices[name].get_shape()), (word, [faces, *row])
        if actual != wanted:
            raise PerceptionFileError(path, f"damaged: {name} is {actual}, not {wanted}; save the faces anew")


def _check(path: Path, perceptions: Perceptions) -> None:
    """Refuse values that no picture gives: `Perceptions` itself has checked the shapes and the vectors."""
    sizes, frames, boxes = perceptions.image_sizes, perceptions.frames, perceptions.boxes
    frame_count, scores = perceptions.frame_count, perceptions.scores
    if type(frame_count) is not int or not 0 <= frame_count <= MAX_FRAMES:
        raise PerceptionFileError(path, f"the number of frames is {frame_count!r}, not 0 to {MAX_FRAMES}")
    if len(perceptions) > MAX_FACES:
        raise PerceptionFileError(path, f"{counted(len(perceptions), 'face')}, and at most {MAX_FACES} fit in a file")
    for what in ("landmarker", "emotion_model"):
        identity = getattr(perceptions, what)
        if not isinstance(identity, str) or len(identity) > MAX_IDENTITY or not identity.isprintable():
            raise PerceptionFileError(path, f"the {what}'s identity is no line of up to {MAX_IDENTITY} characters")
    problems = (
        ((sizes < 1).any(), "a picture's height or width is below 1"),
        (((frames < 0) | (frames >= frame_count)).any(), f"a face's frame is not one of the {frame_count}"),
        ((frames.diff() < 0).any(), "the faces are not ordered by frame"),
        ((~boxes.isfinite()).any(), "a box holds NaN or infinite values"),
        ((boxes[:, :2] > boxes[:, 2:]).any(), "a box's right or bottom edge lies before its left or top one"),
        ((~((scores >= 0) & (scores <= 1))).any(), "a score is not from 0 to 1"),
        ((perceptions.tracks < 0).any(), "a track is below 0"),
    )
    for bad, reason in problems:
        if bad:
            raise PerceptionFileError(path, f"{reason}; perceive the pictures again and save the faces anew")
