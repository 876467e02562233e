"""The nodes' schemas without a host: `define_schema` runs against stand-ins for ComfyUI's modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

HOST_MODULES = (
    "comfy",
    "comfy.model_management",
    "comfy.model_patcher",
    "comfy.utils",
    "comfy_api",
    "comfy_api.latest",
    "comfy_execution",
    "comfy_execution.graph_utils",
    "comfy_execution.utils",
    "folder_paths",
    "server",
)
PACKAGE = "perception_clip.nodes"


@dataclass
class Slot:
    """An input or an output, as the schema says it."""

    kind: str  # COMBO, INT, PERCEPTION …
    name: str
    options: dict[str, Any]
    optional: bool = False
    extra_dict: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The name on the node."""
        return self.options.get("display_name") or self.name


@dataclass(frozen=True)
class Schema:
    node_id: str
    display_name: str
    description: str
    inputs: list[Slot]
    outputs: list[Slot]


class Kind:
    """A type of ComfyUI's node API, such as io.Int."""

    def __init__(self, name: str) -> None:
        self.name = name

    def Input(self, name: str, optional: bool = False, **options: Any) -> Slot:  # noqa: N802
        return Slot(self.name, name, options, optional)

    def Output(self, name: str, **options: Any) -> Slot:  # noqa: N802
        return Slot(self.name, name, options)


class Io:
    """comfy_api.latest.io, as far as schemas need it."""

    ComfyNode = NodeOutput = object
    NumberDisplay = SimpleNamespace(slider="slider")
    Custom = Kind

    def __getattr__(self, name: str) -> Kind:
        return Kind(name.upper())

    @staticmethod
    def Schema(  # noqa: N802
        node_id: str, display_name: str, description: str, inputs: list[Slot], outputs: list[Slot], **_: Any
    ) -> Schema:
        return Schema(node_id, display_name, description, inputs, outputs)


@contextmanager
def stand_ins(video_from_file: type | None = None) -> Iterator[None]:
    """ComfyUI's modules while the pack's nodes are imported, and its class of videos from files."""
    modules = {name: ModuleType(name) for name in HOST_MODULES}
    videos = SimpleNamespace(VideoFromFile=video_from_file)
    vars(modules["comfy_api.latest"]).update(io=Io(), ComfyExtension=object, InputImpl=videos, ui=None)
    vars(modules["comfy.model_patcher"])["ModelPatcher"] = None
    vars(modules["comfy_execution.graph_utils"])["ExecutionBlocker"] = None
    vars(modules["comfy_execution.utils"])["get_executing_context"] = None
    vars(modules["server"])["PromptServer"] = None
    nowhere = Path(__file__).with_name("no such folder")
    vars(modules["folder_paths"]).update(
        models_dir=str(nowhere),
        get_folder_paths=lambda name: [str(nowhere / name)],
        get_user_directory=lambda: str(nowhere),
        add_model_folder_path=lambda *_: None,
    )
    before = {name: sys.modules.get(name) for name in HOST_MODULES}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
        for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
            del sys.modules[name]


@lru_cache(maxsize=1)
def schemas() -> dict[str, Schema]:
    """The schema of every node that the pack lists, by node id, in that order; folders of models are empty."""
    with stand_ins():
        from perception_clip.nodes import PerceptionClipExtension

        listing = PerceptionClipExtension().get_node_list()
        try:
            listing.send(None)  # a coroutine that waits for nothing
        except StopIteration as finished:
            found = [node.define_schema() for node in finished.value]
    return {schema.node_id: schema for schema in found}
