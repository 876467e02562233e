"""Read the weight files bundled with the pack, in the folder `weights/` next to this file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..common.errors import PerceptionClipError

Network = TypeVar("Network", bound=nn.Module)

FOLDER = Path(__file__).parent / "weights"


class WeightFileError(PerceptionClipError, RuntimeError):
    """A bundled weight file is missing, unreadable or not the one that this version needs."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the bundled weight file {path} {reason}; reinstall the Perception CLIP pack to restore it")


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a safetensors file and the hexadecimal SHA-256 of its bytes. Raises WeightFileError."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        return load(content), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise WeightFileError(path, f"cannot be read ({error.strerror})") from error
    except SafetensorError as error:
        raise WeightFileError(path, f"is damaged ({error})") from error


def filled(make: Callable[[], Network], path: Path) -> tuple[Network, str]:
    """Return a new network with the weights in the file, ready for inference, and the file's SHA-256.

    Raises WeightFileError.
    """
    tensors, digest = read(path)
    with torch.random.fork_rng(devices=[]):  # its layers draw random weights, which are replaced
        network = make()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightFileError(path, f"does not fit {type(network).__name__}") from error
    network.train(False).requires_grad_(False)
    return network, digest
