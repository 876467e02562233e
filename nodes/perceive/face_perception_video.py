"""The Face Perception Video node: videos to perceptions."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.engines import DEFAULT_EMOTION_MODEL
from ...perception.landmarks.detectors import FOR_VIDEOS
from ...perception.sequences.missing import MISSING_MODES
from ...perception.sequences.run import perceive_video
from ...perception.sequences.storyboard import Storyboard
from ..support import host
from ..support.checks import check_choice
from ..support.schema import aliases
from .face_perception import perceiver, perceiving_inputs, perceiving_outputs, preview, relative, summary


class FacePerceptionVideo(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Detects the faces in a video frame by frame, without ever loading the whole video into memory."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_FacePerceptionVideo",
            display_name="Face Perception Video",
            category="Perception CLIP/perceive",
            description=(
                "Detects the faces in every frame of a video, tracks them from frame to frame, and turns each into a "
                "perception of 1441 numbers. Frames are read one at a time and not kept: a long video takes no more "
                "memory than a short one, apart from its perceptions (6 KB per face and frame)."
            ),
            inputs=[
                io.Video.Input(
                    "video", tooltip="A video of any size, length and frame rate, from a node such as Load Video."
                ),
                *perceiving_inputs(FOR_VIDEOS),
            ],
            outputs=[
                *perceiving_outputs(),
                io.Int.Output("frame_count", display_name="frame_count", tooltip="Total number of frames."),
                io.Float.Output(
                    "frame_rate", display_name="frame_rate", tooltip="Average number of frames per second."
                ),
            ],
            is_output_node=True,
            **aliases("face tracking", "video landmarks", "expression video"),
        )

    @classmethod
    def validate_inputs(cls, emotion_model: str = DEFAULT_EMOTION_MODEL) -> bool:
        """Accept any emotion model: `execute` checks it, and any Hugging Face id is allowed."""
        return True

    @classmethod
    def execute(
        cls,
        video: Any,
        detector: str = FOR_VIDEOS,
        missing: str = MISSING_MODES[0],
        smoothing: float = 0.0,
        **how: Any,
    ) -> io.NodeOutput:
        check_choice("missing", missing, MISSING_MODES)
        source = host.frames_of(video)
        storyboard = Storyboard(host.PREVIEWS)
        perceptions = perceive_video(
            source,
            perceiver(detector, **how),
            missing=missing,
            smoothing=smoothing,
            progress=host.progress(max(source.frame_count, 1)),
            watch=storyboard.watch,
        )
        perceptions = relative(perceptions, how.get("neutral"))
        shown = preview(storyboard.frames, perceptions, tracks=True)
        text = "\n".join(filter(None, [summary(perceptions, missing), source.problem]))
        numbers = len(perceptions), perceptions.frame_count, source.rate
        return io.NodeOutput(perceptions, *numbers, ui={**shown, **host.note(text)})
