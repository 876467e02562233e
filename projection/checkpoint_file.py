"""What lies in a checkpoint file, of this pack or not: tensors, and perhaps a description. Nothing is unpickled."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

METADATA_KEY = "perception_clip"
SUFFIXES = (".safetensors", ".pth")  # the first is preferred where both lie side by side
WRAPPERS = ("model_state_dict", "state_dict", "model")  # keys under which training scripts keep the state_dict


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and says what to do."""


@dataclass(frozen=True)
class Content:
    """A file's tensors by name, in its order."""

    tensors: dict[str, Tensor]
    description: dict[str, Any] | None  # None: this pack did not write the file


def read(path: Path) -> Content:
    """Read a file of either format.

    Raises CheckpointError, naming the file, if it is missing, damaged, holds other things than tensors, or objects that
    could run code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint; train one, or choose another")
    tensors, text = _read_pth(path) if path.suffix == ".pth" else _read_safetensors(path)
    if text is None:
        return Content(tensors, None)
    try:
        description = json.loads(text)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged (its metadata is not JSON); train it anew") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: damaged (its metadata is not an object); train it anew")
    return Content(tensors, description)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
            return tensors, (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def _read_pth(path: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        # torch's own message advises to switch its safety off; it is kept as the cause, and not repeated here.
        raise CheckpointError(
            f"{path}: refused. It is damaged, or carries objects other than tensors, which could run code. "
            "Use a file that this pack's training wrote, or a bare state_dict"
        ) from error
    if not isinstance(content, Mapping):
        content = {}
    text = content.get(METADATA_KEY)
    candidates = [content.get("tensors")] if text is not None else [content, *map(content.get, WRAPPERS)]
    for tensors in candidates:
        if _is_state_dict(tensors):
            return dict(tensors), text
    raise CheckpointError(f"{path}: no weights in it; train one with `python -m training train`")


def _is_state_dict(value: Any) -> bool:
    """Whether it is tensors by name, and at least one."""
    if not (isinstance(value, Mapping) and value):
        return False
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
