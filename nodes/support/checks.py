"""What ComfyUI leaves to the nodes: drop-downs (0.3.64 does not check those of V3 nodes), literals for links."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from ...common.errors import InputError
from ...perception.vector import Perceptions


def check_choice(widget: str, value: object, choices: Collection[str]) -> None:
    """Raise ValueError, naming the widget and its choices, unless `value` is one of them."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{widget} cannot be {value!r}; choose one of {', '.join(choices)}")


def check_perceptions(value: object, name: str = "perception") -> None:
    """Raise TypeError, naming the input, unless `value` is what Face Perception puts out."""
    if not isinstance(value, Perceptions):
        raise InputError(f"{name} is a {_kind(value)}; link it to the perception output of Face Perception")


def check_image(value: object) -> None:
    """Raise TypeError unless `value` is a batch of pictures."""
    if not isinstance(value, Tensor):
        raise InputError(f"image is a {_kind(value)}; link it to the image output of another node, as Load Image")


def check_conditioning(value: object) -> None:
    """Raise TypeError unless `value` is a list of tokens with their options."""
    if not (isinstance(value, list) and all(map(_is_conditioned, value))):
        raise InputError(
            f"conditioning is a {_kind(value)}; link it to the output of CLIP Text Encode or another node that "
            "makes conditionings"
        )


def _is_conditioned(entry: object) -> bool:
    if not (isinstance(entry, list | tuple) and len(entry) == 2):
        return False
    tokens, options = entry
    return isinstance(tokens, Tensor) and isinstance(options, dict)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
