"""The Save Perception and Load Perception nodes: perceptions to and from files."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...common.words import counted
from ...perception import storage
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_perceptions
from ..support.schema import PERCEPTION, aliases, extent

NOTHING_SAVED = "nothing saved yet"


class SavePerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Writes perceptions to a file that Load Perception lists."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_SavePerception",
            display_name="Save Perception",
            category="Perception CLIP/perceive",
            description=(
                "Saves perceived faces, without the pictures, for Load Perception. Files are stored in ComfyUI's "
                "user/__perception_clip/perceptions/, which is not served over HTTP."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces to save (may be empty); all go into one file."),
                io.String.Input(
                    "name",
                    default="my_face",
                    tooltip="Name of the file, up to 50 letters, digits, spaces, dots, dashes and underscores.",
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="What to do when the name is taken. Off: add a number to it (my_face_00001), so that no "
                    "file is ever lost. On: replace the old file.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "saved_as", display_name="name", tooltip="The name under which Load Perception lists the file."
                ),
                io.String.Output("path", display_name="path", tooltip="Path of the file."),
            ],
            is_output_node=True,
            **aliases("save face", "store landmarks"),
        )

    @classmethod
    def execute(cls, perception: Perceptions, name: str, overwrite: bool) -> io.NodeOutput:
        check_perceptions(perception)
        path = storage.path_of(host.perceptions_folder(), name)
        replaced = overwrite and path.exists()
        if not overwrite:
            path = storage.unused(path)
        storage.save(perception, path)
        text = (
            f"{counted(len(perception), 'face')} saved as {path.stem}{', replacing the old file' if replaced else ''}"
        )
        return io.NodeOutput(path.stem, str(path), ui=host.note(f"{text}\n{path}"))


class LoadPerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Reads perceptions from a file that Save Perception wrote."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_LoadPerception",
            display_name="Load Perception",
            category="Perception CLIP/perceive",
            description="Loads faces saved by Save Perception, exactly as they were.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=list(storage.find(host.perceptions_folder())) or [NOTHING_SAVED],
                    tooltip="Saved faces in ComfyUI's user/__perception_clip/perceptions/. New and changed files are "
                    "used without a restart (press R to refresh the list).",
                )
            ],
            outputs=[
                PERCEPTION.Output("perception", display_name="perception", tooltip="The faces as they were saved."),
                io.Int.Output("face_count", display_name="face_count", tooltip="Total number of faces."),
            ],
            **aliases("load face", "open landmarks"),
        )

    @classmethod
    def validate_inputs(cls, name: str) -> bool:
        """Accept any name: `execute` checks it, and its error has a remedy, unlike ComfyUI's "not in list"."""
        return True

    @classmethod
    def fingerprint_inputs(cls, name: str | None, **_: Any) -> str:
        """Return a text that changes with the file, so that the node then runs again."""
        return host.file_state(storage.find(host.perceptions_folder()).get(name or ""))

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        folder = host.perceptions_folder()
        saved = storage.find(folder)  # only listed files are opened, so a name cannot lead to another folder
        if not isinstance(name, str) or name not in saved:
            raise storage.PerceptionFileError(
                folder,
                f"there are no saved faces named {name!r}. Save some with Save Perception, or copy a file from another "
                "machine into this folder; then press R in ComfyUI to refresh the list and choose it in this node",
            )
        perceptions = storage.load(saved[name])
        text = extent(perceptions)
        made_with = f"created with {perceptions.landmarker} and {perceptions.emotion_model}"
        return io.NodeOutput(perceptions, len(perceptions), ui=host.note(f"{text}\n{made_with}"))
