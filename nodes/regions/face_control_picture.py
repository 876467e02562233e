"""The Face Control Picture node: faces, edited ones too, as the pictures and key points that ControlNets follow."""

from __future__ import annotations

from comfy_api.latest import io

from ...common.words import counted
from ...perception.control.openpose import pose_keypoint
from ...perception.control.pictures import KINDS, control_pictures, picture_size, placed_faces, small_faces
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, aliases, extent

POSE_KEYPOINT = io.Custom("POSE_KEYPOINT")
LONGEST = 8192  # pixels


class FaceControlPicture(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Draws faces the way the ControlNets for faces were trained to see them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_FaceControlPicture",
            display_name="Face Control Picture",
            category="Perception CLIP/regions",
            description=(
                "Draws faces on black for a ControlNet, which then puts eyes, brows and mouth where they are drawn. "
                "Edited and scheduled faces work too, so an edited expression moves the drawing."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception, also edited or scheduled ones."),
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default="mediapipe_face",
                    tooltip="mediapipe_face: colored outlines and pupils, for ControlNetMediaPipeFace. "
                    "openpose_face: 70 white dots, for OpenPose ControlNets. "
                    "mesh: all edges between landmarks. "
                    "lines: white outlines, for line art and scribble ControlNets.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=LONGEST,
                    step=8,
                    tooltip=f"Width of the pictures in pixels, 0 to {LONGEST:,}; 0: as the picture of the first face, "
                    "or in proportion to height. Choose the size of the latent.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=LONGEST,
                    step=8,
                    tooltip=f"Height of the pictures in pixels, 0 to {LONGEST:,}; 0: as the picture of the first face, "
                    "or in proportion to width.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    display_name="image",
                    tooltip="One picture for each picture or frame that was perceived, with all its faces; black "
                    "without a face.",
                ),
                POSE_KEYPOINT.Output(
                    "pose_keypoint",
                    display_name="pose_keypoint",
                    tooltip="OpenPose's 70 key points of every face in pixels, whatever the kind, for nodes that draw "
                    "or save poses.",
                ),
            ],
            **aliases(
                "controlnet face",
                "controlnet preprocessor",
                "mediapipe face",
                "openpose face",
                "face pose",
                "face keypoints",
                "face mesh",
            ),
        )

    @classmethod
    def execute(cls, perception: Perceptions, kind: str, width: int, height: int) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("kind", kind, KINDS)
        size = picture_size(perception, width, height)
        frames = placed_faces(perception, size)
        pictures = control_pictures(kind, frames, size, host.progress(len(frames)))
        lines = [f"{extent(perception)}, {size[0]} × {size[1]}"]
        if perception.empty_frames:
            lines.append(f"{counted(len(perception.empty_frames), 'picture')} without a face: black")
        if not len(perception) and not (width and height):
            lines.append("⚠ the size is assumed, as no picture has a face; set width and height")
        small = small_faces(frames, size) if kind == "mediapipe_face" else 0
        if small:
            lines.append(
                f"⚠ {counted(small, 'face')} smaller than 1/8 of the picture; this ControlNet knows larger ones"
            )
        keypoints = [pose_keypoint(faces, size) for faces in frames]
        return io.NodeOutput(pictures, keypoints, ui=host.note("\n".join(lines)))
