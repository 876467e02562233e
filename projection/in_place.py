"""Let each face act in its own part of the picture: a conditioning entry with a mask for each face, one for the rest.

ComfyUI averages the model's predictions for the entries of a conditioning, weighted by their masks in each pixel of the
latent. The masks made here add up to 1 everywhere, so each pixel gets the prediction of the face that owns it, that of
the unchanged prompt where no face is, and a mixture along the soft edges.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..common.errors import InputError
from ..common.words import counted
from ..perception.regions.coverage import Mask
from ..perception.regions.masks import mask, owned, rectangle
from ..perception.regions.parts import HEAD, face_height
from ..perception.vector import Perceptions
from .conditioning import Conditioning, Entry, check_range, scheduled

GROW, FEATHER = 0.05, 0.2  # of a head's mask, as shares of the face's height
LONGEST_SIDE = 256  # pixels of a mask; latents are 64 to 256 pixels wide
ROUNDING = 1 / 64  # of the picture: a pixel of the smallest usual latents
NUMBER = r"\d+(?:\.\d+)?"

Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture


@dataclass(frozen=True)
class Places:
    """Where each of F faces acts, without overlaps."""

    regions: list[Tensor]  # F × (1, H, W), 0…1, with a sum of at most 1
    hidden: list[int]  # faces that larger ones leave less than half of their place


def places_of_heads(perceptions: Perceptions) -> Places:
    """Return the places of the heads of all faces, as if they were in one picture."""
    height, width = perceptions.image_sizes[0].tolist()
    scale = LONGEST_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    heads = [mask(face, size, HEAD, GROW, FEATHER) for face in perceptions]
    return _without_overlaps(heads, [face_height(face, size) for face in perceptions])


def places_of_boxes(boxes: Sequence[Box]) -> Places:
    """Return the places of boxes; of two that overlap, the higher one is in front."""
    masks = [rectangle(box, (LONGEST_SIDE, LONGEST_SIDE), FEATHER) for box in boxes]
    return _without_overlaps(masks, [bottom - top for _, top, _, bottom in boxes])


def _without_overlaps(masks: Sequence[Mask], heights: Sequence[float]) -> Places:
    regions = owned(masks, heights)
    hidden = [index for index, whole in enumerate(masks) if regions[index].sum() < whole.sum() / 2]
    return Places([torch.from_numpy(region)[None] for region in regions], hidden)


def parse_boxes(text: str, faces: int) -> list[Box]:
    """Return the boxes in a text: left, top, right, bottom in percent of the picture, a line or a ; for each face.

    Raises ValueError, naming the box, if it does not have these four numbers in order or has shares of 1, and if there
    is not one box for each of the `faces`.
    """
    boxes: list[Box] = []
    for part in filter(None, map(str.strip, re.split(r"[;\n]", text))):
        numbers = [float(number) / 100 for number in re.findall(NUMBER, part)]
        plain = re.fullmatch(rf"{NUMBER}(?:[\s,]+{NUMBER}){{3}}", part)
        if plain is None or not (numbers[0] < numbers[2] <= 1 and numbers[1] < numbers[3] <= 1):
            raise InputError(
                f"boxes: {part!r} is not a box. Write left, top, right and bottom in percent of the picture, 0 to 100, "
                "for each face, such as 5 10 45 70; 55 10 95 70"
            )
        if max(numbers) <= 0.01:
            raise InputError(
                f"boxes: {part!r} lies within the first percent of the picture. Write percent, 0 to 100, not shares"
            )
        left, top, right, bottom = numbers
        boxes.append((left, top, right, bottom))
    if len(boxes) != faces:
        raise InputError(
            f"boxes has {counted(len(boxes), 'box', 'boxes')} for {counted(faces, 'face')}. Write one for each face"
        )
    return boxes


def in_place(
    conditioning: Conditioning,
    versions: Sequence[Conditioning],
    regions: Sequence[Tensor],
    start_percent: float,
    end_percent: float,
) -> list[list[Any]]:
    """Return a conditioning that is one of its `versions` in each of the regions, and unchanged elsewhere.

    Args:
        versions: the conditioning as changed by each face for the whole sampling, with the same entries.
        regions: for each version, where it acts: (1, H, W), 0…1, with a sum of at most 1.
        start_percent, end_percent: the part of the sampling in which the faces act, 0…1; see `inject`.

    A mask that an entry already has is multiplied by the regions. Versions that change no tokens, and regions of 0
    everywhere, add no entry. Raises InputError with the remedy for an invalid range.
    """
    check_range(start_percent, end_percent)
    acting = [
        (version, region)
        for version, region in zip(versions, regions, strict=True)
        if region.any() and any(new[0] is not old[0] for new, old in zip(version, conditioning, strict=True))
    ]
    if not acting:
        return [[tokens, dict(options)] for tokens, options in conditioning]
    rest = (1 - torch.stack([region for _, region in acting]).sum(dim=0)).clamp(0, 1)
    result: list[list[Any]] = []
    for index, (tokens, options) in enumerate(conditioning):
        before: Entry = (tokens, options)
        result += scheduled(before, masked(before, rest), start_percent, end_percent)
        for version, region in acting:
            changed, others = version[index]
            after = masked((changed, others), region)
            result += scheduled(before, after, start_percent, end_percent, around=False)
    return result


def masked(entry: Entry, region: Tensor) -> Entry:
    """Return an entry that acts in a region (1, H, W) only, and there as strongly as its own mask lets it.

    The area that the network sees stays the same.
    """
    tokens, options = entry
    own = options.get("mask")
    if own is None:
        return tokens, {**options, "mask": region, "mask_strength": 1.0, "set_area_to_bounds": False}
    own = own if own.ndim == 3 else own[None]
    size = [max(sides) for sides in zip(own.shape[-2:], region.shape[-2:], strict=True)]
    whole, part = (interpolate(some[:, None].to(own), size=size, mode="bilinear")[:, 0] for some in (own, region))
    options = {**options, "mask": whole * part}
    if options.get("set_area_to_bounds") and own.any():
        options |= {"area": bounds(own), "set_area_to_bounds": False}
    return tokens, options


def bounds(mask: Tensor) -> tuple[str, float, float, float, float]:
    """Return the bounds of a mask (B, H, W) as ComfyUI's area: height, width, top and left as shares of the picture.

    They are a little wider, so that nothing is cut off when ComfyUI rounds them to the pixels of the latent.
    """
    shares: list[tuple[float, float]] = []
    for axis in (1, 2):
        used = mask.ne(0).movedim(axis, 0).flatten(1).any(dim=1).nonzero()[:, 0]
        first, last = int(used[0]) / mask.shape[axis], (int(used[-1]) + 1) / mask.shape[axis]
        shares.append((max(0.0, first - ROUNDING), min(1.0, last + ROUNDING)))
    (top, bottom), (left, right) = shares
    return "percentage", bottom - top, right - left, top, left
