"""Parts of schemas and notes that several nodes share."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...common.words import counted
from ...perception.vector import EMOTIONS, Perceptions

PERCEPTION = io.Custom("PERCEPTION")


def aliases(*words: str) -> dict[str, list[str]]:
    """Return search terms for a node, if ComfyUI supports them (0.11 and newer)."""
    return {"search_aliases": list(words)} if "search_aliases" in getattr(io.Schema, "__dataclass_fields__", {}) else {}


def advanced(widget: Any) -> Any:
    """Return a rarely used widget, marked as advanced, which newer versions of ComfyUI hide."""
    widget.extra_dict["advanced"] = True
    return widget


def strongest(perceptions: Perceptions) -> str:
    """Return the first face's strongest emotion and its probability, such as `happy (82%)`."""
    probability, index = perceptions.emotions[0].max(dim=0)
    return f"{EMOTIONS[index]} ({probability:.0%})"


def extent(perceptions: Perceptions) -> str:
    """Return the number of faces and pictures, such as `2 faces in 3 pictures`."""
    return f"{counted(len(perceptions), 'face')} in {counted(perceptions.frame_count, 'picture')}"
