"""Pieces of the nodes' schemas and notes that several nodes have."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.vector import EMOTIONS, Perceptions

PERCEPTION = io.Custom("PERCEPTION")


def aliases(*words: str) -> dict[str, list[str]]:
    """Further words by which a node is found, in hosts that know of them (ComfyUI 0.11 and newer)."""
    return {"search_aliases": list(words)} if "search_aliases" in getattr(io.Schema, "__dataclass_fields__", {}) else {}


def advanced(widget: Any) -> Any:
    """Fold a rare widget away, in hosts that know how."""
    widget.extra_dict["advanced"] = True
    return widget


def strongest(perceptions: Perceptions) -> str:
    """The first face's strongest emotion and its probability."""
    probability, index = perceptions.emotions[0].max(dim=0)
    return f"{EMOTIONS[index]} ({probability:.0%})"


def count(number: int, what: str) -> str:
    """`1 face`, `no face`, `7 faces`."""
    return f"{number or 'no'} {what}" if number < 2 else f"{number} {what}s"
