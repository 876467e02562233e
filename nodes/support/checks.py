"""Checks that ComfyUI leaves to the nodes: drop-downs (0.3.64 does not check those of V3 nodes) and input types."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ...common.errors import InputError
from ...perception.regions.crops import Crops
from ...perception.vector import Perceptions


def check_choice(widget: str, value: object, choices: Collection[str]) -> None:
    """Raise ValueError, naming the widget and its choices, unless `value` is one of them."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{widget} cannot be {value!r}; choose one of {', '.join(choices)}")


def check_perceptions(value: object, name: str = "perception") -> None:
    """Raise ValueError, naming the input, unless `value` is a perception, as Face Perception outputs it."""
    if not isinstance(value, Perceptions):
        raise InputError(
            f"{name} must be a PERCEPTION, got {_kind(value)}; connect the perception output of Face Perception"
        )


def check_crops(value: object) -> None:
    """Raise ValueError unless `value` is the crops of Crop Faces."""
    if not isinstance(value, Crops):
        raise InputError(f"crops must be FACE_CROPS, got {_kind(value)}; connect the crops output of Crop Faces")


def check_image(value: object, name: str = "image") -> None:
    """Raise ValueError, naming the input, unless `value` is a batch of pictures."""
    if not isinstance(value, Tensor):
        raise InputError(
            f"{name} must be an IMAGE, got {_kind(value)}; connect the IMAGE output of a node such as Load Image"
        )


def check_conditioning(value: object, name: str = "conditioning") -> None:
    """Raise ValueError, naming the input, unless `value` is a list of tokens with their options."""
    if not (isinstance(value, list) and all(map(_is_conditioned, value))):
        raise InputError(
            f"{name} must be a CONDITIONING, got {_kind(value)}; connect the CONDITIONING output of a node such "
            "as CLIP Text Encode"
        )


def check_latent(value: object) -> None:
    """Raise ValueError unless `value` is a LATENT with at least one picture."""
    if not (isinstance(value, dict) and isinstance(value.get("samples"), Tensor) and len(value["samples"])):
        raise InputError(
            f"latent must be a LATENT, got {_kind(value)}; connect the LATENT output of a node such as Empty Latent "
            "Image"
        )


def _is_conditioned(entry: object) -> bool:
    if not (isinstance(entry, list | tuple) and len(entry) == 2):
        return False
    tokens, options = entry
    return isinstance(tokens, Tensor) and isinstance(options, dict)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
