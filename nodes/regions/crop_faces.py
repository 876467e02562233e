"""The Crop Faces node: each face as a square picture of its own, ready to be worked on and pasted back."""

from __future__ import annotations

from dataclasses import replace

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.words import counted, listed
from ...perception.regions.crops import Crops, crops_of, cut
from ...perception.regions.masks import mask
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_image, check_perceptions
from ..support.schema import PERCEPTION, aliases

FACE_CROPS = io.Custom("FACE_CROPS")
SHOWN = 5  # faces listed on the node


class CropFaces(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Cuts out faces as squares, and keeps where each was."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_CropFaces",
            display_name="Crop Faces",
            category="Perception CLIP/regions",
            description=(
                "Cuts out every face as a square picture of its own, upright and as large as the model likes it, to "
                "work on it: change its expression, restore it, upscale it. Paste Faces puts it back in place."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the faces were detected in."),
                PERCEPTION.Input("perception", tooltip="The faces to crop, from Face Perception."),
                io.Int.Input(
                    "crop_size",
                    default=512,
                    min=64,
                    max=2048,
                    step=64,
                    tooltip="Width and height of the crops, 64 to 2,048 pixels: 512 for Stable Diffusion 1.5, 1024 for "
                    "SDXL and later models.",
                ),
                io.Float.Input(
                    "margin",
                    default=0.4,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Space around the face on each side, 0 to 2, as a share of the longer side of the face. "
                    "0.4 shows the whole head; higher values show more surroundings, which helps the model but makes "
                    "the face smaller.",
                ),
                io.Boolean.Input(
                    "upright",
                    default=True,
                    tooltip="On: turns each crop with the head, so that a tilted face is upright in it, as models draw "
                    "faces best. Off: cuts straight.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "cropped_image",
                    display_name="image",
                    tooltip="One picture for each face, in the order of perception. Outside the original picture, its "
                    "border is repeated.",
                ),
                FACE_CROPS.Output("crops", display_name="crops", tooltip="Where each crop was, for Paste Faces."),
                PERCEPTION.Output(
                    "cropped_perception",
                    display_name="perception",
                    tooltip="The faces as seen in the crops, one for each picture.",
                ),
                io.Mask.Output("mask", display_name="mask", tooltip="The face's oval in each crop."),
            ],
            **aliases("face crop", "detailer", "face detailer", "inpaint crop", "align face", "upright"),
        )

    @classmethod
    def execute(
        cls, image: Tensor, perception: Perceptions, crop_size: int, margin: float, upright: bool
    ) -> io.NodeOutput:
        check_image(image)
        check_perceptions(perception)
        crops = crops_of(perception, crop_size, margin, host.expression_model().template if upright else None)
        if not len(crops):
            note = "no face: the crop is gray, and Paste Faces returns the pictures unchanged"
            gray, nothing = torch.full((1, crop_size, crop_size, 3), 0.5), torch.zeros(1, crop_size, crop_size)
            return io.NodeOutput(gray, crops, replace(crops.seen, frame_count=1), nothing, ui=host.note(note))
        pictures = cut(image, crops, host.progress(len(crops)))
        ovals = torch.stack([torch.from_numpy(mask(face, (crop_size, crop_size), "face oval")) for face in crops.seen])
        return io.NodeOutput(pictures, crops, crops.seen, ovals, ui=host.note(summary(crops)))


def summary(crops: Crops) -> str:
    """Return the number of crops and their sides in the pictures, and a warning if they lose detail."""
    sides = crops.squares.sides.round().int().tolist()
    lines = [f"{counted(len(crops), 'crop')} of {crops.size} × {crops.size}, cut from {listed(texts(sides), SHOWN)}"]
    if max(sides) > 1.5 * crops.size:
        lines.append(
            f"⚠ pasting will lose detail: a crop covers {max(sides)} × {max(sides)} in its picture; raise crop_size"
        )
    return "\n".join(lines)


def texts(sides: list[int]) -> list[str]:
    return [f"{side} × {side}" for side in sides]
