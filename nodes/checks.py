"""What ComfyUI leaves to the nodes: drop-downs (0.3.64 does not check those of V3 nodes), literals for links."""

from __future__ import annotations

from collections.abc import Collection

from ..perception.vector import Perceptions


def check_choice(widget: str, value: str, choices: Collection[str]) -> None:
    """Raise ValueError, naming the widget and its choices, unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{widget} cannot be {value!r}; choose one of {', '.join(choices)}")


def check_perceptions(value: object, name: str = "perception") -> None:
    """Raise TypeError, naming the input, unless `value` is what Face Perception puts out."""
    if not isinstance(value, Perceptions):
        raise TypeError(f"{name} is a {type(value).__name__}; link it to the perception output of Face Perception")
