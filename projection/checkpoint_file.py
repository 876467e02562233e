"""What lies in a checkpoint file, of this pack or not: tensors, and perhaps a description.

A file is a stranger's until it is checked: no code in it is ever run, and what it claims is judged before it takes
memory or time.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..common.errors import PerceptionClipError
from .pth_safety import LARGEST_TEXT, LONGEST_NAME, RefusedError, check_zip, require

METADATA_KEY = "perception_clip"
SUFFIXES = (".safetensors", ".pth")  # the first is preferred where both lie side by side
WRAPPERS = ("model_state_dict", "state_dict", "model")  # keys under which training scripts keep the state_dict

LARGEST = 1 << 30  # bytes of a file; a projection has some millions
MOST_TENSORS = 1000
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64)
REMEDY = "Use a file that this pack's training wrote, or a state_dict saved by torch 1.6 or newer"
# What libraries raise on bytes that no honest program wrote; ComfyUI's interrupt is none of these.
DAMAGED = (
    *(zipfile.BadZipFile, struct.error, ArithmeticError, AssertionError, AttributeError, EOFError),
    *(LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError),
)


class CheckpointError(PerceptionClipError, ValueError):
    """A checkpoint that cannot be used; the message names the file and says what to do."""


@dataclass(frozen=True)
class Content:
    """A file's tensors by name, in its order."""

    tensors: dict[str, Tensor]
    description: dict[str, Any] | None  # None: this pack did not write the file


def read(path: Path) -> Content:
    """Read a file of either format: float and int64 tensors on the CPU, together no larger than the file.

    Raises CheckpointError, naming the file, if it is missing, damaged, holds other things than tensors or objects that
    could run code, or claims more than it holds.
    """
    if not path.is_file():
        what = "this is no file" if path.exists() else "there is no such checkpoint"
        raise CheckpointError(f"{path}: {what}; train one, or choose another")
    try:
        size = path.stat().st_size
        require(size <= LARGEST, f"it has {size} bytes, and a projection has at most {LARGEST}")
        tensors, text = _read_pth(path) if path.suffix == ".pth" else _read_safetensors(path)
        _check_tensors(tensors, size)
        tensors = {name: tensor.detach().clone() for name, tensor in tensors.items()}  # the file may be replaced
    except RefusedError as error:
        raise CheckpointError(f"{path}: refused, as {error}. {REMEDY}") from error
    except DAMAGED as error:
        if path.suffix != ".pth":
            raise CheckpointError(f"{path}: not a readable safetensors file ({error}). {REMEDY}") from error
        # torch's own message advises to switch its safety off; it is kept as the cause, and not repeated here.
        raise CheckpointError(
            f"{path}: refused. It is damaged, or carries objects other than tensors, which could run code. {REMEDY}"
        ) from error
    if text is None:
        return Content(tensors, None)
    try:
        description = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged (its metadata is not JSON); train it anew") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: damaged (its metadata is not an object); train it anew")
    return Content(tensors, description)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as start:
        header = int.from_bytes(start.read(8), "little")
    require(header <= LARGEST_TEXT, f"its header has {header} bytes, of at most {LARGEST_TEXT}, or it is damaged")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            _check_names(names)
            return {name: file.get_tensor(name) for name in names}, (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_pth(path: Path) -> tuple[dict[str, Tensor], Any]:
    check_zip(path)
    try:
        # Mapped, so that nothing is read but what is used, and no number is read from beyond the file.
        content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever torch raises at a file, the file is to blame
        raise ValueError(str(error)) from error
    if not isinstance(content, Mapping):
        content = {}
    text = content.get(METADATA_KEY)
    candidates = [content.get("tensors")] if text is not None else [content, *map(content.get, WRAPPERS)]
    for tensors in candidates:
        if _is_state_dict(tensors):
            return dict(tensors), text
    raise RefusedError("there are no weights in it")


def _check_names(names: Collection[str]) -> None:
    require(0 < len(names) <= MOST_TENSORS, f"it holds {len(names)} tensors, not 1 to {MOST_TENSORS}")
    require(all(len(name) <= LONGEST_NAME and name.isprintable() for name in names), "a tensor's name is no name")


def _check_tensors(tensors: Mapping[str, Tensor], size: int) -> None:
    """Refuse names and kinds of tensors that no projection has, and more numbers than lie in a file of that size."""
    _check_names(tensors.keys())
    for name, tensor in tensors.items():
        dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.dtype in DTYPES
        require(dense, f"{name} is a tensor of {tensor.dtype}, {tensor.layout}, on {tensor.device}")
    claimed = sum(math.prod(tensor.shape) * tensor.element_size() for tensor in tensors.values())
    require(claimed <= size, f"its tensors claim {claimed} bytes, and it has {size}")


def _is_state_dict(value: Any) -> bool:
    """Whether it is tensors by name, and at least one."""
    if not (isinstance(value, Mapping) and value):
        return False
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
