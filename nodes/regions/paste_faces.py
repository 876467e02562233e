"""The Paste Faces node: crops back in their pictures, after any work."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...common.words import counted
from ...perception.regions.crops import Crops
from ...perception.regions.pasting import PASTED_PARTS, Blend, cut_off, paste
from ..support import host
from ..support.checks import check_choice, check_crops, check_image
from ..support.schema import advanced, aliases
from .crop_faces import FACE_CROPS


class PasteFaces(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Pastes faces back where Crop Faces cut them out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PasteFaces",
            display_name="Paste Faces",
            category="Perception CLIP/regions",
            description=(
                "Puts the pictures of Crop Faces back in place after any work on them, at any resolution, with a soft "
                "edge around each face. All other pixels stay exactly as they were."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The original pictures, the same as for Crop Faces."),
                FACE_CROPS.Input("crops", tooltip="The crops output of Crop Faces."),
                io.Image.Input(
                    "new_faces",
                    lazy=True,
                    tooltip="The pictures of Crop Faces after your work on them: the same number in the same order, "
                    "still square, of any size. If there is no face, whatever creates them does not run.",
                ),
                io.Combo.Input(
                    "part",
                    options=list(PASTED_PARTS),
                    default=PASTED_PARTS[0],
                    tooltip="What to paste. face oval: the face from chin to forehead. head: with hair and ears, "
                    "which needs a margin of at least 0.5 in Crop Faces.",
                ),
                io.Float.Input(
                    "grow",
                    default=0.05,
                    min=-0.5,
                    max=1.0,
                    step=0.01,
                    tooltip="Moves the edge of the part outward, −0.5 to 1, as a share of the face's height. An open "
                    "mouth needs some space below the chin.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.15,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Width of the soft edge, 0 (hard) to 1, as a share of the face's height.",
                ),
                advanced(
                    io.Float.Input(
                        "color_match",
                        default=0.0,
                        min=0.0,
                        max=1.0,
                        step=0.05,
                        optional=True,
                        tooltip="Gives the new face the brightness, contrast and colors of the old one, 0 (off) to 1 "
                        "(fully), against a visible edge.",
                    )
                ),
            ],
            outputs=[io.Image.Output("pasted_image", display_name="image", tooltip="The pictures with the new faces.")],
            **aliases("face paste", "stitch", "uncrop", "composite", "detailer", "color match", "blend back"),
        )

    @classmethod
    def check_lazy_status(cls, crops: Any = None, **_: Any) -> list[str]:
        """Return the inputs that must be computed: without a face, no new faces are needed."""
        return [] if isinstance(crops, Crops) and not len(crops) else ["new_faces"]

    @classmethod
    def execute(
        cls,
        image: Tensor,
        crops: Crops,
        part: str,
        grow: float,
        feather: float,
        new_faces: Any = None,
        color_match: float = 0.0,
    ) -> io.NodeOutput:
        check_image(image)
        check_crops(crops)
        check_choice("part", part, PASTED_PARTS)
        if not len(crops):
            return io.NodeOutput(image, ui=host.note("no face: the pictures pass through unchanged"))
        check_image(new_faces, "new_faces")
        blend = Blend(part, grow, feather, color_match)
        pasted = paste(image, crops, new_faces, blend, host.progress(len(crops)))
        lines = [f"{counted(len(crops), 'face')} pasted into {counted(len(image), 'picture')}"]
        if cut := cut_off(crops, blend):
            lines.append(
                f"⚠ {counted(len(cut), 'face')}: the {part} reaches beyond the crop, where a straight edge may show; "
                "raise margin in Crop Faces, or lower grow"
            )
        return io.NodeOutput(pasted, ui=host.note("\n".join(lines)))
