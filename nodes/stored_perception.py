"""Perceptions to and from files."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..perception import storage
from ..perception.vector import Perceptions
from .support import host
from .support.checks import check_perceptions
from .support.schema import PERCEPTION, aliases, count

NOTHING_SAVED = "nothing saved yet"


class SavePerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Writes perceptions to a file that Load Perception lists."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_SavePerception",
            display_name="Save Perception",
            category="Perception CLIP",
            description=(
                "Saves perceived faces, without the pictures, for Load Perception. Files lie in ComfyUI's "
                "user/__perception_clip/perceptions/, which is not served over HTTP."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces to save, also none; all go into one file."),
                io.String.Input(
                    "name",
                    default="my_face",
                    tooltip="What to call the file, up to 50 letters, digits, spaces, dots, dashes and underscores.",
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="When the name is taken. Off: a number is added to it (my_face_00001), and no file is ever "
                    "lost. On: the old file is replaced.",
                ),
            ],
            outputs=[
                io.String.Output("saved_as", display_name="name", tooltip="The name that Load Perception lists."),
                io.String.Output("path", display_name="path", tooltip="The file."),
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
        text = f"{count(len(perception), 'face')} saved as {path.stem}{', replacing the old file' if replaced else ''}"
        return io.NodeOutput(path.stem, str(path), ui=host.note(f"{text}\n{path}"))


class LoadPerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Reads perceptions from a file of Save Perception."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_LoadPerception",
            display_name="Load Perception",
            category="Perception CLIP",
            description="Reads faces that Save Perception wrote, exactly as they were.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=list(storage.find(host.perceptions_folder())) or [NOTHING_SAVED],
                    tooltip="The saved faces in ComfyUI's user/__perception_clip/perceptions/. A new or changed file "
                    "is used without a restart (press R to refresh the list).",
                )
            ],
            outputs=[
                PERCEPTION.Output("perception", display_name="perception", tooltip="The faces, as they were saved."),
                io.Int.Output("face_count", display_name="face_count", tooltip="How many faces there are."),
            ],
            **aliases("load face", "open landmarks"),
        )

    @classmethod
    def validate_inputs(cls, name: str) -> bool:
        """Let `execute` judge the name: its message has the remedy, ComfyUI's "not in list" has not."""
        return True

    @classmethod
    def fingerprint_inputs(cls, name: str | None, **_: Any) -> str:
        """Run again when the file has changed."""
        return host.file_state(storage.find(host.perceptions_folder()).get(name or ""))

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        folder = host.perceptions_folder()
        saved = storage.find(folder)  # only what is listed is opened: a name can lead nowhere else
        if not isinstance(name, str) or name not in saved:
            raise storage.PerceptionFileError(
                folder,
                f"there are no saved faces named {name!r}. Make some with Save Perception, or put a file of another "
                "machine's into this folder; then press R in ComfyUI to refresh the list and choose it in this node",
            )
        perceptions = storage.load(saved[name])
        text = f"{count(len(perceptions), 'face')} in {count(perceptions.frame_count, 'picture')}"
        made_with = f"made with {perceptions.landmarker} and {perceptions.emotion_model}"
        return io.NodeOutput(perceptions, len(perceptions), ui=host.note(f"{text}\n{made_with}"))
