"""The Draw Perception node: draws perceptions onto their pictures or their video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.temporary_files import TemporaryPath, temporary_file
from ...perception.drawing.overlay import Overlay
from ...perception.sequences.run import draw_frames
from ...perception.sequences.videos import Video, VideoInMemory, write_video
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_image, check_perceptions
from ..support.schema import PERCEPTION, aliases
from .face_perception import BATCH_RATE


class DrawPerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Draws faces onto the pictures or the video they were detected in."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_DrawPerception",
            display_name="Draw Perception",
            category="Perception CLIP/perceive",
            description=(
                "Draws faces onto the pictures or the video they were detected in: landmarks, a box and a bar for "
                "each emotion. Connect either image or video, and use the output of the same name."
            ),
            inputs=[
                PERCEPTION.Input(
                    "perception", tooltip="The faces to draw, from Face Perception or Face Perception Video."
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The pictures the faces were detected in. Leave video unconnected.",
                ),
                io.Video.Input(
                    "video", optional=True, tooltip="The video the faces were detected in. Leave image unconnected."
                ),
                io.Boolean.Input(
                    "tracks",
                    default=True,
                    optional=True,
                    tooltip="Write each face's track number next to its box. A face keeps its number from picture to "
                    "picture.",
                ),
                io.Boolean.Input(
                    "dense_mesh",
                    default=False,
                    optional=True,
                    tooltip="Draw all edges of the face mesh, not just the outlines of the features.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "drawn_image",
                    display_name="image",
                    tooltip="The pictures with the faces drawn on them. Only available when image is connected.",
                ),
                io.Video.Output(
                    "drawn_video",
                    display_name="video",
                    tooltip="The video with the faces drawn on it, without sound. Only available when video is "
                    "connected.",
                ),
            ],
            **aliases("overlay", "face overlay", "draw landmarks", "draw face mesh", "visualize faces", "annotate"),
        )

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        image: Tensor | None = None,
        video: Any = None,
        tracks: bool = True,
        dense_mesh: bool = False,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        if image is not None and video is not None:
            raise ValueError("image and video are both connected. Disconnect one of them")
        if image is None and video is None:
            raise ValueError("neither image nor video is connected. Connect the one the faces were detected in")
        overlay = Overlay(mesh=dense_mesh, tracks=tracks)
        progress = host.progress(perception.frame_count)
        if image is not None:
            check_image(image)
            return io.NodeOutput(drawn_image(image, perception, overlay, progress), host.nothing("video", "image"))
        drawn = drawn_video(host.frames_of(video), perception, overlay, progress)
        return io.NodeOutput(host.nothing("image", "video"), host.as_video(drawn))


def drawn_image(image: Tensor, perceptions: Perceptions, overlay: Overlay, progress: Callable[[int], None]) -> Tensor:
    """Return pictures (B, H, W, C) with their faces drawn on them, as ComfyUI's IMAGE (B, H, W, 3) in 0…1."""
    drawn = torch.empty(*image.shape[:3], 3)
    for frame in draw_frames(VideoInMemory(image, BATCH_RATE), perceptions, overlay, progress):
        drawn[frame.number] = frame.picture / 255
    return drawn


def drawn_video(
    video: Video | VideoInMemory, perceptions: Perceptions, overlay: Overlay, progress: Callable[[int], None]
) -> TemporaryPath:
    """Write the video with its faces drawn on it to a file, which exists as long as the returned path is referenced.

    A file costs no memory, however long the video is. It shows people's faces, so it is stored with the pack's other
    private data, which ComfyUI does not serve, and not in the system's temporary folder, which is often in memory.
    """
    path = temporary_file(host.videos_folder(), ".mp4")
    try:
        write_video(Path(path), draw_frames(video, perceptions, overlay, progress), video.rate)
    except BaseException:
        path.delete()  # at once: the error would refer to the path
        raise
    return path
