"""Perceptions with another expression."""

from __future__ import annotations

from comfy_api.latest import io

from ..perception.editing import edit
from ..perception.vector import EMOTIONS, Perceptions
from .support import host
from .support.checks import check_perceptions
from .support.schema import PERCEPTION, aliases, count, strongest

NEUTRAL_TOOLTIP = "Toward a neutral face, −2 to 2: 1 takes every emotion away that is read from the face."


class EditPerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Moves faces along the expression model, and toward other faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_EditPerception",
            display_name="Edit Perception",
            category="Perception CLIP",
            description=(
                "Changes what faces express: seven sliders move the landmarks, and the emotions with them. Person, "
                "pose and place stay. It can also mix the faces with those of another perception."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception; all of them are changed alike."),
                *map(slider, EMOTIONS),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Multiplies all sliders, −2 to 2, without unit. With 0 they change nothing.",
                ),
                PERCEPTION.Input(
                    "mix_with",
                    optional=True,
                    tooltip="Faces to mix in before the sliders act: a single one, which then serves all, or as many "
                    "as in perception, paired in their order.",
                ),
                io.Float.Input(
                    "mix",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="The share of mix_with, 0 to 1: 0 leaves the faces as they are, 1 gives the shape and the "
                    "emotions of the others, in the pose and place of the first. Without mix_with it does nothing.",
                ),
            ],
            outputs=[PERCEPTION.Output("edited", display_name="perception", tooltip="The same faces, changed.")],
            **aliases("expression editor", "smile", "emotion slider", "blend faces"),
        )

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        strength: float,
        mix_with: Perceptions | None = None,
        mix: float = 0.5,
        **sliders: float,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        edited, model = perception, host.expression_model()
        lines = [count(len(perception), "face")]
        if mix_with is not None:
            check_perceptions(mix_with, "mix_with")
            if len(mix_with):
                edited = edit.mix(edited, mix_with, mix, model)
            else:
                lines.append("no face in mix_with: nothing was mixed")
        edited = edit.edit(edited, sliders, strength, model)
        if len(edited):
            lines[0] += f"; the first was {strongest(perception)} and is {strongest(edited)}"
        return io.NodeOutput(edited, ui=host.note("\n".join(lines)))


def slider(emotion: str) -> io.Float.Input:
    """The widget of one emotion."""
    return io.Float.Input(
        emotion,
        default=0.0,
        min=-2.0,
        max=2.0,
        step=0.05,
        display_mode=io.NumberDisplay.slider,
        tooltip=NEUTRAL_TOOLTIP
        if emotion == "neutral"
        else f"Toward {emotion}, −2 to 2: 0 leaves it, 1 is the average expression, more exaggerates, less than 0 "
        "takes it away.",
    )
