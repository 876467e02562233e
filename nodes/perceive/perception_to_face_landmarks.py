"""The Perception to Face Landmarks node: faces for ComfyUI's own nodes that mask and draw face landmarks."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ...perception.landmarks.comfyui_export import face_landmarks
from ...perception.vector import UNKNOWN_SIZE, Perceptions
from ..support import host
from ..support.checks import check_image, check_perceptions
from ..support.schema import PERCEPTION, aliases, extent
from .face_perception import FACE_LANDMARKS


class PerceptionToFaceLandmarks(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Converts perceptions, edited ones too, into the face landmarks of ComfyUI's MediaPipe nodes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_ToFaceLandmarks",
            display_name="Perception to Face Landmarks",
            category="Perception CLIP/perceive",
            description=(
                "Converts faces, edited ones too, into the face landmarks of ComfyUI's own MediaPipe nodes (0.23 and "
                "newer), which draw masks and meshes of them."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception, also edited or scheduled ones."),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Optional: the pictures of the faces. Their size is needed only if no picture has a face; "
                    "without it, 512 × 512 is assumed then.",
                ),
            ],
            outputs=[
                FACE_LANDMARKS.Output(
                    "face_landmarks",
                    display_name="face_landmarks",
                    tooltip="All faces with landmarks, box, score, 52 blendshapes and transformation matrix.",
                )
            ],
            **aliases("mediapipe", "face mesh", "face mask", "blendshapes", "transformation matrix"),
        )

    @classmethod
    def execute(cls, perception: Perceptions, image: Tensor | None = None) -> io.NodeOutput:
        check_perceptions(perception)
        note = extent(perception)
        if image is not None:
            check_image(image)
            height, width = image.shape[1:3]
        elif len(perception):
            height, width = perception.image_sizes[0].tolist()
        else:
            height, width = UNKNOWN_SIZE
            note += f"\nassumed size: {width} × {height}; connect image if the pictures have another"
        actions = host.action_model().actions(perception.landmarks, perception.image_sizes)
        return io.NodeOutput(face_landmarks(perception, actions, (height, width)), ui=host.note(note))
