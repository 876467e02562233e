"""Few perceptions over many frames."""

from __future__ import annotations

from comfy_api.latest import io

from ..perception.editing.schedule import EASINGS, first_faces, spread
from ..perception.vector import Perceptions
from .support import host
from .support.checks import check_choice, check_perceptions
from .support.schema import PERCEPTION, aliases, count


class PerceptionSchedule(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Spreads key faces over the frames of an animation, one face per frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PerceptionSchedule",
            display_name="Perception Schedule",
            category="Perception CLIP",
            description=(
                "Spreads few faces over many frames: from one expression to the next, one face per frame, for an "
                "animation or a batch of as many pictures."
            ),
            inputs=[
                PERCEPTION.Input(
                    "perception",
                    tooltip="The key faces: the first face of each picture that has one, in the pictures' order. "
                    "Several pictures come from a batch, or one after the other from Join Perceptions.",
                ),
                io.Int.Input(
                    "frames",
                    default=16,
                    min=1,
                    max=100_000,
                    tooltip="How many frames to fill, 1 to 100000: as many as the latent batch or the video has.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="linear",
                    tooltip="From key to key. linear: evenly. ease: starting and stopping gently at each. hold: at "
                    "once; each key keeps an equal share of the frames.",
                ),
            ],
            outputs=[
                PERCEPTION.Output(
                    "scheduled", display_name="perception", tooltip="One face per frame; none if there was none."
                )
            ],
            **aliases("expression animation", "keyframes", "interpolate faces"),
        )

    @classmethod
    def execute(cls, perception: Perceptions, frames: int, easing: str) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("easing", easing, EASINGS)
        keys = len(first_faces(perception))
        lines = [f"{count(keys, 'key face')} over {count(frames, 'frame')}: {easing}"]
        if keys == 0:
            lines = [f"no face: {count(frames, 'frame')} without one"]
        if keys > frames:
            lines.append("more key faces than frames: some of them are passed over")
        if len(perception) > keys:
            lines.append(f"{count(len(perception) - keys, 'further face')} in the same pictures left out")
        return io.NodeOutput(spread(perception, frames, easing), ui=host.note("\n".join(lines)))
