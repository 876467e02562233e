"""The Perception Schedule node: interpolates a few perceptions over many frames."""

from __future__ import annotations

from comfy_api.latest import io

from ...common.words import counted
from ...perception.editing.schedule import EASINGS, first_faces, spread
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, aliases


class PerceptionSchedule(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Interpolates key faces over the frames of an animation, one face per frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PerceptionSchedule",
            display_name="Perception Schedule",
            category="Perception CLIP/edit",
            description=(
                "Interpolates between a few key faces to fill many frames, one face per frame, for an animation or a "
                "batch of the same number of images."
            ),
            inputs=[
                PERCEPTION.Input(
                    "perception",
                    tooltip="The key faces: the first face of each picture that has one, in the order of the pictures. "
                    "Use a batch of pictures, or join several perceptions with Join Perceptions.",
                ),
                io.Int.Input(
                    "frames",
                    default=16,
                    min=1,
                    max=100_000,
                    tooltip="Number of frames to fill, 1 to 100000: use that of the latent batch or the video.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="linear",
                    tooltip="How to move from one key face to the next. linear: at a steady pace. ease: starts and "
                    "stops gently at each key. hold: jumps at once; each key gets an equal share of the frames.",
                ),
            ],
            outputs=[
                PERCEPTION.Output(
                    "scheduled", display_name="perception", tooltip="One face per frame; empty if there is no face."
                )
            ],
            **aliases("expression animation", "keyframes", "interpolate faces"),
        )

    @classmethod
    def execute(cls, perception: Perceptions, frames: int, easing: str) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("easing", easing, EASINGS)
        keys = len(first_faces(perception))
        lines = [f"{counted(keys, 'key face')} over {counted(frames, 'frame')}: {easing}"]
        if keys == 0:
            lines = [f"no face: {counted(frames, 'frame')} left empty"]
        if keys > frames:
            lines.append("more key faces than frames: some are skipped")
        if len(perception) > keys:
            lines.append(f"{counted(len(perception) - keys, 'other face')} in the same pictures ignored")
        return io.NodeOutput(spread(perception, frames, easing), ui=host.note("\n".join(lines)))
