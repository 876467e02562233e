"""The Perception Info node: the contents of a perception as text, and as numbers for other nodes."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io
from torch import Tensor

from ...common.errors import InputError
from ...perception.geometry import AXES, head_pose
from ...perception.vector import EMOTIONS, Perception, Perceptions
from ..support import host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, aliases, extent

NO_FACE_CHOICES = ("zeros", "error")
MAX_LISTED = 20  # faces in the list below the table; a video has thousands
POSE_TOOLTIPS = {
    "yaw": "Head turn in degrees, −180 to 180; positive when the nose points to the right of the picture.",
    "pitch": "Head nod in degrees, −90 to 90; positive when the face looks up.",
    "roll": "Head tilt in degrees, −180 to 180; positive when the head is rotated clockwise in the picture.",
}
BOX_TOOLTIPS = {
    "x": "Left edge of the face's box in pixels, always inside the picture.",
    "y": "Top edge of the face's box in pixels, always inside the picture.",
    "width": "Width of the face's box in pixels; suitable for Image Crop.",
    "height": "Height of the face's box in pixels; suitable for Image Crop.",
}


class PerceptionInfo(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Shows one face's numbers and outputs them, so that a face can drive any other node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PerceptionInfo",
            display_name="Perception Info",
            category="Perception CLIP/perceive",
            description=(
                "Shows what was measured on a face and outputs its emotions, head pose and box as numbers, so that a "
                "face can drive any other node."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Number of the face, counted from 0 across all pictures, in the order of Face Perception.",
                ),
                io.Combo.Input(
                    "missing",
                    options=list(NO_FACE_CHOICES),
                    default="zeros",
                    tooltip="What to do when there is no such face. zeros: output 0 for every number, and report it; "
                    "face_count shows how many faces there are. error: stop the run.",
                ),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="All of these values as a table."),
                *(
                    io.Float.Output(name, display_name=name, tooltip=f"Probability of “{name}”, 0 to 1.")
                    for name in EMOTIONS
                ),
                *(io.Float.Output(name, display_name=name, tooltip=tip) for name, tip in POSE_TOOLTIPS.items()),
                *(io.Int.Output(name, display_name=name, tooltip=tip) for name, tip in BOX_TOOLTIPS.items()),
                io.Float.Output(
                    "score",
                    display_name="score",
                    tooltip="Detector confidence, above 0 and up to 1; 0 for a face that was filled in.",
                ),
                io.Int.Output(
                    "frame", display_name="frame", tooltip="Number of the picture in the batch, counted from 0."
                ),
                io.Int.Output(
                    "track",
                    display_name="track",
                    tooltip="Track number; a face keeps its number throughout a sequence.",
                ),
                io.Int.Output("face_count", display_name="face_count", tooltip="Total number of faces."),
            ],
            is_output_node=True,  # so that it shows its table even if nothing is connected to its outputs
            **aliases("head pose", "yaw pitch roll", "emotion values", "face box"),
        )

    @classmethod
    def execute(cls, perception: Perceptions, face: int, missing: str) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("missing", missing, NO_FACE_CHOICES)
        total = len(perception)
        if not 0 <= face < total:
            text = f"there is no face {face}: {extent(perception)}"
            if missing == "error":
                raise InputError(f"{text}. Faces are counted from 0; choose another one, or set missing to zeros.")
            text += "; every number is 0"
            return io.NodeOutput(text, *[0.0] * 10, *[0] * 4, 0.0, 0, 0, total, ui=host.note(text))
        poses = head_pose(perception.landmarks, perception.image_sizes, host.expression_model().template)
        chosen, pose = perception[face], poses[face].tolist()
        box = inside(chosen)
        text = table(face, total, chosen, pose, box)
        if total > 1:
            text += f"\n\n{overview(perception, poses)}"
        numbers = (*chosen.emotions.tolist(), *pose, *box, chosen.score, chosen.frame, chosen.track, total)
        # The node has no room for the table, so it shows one line per face.
        return io.NodeOutput(text, *numbers, ui=host.note(text, on_node=overview(perception, poses)))


def inside(face: Perception) -> tuple[int, int, int, int]:
    """Return the part of a face's box inside the picture in whole pixels: x, y, width, height; the last two are ≥ 1."""
    height, width = face.image_size
    left, top, right, bottom = (round(edge) for edge in face.box)
    x, y = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return x, y, max(min(right, width) - x, 1), max(min(bottom, height) - y, 1)


def table(index: int, total: int, face: Perception, pose: Sequence[float], box: Sequence[int]) -> str:
    """Return one face as a table with a line for each value."""
    emotions = [f"{name:<9}{value:7.1%}" for name, value in zip(EMOTIONS, face.emotions.tolist(), strict=True)]
    x, y, width, height = box
    lines = [
        f"face {index} of {total} (counted from 0), picture {face.frame}, track {face.track}",
        f"score    {face.score:.2f}" + ("" if face.score > 0 else " (filled in, not detected)"),
        f"box      {width} × {height} pixels at ({x}, {y}) in a picture of {face.image_size[1]} × {face.image_size[0]}",
        *(f"{axis:<9}{degrees:+.1f}°" for axis, degrees in zip(AXES, pose, strict=True)),
        *emotions,
    ]
    return "\n".join(lines)


def overview(perceptions: Perceptions, poses: Tensor) -> str:
    """Return a line for each face, at most the first `MAX_LISTED`."""
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
