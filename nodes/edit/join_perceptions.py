"""The Join Perceptions node: puts one perception after another."""

from __future__ import annotations

from comfy_api.latest import io

from ...perception.editing.join import join
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_perceptions
from ..support.schema import PERCEPTION, aliases, extent


class JoinPerceptions(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Appends the pictures of one perception to those of another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_JoinPerceptions",
            display_name="Join Perceptions",
            category="Perception CLIP/edit",
            description=(
                "Joins two perceptions one after the other, as if their pictures had been one batch. Use it for the "
                "key faces of Perception Schedule, or to apply two faces to one conditioning."
            ),
            inputs=[
                PERCEPTION.Input("first", tooltip="Faces that come first, from any number of pictures."),
                PERCEPTION.Input("second", tooltip="Faces that come second, from any number of pictures."),
            ],
            outputs=[
                PERCEPTION.Output(
                    "joined",
                    display_name="perception",
                    tooltip="All faces; second's frame and track numbers continue after first's.",
                )
            ],
            **aliases("batch perceptions", "concatenate faces"),
        )

    @classmethod
    def execute(cls, first: Perceptions, second: Perceptions) -> io.NodeOutput:
        check_perceptions(first, "first")
        check_perceptions(second, "second")
        return io.NodeOutput(join(first, second), ui=host.note(f"{extent(first)}, then {extent(second)}"))
