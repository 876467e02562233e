"""The Edit Perception node: changes the expression of faces, single actions and the pose of the head."""

from __future__ import annotations

from comfy_api.latest import io

from ...common.words import counted
from ...perception.editing import edit
from ...perception.editing.actions import ACTION_SLIDERS, HEAD, edit_actions
from ...perception.vector import EMOTIONS, Perceptions
from ..support import host
from ..support.checks import check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases, strongest

NEUTRAL_TOOLTIP = "Toward neutral, −2 to 2; 1 removes all detected expression."
BROW = "{} eyebrow, −1 to 1: positive raises it, negative lowers it. Left and right are the person's own."
EYE = "{} eye, −1 to 1: 1 closes it, negative opens it wider. Left and right are the person's own."
SMILE = (
    "{} corner of the mouth, −1 to 1: 1 adds a full smile, negative removes it. Left and right are the person's own."
)
ACTION_TOOLTIPS = {
    "brow_up_left": BROW.format("Left"),
    "brow_up_right": BROW.format("Right"),
    "eye_closed_left": EYE.format("Left"),
    "eye_closed_right": EYE.format("Right"),
    "gaze_x": "Where the eyes look, −1 to 1: positive to the right of the picture, negative to its left.",
    "gaze_y": "Where the eyes look, −1 to 1: positive up, negative down.",
    "jaw_open": "Mouth, −1 to 1: 1 opens it wide, negative closes an open mouth.",
    "smile_left": SMILE.format("Left"),
    "smile_right": SMILE.format("Right"),
    "frown": "Both corners of the mouth, −1 to 1: 1 pulls them down, negative removes a frown.",
    "pucker": "Lips, −1 to 1: 1 puckers them as for a kiss, negative widens the mouth.",
    "press": "Lips, −1 to 1: 1 presses them together, negative relaxes them.",
    "head_yaw": "Degrees added to the head turn, −45 to 45; positive turns the nose to the right of the picture.",
    "head_pitch": "Degrees added to the head nod, −45 to 45; positive makes the face look up.",
    "head_roll": "Degrees added to the head tilt, −45 to 45; positive rotates the head clockwise in the picture.",
}


class EditPerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Moves faces along the expression model and the action basis, and toward other faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_EditPerception",
            display_name="Edit Perception",
            category="Perception CLIP/edit",
            description=(
                "Changes the expression of faces: seven sliders move the landmarks, and the emotions change with "
                "them. The advanced sliders move eyebrows, eyes, gaze and mouth, and turn the head. The person stays "
                "the same. It can also mix the faces with those of another perception."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception; all are changed in the same way."),
                *map(slider, EMOTIONS),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Multiplier for all sliders, −2 to 2, unitless. At 0 the sliders change nothing.",
                ),
                PERCEPTION.Input(
                    "mix_with",
                    optional=True,
                    tooltip="Faces to mix in before the sliders are applied: one face (applied to all) or exactly as "
                    "many as in perception, matched in order.",
                ),
                io.Float.Input(
                    "mix",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Share of mix_with, 0 to 1: 0 leaves the faces unchanged, 1 uses the shape and emotions of "
                    "the faces in mix_with, in the original pose and position. Has no effect without mix_with.",
                ),
                *map(action_slider, ACTION_SLIDERS),
            ],
            outputs=[PERCEPTION.Output("edited", display_name="perception", tooltip="The edited faces.")],
            **aliases("expression editor", "smile", "emotion slider", "blend faces", "wink", "gaze", "head pose"),
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
        lines = [counted(len(perception), "face")]
        if mix_with is not None:
            check_perceptions(mix_with, "mix_with")
            if len(mix_with):
                edited = edit.mix(edited, mix_with, mix, model)
            else:
                lines.append("no face in mix_with, so nothing was mixed")
        actions = {name: sliders.pop(name) for name in ACTION_SLIDERS if name in sliders}
        edited = edit.edit(edited, sliders, strength, model)
        edited = edit_actions(edited, actions, strength, model, host.action_basis(), host.action_model())
        if len(edited):
            lines[0] += f"; the first was {strongest(perception)} and is now {strongest(edited)}"
        return io.NodeOutput(edited, ui=host.note("\n".join(lines)))


def slider(emotion: str) -> io.Float.Input:
    """Return the slider of one emotion."""
    return io.Float.Input(
        emotion,
        default=0.0,
        min=-2.0,
        max=2.0,
        step=0.05,
        display_mode=io.NumberDisplay.slider,
        tooltip=NEUTRAL_TOOLTIP
        if emotion == "neutral"
        else f"Toward {emotion}, −2 to 2: 0 leaves the face unchanged, 1 adds the average expression, higher values "
        "exaggerate it, negative values reduce it.",
    )


def action_slider(action: str) -> io.Float.Input:
    """Return the slider of one action."""
    end, step = (45.0, 1.0) if action in HEAD else (1.0, 0.05)
    return advanced(
        io.Float.Input(
            action,
            default=0.0,
            min=-end,
            max=end,
            step=step,
            optional=True,
            display_mode=io.NumberDisplay.slider,
            tooltip=ACTION_TOOLTIPS[action],
        )
    )
