"""Save and load perceptions as safetensors with one JSON string of metadata. Nothing is ever unpickled.

The file contains the tensors of `Perceptions` under their own names and, as metadata, the number of frames and the
identities of the landmarker and the emotion model. Files are not trusted: every value must be one that can result from
a picture.
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
from .vector import PERCEPTION_DIM, Perceptions

FORMAT_VERSION = 1
METADATA_KEY = "perception_clip_perceptions"
SUFFIX = ".safetensors"
TENSORS: dict[str, tuple[torch.dtype, str, tuple[int, ...]]] = {  # type, the file's word for it, shape of a row
    "vectors": (torch.float32, "F32", (PERCEPTION_DIM,)),
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
    """A file of perceptions that cannot be read or written; the message names the file and the remedy."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def save(perceptions: Perceptions, path: Path) -> None:
    """Write `path` atomically, replacing an existing file; missing folders are created.

    Raises PerceptionFileError for perceptions that `load` would refuse, and if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    _check(path, perceptions)
    tensors = {
        name: getattr(perceptions, name).detach().to(dtype=dtype, device="cpu", copy=True).contiguous()
        for name, (dtype, _, _) in TENSORS.items()
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
            path, f"the file cannot be written ({error}); check that its folder is writable and has free space"
        ) from error


def load(path: Path) -> Perceptions:
    """Return the perceptions that `save` wrote, bit for bit.

    Raises PerceptionFileError if the file is missing, damaged, of another kind or of a newer version, or if it contains
    values that cannot result from a picture. Shapes and types are checked in the header before anything is read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise PerceptionFileError(path, "there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            description = _description(path, (file.metadata() or {}).get(METADATA_KEY))
            _check_header(path, {name: file.get_slice(name) for name in file.keys()})  # noqa: SIM118  # no mapping
            # Copied, since tensors from safetensors read from the file, which may be replaced while in use.
            tensors = {name: file.get_tensor(name).clone() for name in TENSORS}
    except (OSError, SafetensorError) as error:
        raise PerceptionFileError(
            path, f"this is not a readable safetensors file ({error}); save the faces again"
        ) from error
    try:
        perceptions = Perceptions(**tensors, **description)
    except ValueError as error:
        raise PerceptionFileError(path, f"the file is damaged: {error}; save the faces again") from error
    _check(path, perceptions)
    return perceptions


def find(folder: Path) -> dict[str, Path]:
    """Return the files of perceptions in `folder` by name, sorted by name; empty if the folder does not exist."""
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stem.casefold())
    return {
        path.stem: path for path in paths if is_name(path.stem, MAX_NAME + len(NUMBER.format(1))) and path.is_file()
    }


def path_of(folder: Path, name: str) -> Path:
    """Return the file for `name` in `folder`. Raises PerceptionFileError if the name could lead to another folder."""
    if not is_name(name, MAX_NAME):
        raise PerceptionFileError(
            folder,
            f"{name!r} cannot be the name of saved faces. Use up to {MAX_NAME} letters, digits, spaces, dots, dashes "
            "and underscores, starting with a letter, digit or underscore and not ending with a dot or a space, such "
            "as 'my smile'",
        )
    return folder / f"{name}{SUFFIX}"


def unused(path: Path) -> Path:
    """Return `path` or, if it exists, the first of name_00001, name_00002 … that does not."""
    if not path.exists():
        return path
    numbered = (path.with_name(path.stem + NUMBER.format(number) + path.suffix) for number in count(1))
    return next(other for other in numbered if not other.exists())


def _description(path: Path, text: str | None) -> dict[str, Any]:
    """Return the metadata: the arguments of `Perceptions` other than tensors, whose values `_check` checks."""
    if text is None:
        raise PerceptionFileError(path, "the file contains no perceptions; choose a file written by Save Perception")
    try:
        description: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PerceptionFileError(
            path, "the file is damaged: its metadata is not JSON; save the faces again"
        ) from error
    version = description.pop("format_version", None) if isinstance(description, dict) else None
    if type(version) is not int or version < 1:
        raise PerceptionFileError(path, "the file is damaged: its metadata has no version; save the faces again")
    if version > FORMAT_VERSION:
        raise PerceptionFileError(
            path, f"format version {version} is newer than this pack supports ({FORMAT_VERSION}); update the pack"
        )
    if description.keys() != {"frame_count", "landmarker", "emotion_model"}:
        raise PerceptionFileError(path, "the file is damaged: its metadata is incomplete; save the faces again")
    return dict(description)


def _check_header(path: Path, slices: dict[str, Any]) -> None:
    """Refuse tensors with other names, types or shapes, and too many faces."""
    if slices.keys() != TENSORS.keys():
        raise PerceptionFileError(
            path, f"the file is damaged: its tensors are not {', '.join(TENSORS)}; save the faces again"
        )
    faces = (slices["vectors"].get_shape() or [0])[0]
    if faces > MAX_FACES:
        raise PerceptionFileError(
            path,
            f"the file contains {counted(faces, 'face')}, but at most {MAX_FACES} are allowed; save fewer per file",
        )
    for name, (_, word, row) in TENSORS.items():
        actual, wanted = (slices[name].get_dtype(), slices[name].get_shape()), (word, [faces, *row])
        if actual != wanted:
            raise PerceptionFileError(
                path, f"the file is damaged: {name} is {actual}, not {wanted}; save the faces again"
            )


def _check(path: Path, perceptions: Perceptions) -> None:
    """Refuse values that cannot result from a picture; `Perceptions` has already checked the shapes and the vectors."""
    sizes, frames, boxes = perceptions.image_sizes, perceptions.frames, perceptions.boxes
    frame_count, scores = perceptions.frame_count, perceptions.scores
    if type(frame_count) is not int or not 0 <= frame_count <= MAX_FRAMES:
        raise PerceptionFileError(path, f"the number of frames is {frame_count!r}, not 0 to {MAX_FRAMES}")
    if len(perceptions) > MAX_FACES:
        raise PerceptionFileError(
            path, f"{counted(len(perceptions), 'face')} are too many; at most {MAX_FACES} fit in a file"
        )
    for what in ("landmarker", "emotion_model"):
        identity = getattr(perceptions, what)
        if not isinstance(identity, str) or len(identity) > MAX_IDENTITY or not identity.isprintable():
            raise PerceptionFileError(
                path, f"the identity of the {what} is not one line of up to {MAX_IDENTITY} characters"
            )
    problems = (
        ((sizes < 1).any(), "a picture's height or width is below 1"),
        (((frames < 0) | (frames >= frame_count)).any(), f"the frame of a face is not one of the {frame_count}"),
        ((frames.diff() < 0).any(), "the faces are not ordered by frame"),
        ((~boxes.isfinite()).any(), "a box contains NaN or infinite values"),
        ((boxes[:, :2] > boxes[:, 2:]).any(), "a box has its right or bottom edge before its left or top edge"),
        ((~((scores >= 0) & (scores <= 1))).any(), "a score is not between 0 and 1"),
        ((perceptions.tracks < 0).any(), "a track is below 0"),
    )
    for bad, reason in problems:
        if bad:
            raise PerceptionFileError(path, f"{reason}; run Face Perception on the pictures again and save the faces")
