"""Pictures to perceptions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from comfy_api.latest import io
from torch import Tensor

from ..perception.drawing import draw
from ..perception.vector import EMOTIONS, Perceptions
from . import host
from .checks import check_choice

PERCEPTION = io.Custom("PERCEPTION")
MISSING = ("skip", "error")


class FacePerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Finds every face of a batch of pictures, with its landmarks and emotions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_FacePerception",
            display_name="Face Perception (1441D)",
            category="Perception CLIP",
            description=(
                "Finds every face in the pictures and turns each into a perception of 1441 numbers: 478 "
                "landmarks (x, y, z) and the probabilities of 7 emotions. Nothing has to be downloaded."
            ),
            inputs=[
                io.Image.Input("image", tooltip="One picture or a batch, of any size."),
                io.Int.Input(
                    "max_faces",
                    default=10,
                    min=1,
                    max=100,
                    tooltip="At most this many faces per picture, 1 to 100; the surest are kept.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.5,
                    min=0.05,
                    max=1.0,
                    step=0.05,
                    tooltip="Faces that the detector is less sure of are dropped, 0.05 to 1. Lower finds more "
                    "faces, and more that are none.",
                ),
                io.Combo.Input(
                    "missing",
                    options=list(MISSING),
                    default="skip",
                    tooltip="A picture without a face. skip: it adds no perception, and the node says so. "
                    "error: the run stops.",
                ),
            ],
            outputs=[
                PERCEPTION.Output(
                    "perception",
                    display_name="perception",
                    tooltip="All faces, by picture, the largest of a picture first.",
                ),
                io.Image.Output(
                    "overlay",
                    display_name="overlay",
                    tooltip="The pictures with landmarks and emotions drawn on them; those without a face say so.",
                ),
                io.Int.Output("face_count", display_name="face_count", tooltip="How many faces were found."),
            ],
            is_output_node=True,  # so that a photo and this node alone already show something
        )

    @classmethod
    def execute(cls, image: Tensor, max_faces: int, min_confidence: float, missing: str) -> io.NodeOutput:
        check_choice("missing", missing, MISSING)
        progress = host.progress(2 * len(image))  # perceiving and drawing take about as long
        perceptions = host.pipeline(max_faces, min_confidence)(image, progress=progress)
        text = summary(perceptions)
        if perceptions.empty_frames and missing == "error":
            raise ValueError(f"{text}. Use pictures with a visible face, lower min_confidence, or set missing to skip.")
        overlay = draw_all(image, perceptions, lambda drawn: progress(len(image) + drawn))
        return io.NodeOutput(perceptions, overlay, len(perceptions), ui={**host.preview(overlay), **host.note(text)})


def draw_all(image: Tensor, perceptions: Perceptions, progress: Callable[[int], None]) -> Tensor:
    """Pictures (B, H, W, C) with their faces drawn on them, as ComfyUI's IMAGE (B, H, W, 3) in 0…1."""
    overlay = torch.empty(*image.shape[:3], 3)
    for index, (picture, faces) in enumerate(zip(image, perceptions.by_frame(), strict=True)):
        overlay[index] = draw(picture, faces) / 255
        progress(index + 1)
    return overlay


def summary(perceptions: Perceptions) -> str:
    """What was found, in a line or two: how many faces, what the first shows, which pictures have none."""
    lines = [f"{count(len(perceptions), 'face')} in {count(perceptions.frame_count, 'picture')}"]
    if len(perceptions):
        probability, index = perceptions.emotions[0].max(dim=0)
        lines[0] += f"; the first looks {EMOTIONS[index]} ({probability:.0%})"
    empty = perceptions.empty_frames
    if empty and perceptions.frame_count > 1:
        shown = ", ".join(map(str, empty[:10])) + (", …" if len(empty) > 10 else "")
        lines.append(f"no face in {count(len(empty), 'picture')}, counted from 0: {shown}")
    return "\n".join(lines)


def count(number: int, what: str) -> str:
    """`1 face`, `no face`, `7 faces`."""
    return f"{number or 'no'} {what}" if number < 2 else f"{number} {what}s"
