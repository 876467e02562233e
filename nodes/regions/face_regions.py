"""The Face Regions node: masks and boxes of the parts of faces."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted, listed
from ...perception.regions.batch import boxes_of_pictures, masks_of_faces, masks_of_pictures
from ...perception.regions.masks import PARTS
from ...perception.vector import UNKNOWN_SIZE, Perceptions
from ..support import host
from ..support.checks import check_choice, check_image, check_perceptions
from ..support.schema import PERCEPTION, aliases, extent

BOUNDING_BOX = io.Custom("BOUNDING_BOX")  # a type of newer versions of ComfyUI: a list of boxes for each picture
PER_PICTURE, PER_FACE = "per picture", "per face"
SHADE = 0.25  # brightness of what a mask leaves out, in the preview
LISTED = 8  # pictures without a face in the note
STRETCHED = 0.02  # difference of proportions; resizing to multiples of 8 or 16 changes them a little


class FaceRegions(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Returns masks and boxes of a part of faces: head, face, skin, eyes, brows, nose, mouth or lips."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_FaceRegions",
            display_name="Face Regions",
            category="Perception CLIP/regions",
            description=(
                "Makes masks and boxes of a part of faces, such as the head, the eyes or the lips: for inpainting, for "
                "conditioning with a mask, for compositing. Edges grow and soften in proportion to each face."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception, also edited or scheduled ones."),
                io.Combo.Input(
                    "part",
                    options=list(PARTS),
                    default="head",
                    tooltip="head: the face with forehead, hair and ears. face oval: from the forehead to the chin. "
                    "skin: the oval without eyes and mouth. mouth: the lips with what is between them. outside: "
                    "everything but the heads.",
                ),
                io.Combo.Input(
                    "masks",
                    options=[PER_PICTURE, PER_FACE],
                    default=PER_PICTURE,
                    tooltip="per picture: one mask for each picture, with the part of all its faces. per face: one "
                    "mask for each face; where two overlap, the larger face is in front.",
                ),
                io.Float.Input(
                    "grow",
                    default=0.0,
                    min=-0.5,
                    max=1.0,
                    step=0.01,
                    tooltip="How far the edge moves outward, −0.5 to 1, as a share of the face's height from chin to "
                    "forehead; negative values shrink the mask.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Width of the soft edge, 0 to 1, as a share of the face's height, half of it on each side.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Optional: pictures of the size that the masks are to have, which the node shows with the "
                    "masks. Without it, masks have the size of the pictures that the faces were detected in.",
                ),
            ],
            outputs=[
                io.Mask.Output("mask", display_name="mask", tooltip="A mask for each picture or face, 0 to 1."),
                BOUNDING_BOX.Output(
                    "bboxes",
                    display_name="bboxes",
                    tooltip="The box of the part of every face, in pixels, a list for each picture.",
                ),
            ],
            **aliases("face mask", "head mask", "eye mask", "lips mask", "bbox", "bounding box", "segment face"),
        )

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        part: str,
        masks: str,
        grow: float,
        feather: float,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("part", part, PARTS)
        check_choice("masks", masks, (PER_PICTURE, PER_FACE))
        if image is not None:
            check_image(image)
        size = size_of(perception, image)
        draw = masks_of_pictures if masks == PER_PICTURE else masks_of_faces
        drawn = draw(perception, size, part, grow, feather, host.progress(perception.frame_count))
        if not len(drawn):  # so that nodes behind it run
            drawn = torch.zeros(1, size[1], size[0])
        frames = list(range(len(drawn))) if masks == PER_PICTURE else perception.frames.tolist()
        shown = host.preview([preview(mask, image, frame) for mask, frame in zip(drawn, frames or [0], strict=True)])
        boxes = boxes_of_pictures(perception, size, part, grow)
        lines = note(perception, len(drawn), size)
        if image is None and not len(perception):
            lines += "\n⚠ the size is assumed, as no picture has a face; connect image"
        return io.NodeOutput(drawn, boxes, ui={**host.note(lines), **shown})


def size_of(perceptions: Perceptions, image: Tensor | None) -> tuple[int, int]:
    """Return the (width, height) of masks: that of `image`, or else of the pictures that the faces are from.

    Raises ValueError if the image has no pixels, or the pictures have several sizes.
    """
    if image is not None:
        if 0 in image.shape[1:]:
            raise InputError(f"image has no pixels: its shape is {tuple(image.shape)}")
        return image.shape[2], image.shape[1]
    sizes = {(width, height) for height, width in perceptions.image_sizes.tolist()}
    if len(sizes) > 1:
        several = ", ".join(f"{width} × {height}" for width, height in sorted(sizes))
        raise InputError(f"the faces are from pictures of several sizes ({several}). Connect image for one size")
    return sizes.pop() if sizes else UNKNOWN_SIZE[::-1]


def preview(mask: Tensor, image: Tensor | None, frame: int) -> Tensor:
    """Return a picture (H, W, 3) of a mask (H, W): the frame of the image with its other parts darkened, if given."""
    if image is None or not len(image):
        return mask[..., None].expand(-1, -1, 3)
    picture = image[min(frame, len(image) - 1), ..., :3].cpu()
    return picture.expand(-1, -1, 3) * (SHADE + (1 - SHADE) * mask[..., None])


def note(perceptions: Perceptions, masks: int, size: tuple[int, int]) -> str:
    """Return the message on the node: the numbers of faces and masks, their size, and what may be wrong with them."""
    width, height = size
    lines = [extent(perceptions), f"{counted(masks, 'mask')} of {width} × {height}"]
    for tall, wide in perceptions.image_sizes.unique(dim=0).tolist():
        if abs(wide * height / (width * tall) - 1) > STRETCHED:
            lines.append(
                f"⚠ masks are stretched: image is {width} × {height}, but faces were detected in {wide} × {tall}. "
                "Connect the pictures that they were detected in, at any scale"
            )
    if empty := perceptions.empty_frames:
        lines.append(
            f"⚠ no face in {'picture' if len(empty) == 1 else 'pictures'} {listed(list(map(str, empty)), LISTED)}"
        )
    return "\n".join(lines)
