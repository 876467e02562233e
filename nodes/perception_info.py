"""What a perception says, in words and as numbers for other nodes."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io
from torch import Tensor

from ..common.errors import InputError
from ..perception.geometry import AXES, head_pose
from ..perception.vector import EMOTIONS, Perception, Perceptions
from .support import host
from .support.checks import check_choice, check_perceptions
from .support.schema import PERCEPTION, aliases, count

MISSING = ("zeros", "error")
MAX_LISTED = 20  # faces in the list below the table; a video has thousands
POSE_TOOLTIPS = {
    "yaw": "Head turn in degrees, −180 to 180: above 0 the nose points to the picture's right.",
    "pitch": "Head nod in degrees, −90 to 90: above 0 the face looks up.",
    "roll": "Head tilt in degrees, −180 to 180: above 0 the head is turned clockwise in the picture.",
}
BOX_TOOLTIPS = {
    "x": "Left edge of the face's box, in pixels, inside the picture.",
    "y": "Top edge of the face's box, in pixels, inside the picture.",
    "width": "Width of the face's box, in pixels: fits Image Crop.",
    "height": "Height of the face's box, in pixels: fits Image Crop.",
}


class PerceptionInfo(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Shows one face's numbers and puts them out, so that a face can drive any other node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PerceptionInfo",
            display_name="Perception Info",
            category="Perception CLIP",
            description=(
                "Shows what was read from a face, and puts out its emotions, head pose and box as numbers, so that a "
                "face can drive any other node."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Which face, counted from 0 through all pictures, in the order of Face Perception.",
                ),
                io.Combo.Input(
                    "missing",
                    options=list(MISSING),
                    default="zeros",
                    tooltip="When there is no such face. zeros: every number is 0, and the node says so; face_count "
                    "tells how many faces there are. error: the run stops.",
                ),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="All of this as a table to read."),
                *(
                    io.Float.Output(name, display_name=name, tooltip=f"Probability of {name}, 0 to 1.")
                    for name in EMOTIONS
                ),
                *(io.Float.Output(name, display_name=name, tooltip=tip) for name, tip in POSE_TOOLTIPS.items()),
                *(io.Int.Output(name, display_name=name, tooltip=tip) for name, tip in BOX_TOOLTIPS.items()),
                io.Float.Output(
                    "score",
                    display_name="score",
                    tooltip="How sure the detector is, above 0 to 1; 0 for a face that was filled in.",
                ),
                io.Int.Output("frame", display_name="frame", tooltip="Which picture of the batch, from 0."),
                io.Int.Output(
                    "track", display_name="track", tooltip="The same number for the same face through a sequence."
                ),
                io.Int.Output("face_count", display_name="face_count", tooltip="How many faces there are in all."),
            ],
            is_output_node=True,  # so that it shows its table with nothing behind it
            **aliases("head pose", "yaw pitch roll", "emotion values", "face box"),
        )

    @classmethod
    def execute(cls, perception: Perceptions, face: int, missing: str) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("missing", missing, MISSING)
        total = len(perception)
        if not 0 <= face < total:
            text = f"there is no face {face}: {count(total, 'face')} in {count(perception.frame_count, 'picture')}"
            if missing == "error":
                raise InputError(f"{text}, and faces are counted from 0. Choose another, or set missing to zeros.")
            text += "; every number is 0"
            return io.NodeOutput(text, *[0.0] * 10, *[0] * 4, 0.0, 0, 0, total, ui=host.note(text))
        poses = head_pose(perception.landmarks, perception.image_sizes, host.expression_model().template)
        chosen, pose = perception[face], poses[face].tolist()
        box = inside(chosen)
        text = table(face, total, chosen, pose, box)
        if total > 1:
            text += f"\n\n{overview(perception, poses)}"
        numbers = (*chosen.emotions.tolist(), *pose, *box, chosen.score, chosen.frame, chosen.track, total)
        # A line for each face: the node has no room for the table.
        return io.NodeOutput(text, *numbers, ui=host.note(text, on_node=overview(perception, poses)))


def inside(face: Perception) -> tuple[int, int, int, int]:
    """The part of a face's box that lies in the picture, in whole pixels: x, y, width, height, the last two ≥ 1."""
    height, width = face.image_size
    left, top, right, bottom = (round(edge) for edge in face.box)
    x, y = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return x, y, max(min(right, width) - x, 1), max(min(bottom, height) - y, 1)


def table(index: int, total: int, face: Perception, pose: Sequence[float], box: Sequence[int]) -> str:
    """One face, a line for each thing."""
    emotions = [f"{name:<9}{value:7.1%}" for name, value in zip(EMOTIONS, face.emotions.tolist(), strict=True)]
    x, y, width, height = box
    lines = [
        f"face {index} of {total} (from 0), picture {face.frame}, track {face.track}",
        f"score    {face.score:.2f}" + ("" if face.score > 0 else " (filled in, not seen)"),
        f"box      {width} × {height} pixels at ({x}, {y}) of {face.image_size[1]} × {face.image_size[0]}",
        *(f"{axis:<9}{degrees:+.1f}°" for axis, degrees in zip(AXES, pose, strict=True)),
        *emotions,
    ]
    return "\n".join(lines)


def overview(perceptions: Perceptions, poses: Tensor) -> str:
    """A line for each face; of many, the first `MAX_LISTED`."""
    lines = []
    for index in range(min(len(perceptions), MAX_LISTED)):
        face = perceptions[index]
        probability, emotion = face.emotions.max(dim=0)
        yaw, pitch, roll = poses[index].tolist()
        turned = f"yaw {yaw:+.0f}°, pitch {pitch:+.0f}°, roll {roll:+.0f}°"
        lines.append(f"{index}: picture {face.frame}, {EMOTIONS[emotion]} {probability:.0%}, {turned}")
    if len(perceptions) > MAX_LISTED:
        lines.append(f"… and {len(perceptions) - MAX_LISTED} more")
    return "\n".join(lines)
