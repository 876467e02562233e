"""The Face Actions node: the 52 actions of faces, gaze and head pose as numbers for other nodes."""

from __future__ import annotations

import json
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ...perception.actions.gaze import gaze
from ...perception.actions.names import ACTIONS, NAMES, values_of
from ...perception.actions.series import over_pictures, rows_of_track, smoothed
from ...perception.drawing.action_bars import action_picture, nothing_to_draw
from ...perception.geometry import AXES, head_pose
from ...perception.landmarks.comfyui import comfy_actions
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases
from .face_perception import BATCH_RATE, FACE_LANDMARKS
from .perception_info import POSE_TOOLTIPS

MISSING = ("hold", "zeros", "error")
ANGLES = {
    "gaze_yaw": "Where the eyes look, in degrees, −90 to 90; positive to the right of the picture, 0 into the camera.",
    "gaze_pitch": "Where the eyes look, in degrees, −90 to 90; positive upward, 0 into the camera.",
    **POSE_TOOLTIPS,
}
LARGE_TURN = 90.0  # degrees


class FaceActions(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Outputs what a face does, so that a wink or a smile drives any other node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_FaceActions",
            display_name="Face Actions",
            category="Perception CLIP/perceive",
            description=(
                "Measures the 52 actions of a face that ARKit defines (blendshapes), where its eyes look and how its "
                "head is turned, so that a wink or a smile can drive any other node."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception or Face Perception Video."),
                io.Combo.Input(
                    "action",
                    options=list(NAMES),
                    default="mouthSmile",
                    tooltip="The action for value and values. Left and right are the person's own; a name without a "
                    "side is the mean of both.",
                ),
                io.Int.Input(
                    "frame",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Number of the picture for value, the angles and the chart, counted from 0.",
                ),
                io.Int.Input(
                    "track",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Track number of the face. A face keeps its number from picture to picture; in a single "
                    "picture, faces are numbered from 0 in the order of Face Perception.",
                ),
                io.Float.Input(
                    "smoothing",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Temporal smoothing of all numbers except json (One-Euro filter), 0 (off) to 1 "
                    "(strongest). Pictures are treated as 24 fps.",
                ),
                advanced(
                    io.Combo.Input(
                        "missing",
                        options=list(MISSING),
                        default=MISSING[0],
                        optional=True,
                        tooltip="What to do in pictures without this face. hold: keep the last numbers. zeros: output "
                        "0. error: stop the run. Without the face in any picture, hold outputs 0 too.",
                    )
                ),
                FACE_LANDMARKS.Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="Optional: the face landmarks of ComfyUI's own MediaPipe Face Landmarker that perception "
                    "comes from; its actions are then used. Faces that were edited or smoothed since are measured "
                    "here.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    "value", display_name="value", tooltip="The action in the picture chosen by frame, 0 to 1."
                ),
                io.Float.Output(
                    "values",
                    display_name="values",
                    is_output_list=True,
                    tooltip="The chosen action in every picture, as a list: the next node runs once for each.",
                ),
                *(io.Float.Output(name, display_name=name, tooltip=tip) for name, tip in ANGLES.items()),
                io.String.Output(
                    "json", display_name="json", tooltip="All 52 actions, gaze and head pose of every face, as JSON."
                ),
                io.Image.Output("chart", display_name="chart", tooltip="The face with a bar for each action."),
            ],
            is_output_node=True,  # so that it shows its chart with nothing behind it
            **aliases("blendshapes", "arkit", "gaze", "eye direction", "wink", "blink", "smile value", "mouth open"),
        )

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        action: str,
        frame: int,
        track: int,
        smoothing: float,
        missing: str = MISSING[0],
        face_landmarks: Any = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("action", action, NAMES)
        check_choice("missing", missing, MISSING)
        actions, angles = measure(perception)
        source = ""
        if face_landmarks is not None:
            theirs = comfy_actions(face_landmarks, perception)
            known = ~theirs.isnan().any(dim=1, keepdim=True)
            actions = theirs.where(known, actions)
            source = f"\nComfyUI's actions: {int(known.sum())} of {counted(len(perception), 'face')}"
        seen = rows_of_track(perception, track, hold=False)
        problem = "" if frame < len(seen) and seen[frame] is not None else absent(perception, frame, track)
        if problem and missing == "error":
            raise InputError(f"{problem}. Choose another frame or track, or set missing to hold or zeros.")
        rows = rows_of_track(perception, track, hold=missing == "hold")
        values = smoothed(over_pictures(values_of(actions, action), rows), smoothing, BATCH_RATE)
        turns = smoothed(over_pictures(angles, rows), smoothing, BATCH_RATE, unit=LARGE_TURN)
        row = rows[frame] if frame < len(rows) else None
        text = as_json(perception, actions, angles)
        if row is None:
            chart = host.as_image(nothing_to_draw(problem))
            numbers = (0.0, values.tolist() or [0.0], *[0.0] * len(ANGLES))
            return io.NodeOutput(*numbers, text, chart, ui=host.note(f"{problem}; the numbers are 0{source}"))
        caption = f"picture {int(perception.frames[row])}, track {track}"
        drawn = action_picture(perception[row], actions[row], angles[row].tolist(), caption, action, values.tolist())
        chart = host.as_image(drawn)
        note = f"{caption}: {action} {values[frame]:.2f}" + (f"\n{problem}; held" if problem else "") + source
        numbers = (float(values[frame]), values.tolist(), *turns[frame].tolist())
        return io.NodeOutput(*numbers, text, chart, ui={**host.preview(chart), **host.note(note)})


def measure(perceptions: Perceptions) -> tuple[Tensor, Tensor]:
    """Return the actions (N, 52) of faces, and (N, 5): gaze yaw and pitch, head yaw, pitch and roll in degrees."""
    landmarks, sizes = perceptions.landmarks, perceptions.image_sizes
    template = host.expression_model().template
    angles = torch.cat([gaze(landmarks, sizes, template), head_pose(landmarks, sizes, template)], dim=1)
    return host.action_model().actions(landmarks, sizes), angles


def absent(perceptions: Perceptions, frame: int, track: int) -> str:
    """Return why there are no numbers for a picture."""
    pictures = counted(perceptions.frame_count, "picture")
    if frame >= perceptions.frame_count:
        return f"there is no picture {frame}: the perception has {pictures}, counted from 0"
    return f"there is no face with track {track} in picture {frame}: {counted(len(perceptions), 'face')} in {pictures}"


def as_json(perceptions: Perceptions, actions: Tensor, angles: Tensor) -> str:
    """Return all faces as a JSON list."""
    faces: list[dict[str, Any]] = []
    for face, values, (gaze_yaw, gaze_pitch, *head) in zip(perceptions, actions.tolist(), angles.tolist(), strict=True):
        faces.append(
            {
                "frame": face.frame,
                "track": face.track,
                "actions": {name: round(value, 4) for name, value in zip(ACTIONS, values, strict=True)},
                "gaze": {"yaw": round(gaze_yaw, 2), "pitch": round(gaze_pitch, 2)},
                "head": {axis: round(angle, 2) for axis, angle in zip(AXES, head, strict=True)},
            }
        )
    return json.dumps(faces)
