"""Read the content of a checkpoint file from this pack or elsewhere: tensors and optional metadata.

Files are not trusted: no code in them is ever run, and their claimed sizes are checked before memory or time is spent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..common.errors import PerceptionClipError
from .pth_safety import DAMAGED, LARGEST_TEXT, LONGEST_NAME, RefusedError, check_zip, require

METADATA_KEY = "perception_clip"
SUFFIXES = (".safetensors", ".pth")  # of what this pack writes; the first is preferred where both exist
LISTED = frozenset({*SUFFIXES, ".pt", ".ckpt", ".bin"})  # which other programs use for files of torch.save
WRAPPERS = ("model_state_dict", "state_dict", "model")  # keys under which training scripts keep the state_dict

DATASETS, DATASET_ARRAY = (".npz", ".db"), "perception_embeddings"  # files and contents that are no checkpoint
ZIP, PICKLE = b"PK\x03\x04", b"\x80"  # of a zip, and of torch before 1.6
SHOWN, MOST_KEYS = 40, 10  # in messages: characters of a key, and number of keys
LARGEST = 1 << 30  # bytes of a file; a projection has a few million
MOST_TENSORS = 1000
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64)
REMEDY = "Use a checkpoint trained by this pack, or a state_dict saved by torch 1.6 or newer"


class CheckpointError(PerceptionClipError, ValueError):
    """A checkpoint that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Content:
    """The tensors of a file by name, in its order, and its metadata."""

    tensors: dict[str, Tensor]
    description: dict[str, Any] | None  # None: this pack did not write the file


def read(path: Path) -> Content:
    """Return the content of a file of either format: float and int64 tensors on the CPU, no larger than the file.

    Raises CheckpointError with the file name if the file is missing or damaged, contains anything but tensors, or
    declares more data than it contains.
    """
    if not path.is_file():
        if path.is_dir():
            raise CheckpointError(f"{path}: this is a folder; choose a checkpoint in it, such as best_model.pth")
        what = "this is not a file" if path.exists() else "there is no such checkpoint"
        raise CheckpointError(f"{path}: {what}; choose another checkpoint or train one")
    if path.suffix.lower() in DATASETS:
        raise CheckpointError(f"{path}: this is a dataset, not a checkpoint; train one on it")
    try:
        size = path.stat().st_size
        require(size <= LARGEST, f"it has {size} bytes, but at most {LARGEST} are allowed")
        tensors, text = _read_pth(path) if is_of_torch(path) else _read_safetensors(path)
        require(DATASET_ARRAY not in tensors, "it is a dataset, not a checkpoint")
        _check_tensors(tensors, size)
        tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}  # the file may be replaced
    except RefusedError as error:
        raise CheckpointError(f"{path}: refused because {error}. {REMEDY}") from error
    except DAMAGED as error:
        if not is_of_torch(path):
            raise CheckpointError(f"{path}: this is not a readable safetensors file ({error}). {REMEDY}") from error
        # torch's own message suggests disabling its safety check, so it is kept as the cause but not repeated here.
        raise CheckpointError(
            f"{path}: refused because it is damaged or contains objects other than tensors, which could run code. "
            f"{REMEDY}"
        ) from error
    if text is None:
        return Content(tensors, None)
    try:
        description = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the checkpoint is damaged (its metadata is not JSON); retrain it") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: the checkpoint is damaged (its metadata is not a JSON object); retrain it")
    return Content(tensors, description)


def is_of_torch(path: Path) -> bool:
    """Return whether a file is one of torch.save, by its beginning; only .pth and .safetensors decide by themselves."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return suffix == ".pth"
    with path.open("rb") as file:
        start = file.read(4)
    return start == ZIP or start[:1] == PICKLE


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as start:
        header = int.from_bytes(start.read(8), "little")
    require(
        header <= LARGEST_TEXT,
        f"its header has {header} bytes, but at most {LARGEST_TEXT} are allowed, or it is damaged",
    )
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            _check_names(names)
            return {name: file.get_tensor(name) for name in names}, (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_pth(path: Path) -> tuple[dict[str, Tensor], Any]:
    check_zip(path)
    # Mapped, so that only what is used is read, and nothing is read from beyond the end of the file.
    content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(content, Mapping):
        content = {}
    text = content.get(METADATA_KEY)
    candidates = [content.get("tensors")] if text is not None else [content, *map(content.get, WRAPPERS)]
    for tensors in candidates:
        if _is_state_dict(tensors):
            return dict(tensors), text
    nested = dict(_nested(content)) if text is None else {}
    if len(nested) == 1:
        return dict(*nested.values()), text
    keys = ", ".join(str(key)[:SHOWN] for key in [*(nested or content)][:MOST_KEYS]) or "none"
    what = "it contains weights under several keys" if nested else "it contains no weights; its keys are"
    raise RefusedError(f"{what}: {keys}")


def _nested(content: Mapping[Any, Any], place: str = "", depth: int = 3) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield the state_dicts with weights inside a mapping, by the keys that lead to them."""
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            if _is_state_dict(value) and any(name.endswith("weight") for name in value):
                yield f"{place}{key}", value
            elif depth > 1:
                yield from _nested(value, f"{place}{key}.", depth - 1)


def _check_names(names: Collection[str]) -> None:
    require(0 < len(names) <= MOST_TENSORS, f"it contains {len(names)} tensors, not 1 to {MOST_TENSORS}")
    require(all(len(name) <= LONGEST_NAME and name.isprintable() for name in names), "a tensor has an invalid name")


def _check_tensors(tensors: Mapping[str, Tensor], size: int) -> None:
    """Refuse tensors with invalid names or types, and more data than a file of `size` bytes can contain."""
    _check_names(tensors.keys())
    for name, tensor in tensors.items():
        dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.dtype in DTYPES
        require(dense, f"{name} has the unsupported type {tensor.dtype}, {tensor.layout}, on {tensor.device}")
    claimed = sum(math.prod(tensor.shape) * tensor.element_size() for tensor in tensors.values())
    require(claimed <= size, f"its tensors claim {claimed} bytes, but it has only {size}")


def _is_state_dict(value: Any) -> bool:
    """Return whether `value` maps names to tensors and has at least one."""
    if not (isinstance(value, Mapping) and value):
        return False
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
