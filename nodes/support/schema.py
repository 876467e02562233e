"""Parts of schemas and notes that several nodes share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfy_api.latest import io

from ...common.words import counted
from ...perception.vector import EMOTIONS, Perceptions

PERCEPTION = io.Custom("PERCEPTION")
FROM_LINK = "(from the link)"  # the choice of a file that another node names; it exists before there is any file


def aliases(*words: str) -> dict[str, Any]:
    """Return what newer versions of ComfyUI know of a node: search terms, and that its message is sent again if nothing
    has to run, so that it survives a reload of the page."""
    known = getattr(io.Schema, "__dataclass_fields__", {})
    options = {"search_aliases": list(words), "has_intermediate_output": True}
    return {name: value for name, value in options.items() if name in known}


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


def file_choice(names: Iterable[str]) -> dict[str, Any]:
    """Return the options of a drop-down of files: the first file is chosen unless there is none yet."""
    names = list(names)
    return {"options": [FROM_LINK, *names], "default": names[0] if names else FROM_LINK}
