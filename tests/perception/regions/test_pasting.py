"""Faces pasted back: what stays, what changes, and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from perception_clip.perception.regions.crops import Crops, crops_of, cut
from perception_clip.perception.regions.masks import mask
from perception_clip.perception.regions.pasting import PASTED_PARTS, Blend, cut_off, paste
from perception_clip.perception.vector import pack

from ..reference_faces import MODEL, reference_faces
from .test_crops import as_image, face, square

TURNED = square(221, 106, 200, 30)  # around the astronaut's face


@pytest.fixture(scope="module")
def image(astronaut: np.ndarray) -> Tensor:
    return as_image(astronaut)


def weights(blend: Blend) -> Tensor:
    return torch.from_numpy(mask(face()[0], (512, 512), blend.part, blend.grow, blend.feather))


@pytest.mark.parametrize("part", PASTED_PARTS)
@pytest.mark.parametrize("size", [64, 256])
def test_a_round_trip_changes_nothing(image: Tensor, size: int, part: str) -> None:
    """Whether the crop is smaller or larger than the face in the picture."""
    for crops in (Crops(face(), TURNED, size), crops_of(face(), size, 0.4, None)):
        for color_match in (0.0, 1.0):
            blend = Blend(part, grow=0.1, feather=0.1, color_match=color_match)
            pasted = paste(image, crops, cut(image, crops), blend)
            assert torch.equal(pasted[0][weights(blend) == 0], image[0][weights(blend) == 0])
            assert (pasted - image).abs().max() <= (1e-4 if color_match else 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_pictures_of_other_precision_keep_it(image: Tensor, dtype: torch.dtype) -> None:
    crops = crops_of(face(), 64, 0.4, None)
    assert torch.equal(paste(image.to(dtype), crops, cut(image.to(dtype), crops), Blend()), image.to(dtype))


@pytest.mark.parametrize(("factor", "error"), [(0.5, 2.0), (1, 0.7), (2, 0.7)])
def test_new_faces_of_any_resolution_are_in_place(image: Tensor, factor: float, error: float) -> None:
    """Brightened so far that no detail of the old face comes back: what is seen is the turned crop alone."""
    crops = Crops(face(), TURNED, 256)
    new = F.interpolate(cut(image, crops).permute(0, 3, 1, 2), scale_factor=factor, mode="bicubic", antialias=True)
    blend = Blend(feather=0.1)
    pasted = paste(image, crops, (new.permute(0, 2, 3, 1) * 0.5 + 0.5).clamp(0, 1), blend)
    inside = weights(blend) == 1
    assert inside.sum() > 3000
    assert (pasted[0][inside] - (image[0][inside] * 0.5 + 0.5)).abs().mean() < error / 255
    assert torch.equal(pasted[0][weights(blend) == 0], image[0][weights(blend) == 0])
    edge = pasted[0] - image[0]
    assert edge[(weights(blend) > 0) & (weights(blend) < 0.05)].abs().mean() < 0.05  # no seam


def test_a_mask_that_reaches_beyond_the_crop_fades_out_at_its_border(image: Tensor) -> None:
    crops = crops_of(face(), 128, 0.0, None)
    pasted = paste(image, crops, torch.ones(1, 128, 128, 3), Blend("head", grow=1.0))
    changed = (pasted != image).any(dim=3)[0]
    side = float(crops.squares.sides)
    assert 0.95 * side**2 < changed.sum() <= side**2 + side
    steps = (pasted - image)[0].diff(dim=0).abs().amax(dim=2)
    assert steps[changed[1:]].max() < 1.0


def test_nearer_faces_are_pasted_over_farther_ones(image: Tensor) -> None:
    both = replace(reference_faces().select([0, 0]), frames=torch.zeros(2, dtype=torch.int64), frame_count=1)
    vectors = both.vectors.clone()
    points = vectors[1, :1434].view(478, 3)
    points[:] = (points - points.mean(dim=0)) * 1.5 + points.mean(dim=0)
    both = replace(both, vectors=vectors)
    red, green = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    new = torch.stack([red, green])[:, None, None].expand(2, 32, 32, 3)
    for order in ([0, 1], [1, 0]):
        crops = crops_of(both.select(order), 32, 0.4, MODEL.template)
        pasted = paste(image, crops, new[order], Blend())
        assert not (pasted[0] == red).all(dim=2).any() and (pasted[0] == green).all(dim=2).sum() > 5000


def test_colors_are_matched_as_far_as_wanted(image: Tensor) -> None:
    crops = Crops(face(), TURNED, 256)
    tinted = cut(image, crops) * torch.tensor([0.7, 0.75, 0.6]) + torch.tensor([0.02, 0.1, 0.1])
    inside = weights(Blend()) == 1
    none, half, full = (
        (paste(image, crops, tinted, Blend(color_match=amount)) - image)[0][inside].mean(dim=0).abs().max().item()
        for amount in (0.0, 0.5, 1.0)
    )
    assert none > 0.1 and half == pytest.approx(none / 2, rel=0.1) and full < 0.01


def test_a_fourth_channel_and_other_pictures_stay(image: Tensor) -> None:
    batch = torch.cat([image, torch.full_like(image[..., :1], 0.3)], dim=3).repeat(2, 1, 1, 1)
    second = replace(face(), frames=torch.ones(1, dtype=torch.int64), frame_count=2)
    pasted = paste(batch, crops_of(second, 64, 0.4, None), torch.zeros(1, 64, 64, 3), Blend())
    assert torch.equal(pasted[0], batch[0]) and torch.equal(pasted[..., 3], batch[..., 3])
    assert (pasted[1, ..., :3] == 0).all(dim=2).sum() > 3000
    assert torch.equal(batch[1], batch[0])  # the input itself is not written to


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        (
            (2, 64, 64, 3),
            0.0,
            "new_faces has 2 pictures, but crops has 1 face; connect the crops of the same Crop Faces",
        ),
        ((1, 64, 32, 3), 0.0, "new_faces is 32 × 64 pixels, but crops are square; connect the whole crops"),
        ((1, 64, 64, 2), 0.0, "new_faces has 2 channels; connect pictures in color"),
        ((1, 64, 64, 3), torch.nan, "new_faces has pixels that are not finite; check the node or model"),
    ],
)
def test_new_faces_that_are_not_the_crops_are_refused(
    shape: tuple[int, ...], value: float, message: str, image: Tensor
) -> None:
    with pytest.raises(ValueError, match=message):
        paste(image, crops_of(face(), 64, 0.4, None), torch.full(shape, value), Blend())


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="feather is nan; use a finite number"):
        Blend(feather=torch.nan)
    with pytest.raises(ValueError, match="margin is inf; use a finite number from 0"):
        crops_of(face(), 64, torch.inf, None)


def test_gray_pictures_become_colored(image: Tensor) -> None:
    crops = crops_of(face(), 64, 0.4, None)
    pasted = paste(image[..., :1], crops, torch.tensor([1.0, 0.5, 0.0]).expand(1, 64, 64, 3), Blend(color_match=0.0))
    assert pasted.shape == image.shape and (pasted[0, ..., 0] - pasted[0, ..., 2]).max() == 1
    gray = paste(image, crops, torch.full((1, 64, 64, 1), 0.5), Blend(color_match=0.5))
    assert gray.isfinite().all()


def test_parts_that_the_crop_cuts_off_are_named() -> None:
    upright = [crops_of(face(), 128, margin, MODEL.template) for margin in (0.0, 0.4, 0.5)]
    assert [cut_off(crops, Blend("head", 0.05, 0.15)) for crops in upright] == [[0], [0], []]
    assert [cut_off(crops, Blend("face oval", 0.05, 0.15)) for crops in upright] == [[0], [], []]
    points = face().landmarks
    beyond = points - torch.tensor([0.0, float(points[..., 1].min()), 0.0])  # the hair is above the picture
    higher = replace(face(), vectors=pack(beyond, face().emotions))
    assert cut_off(crops_of(higher, 128, 0.4, MODEL.template), Blend("head", 0.05, 0.15)) == []
