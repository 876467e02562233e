"""Paste faces back where they were cut out, with a soft edge, and with the colors of their surroundings if wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from .coverage import Window
from .crops import Crops, check_channels, check_pictures
from .masks import check_finite, mask
from .resampling import resample

PASTED_PARTS = ("face oval", "head")
BORDER = 0.04  # share of a crop's side over which it fades out at its border, if the mask reaches that far
GRID, CUT = 64, 0.5  # pixels of a crop in which its border is checked, and the weight there that shows
CONTRASTS = (0.5, 2.0)  # limits of how much matching colors changes the contrast
TOLERANCE = 8 / 255  # a new face that differs this much from the old one has none of its detail
AROUND = 5  # pixels, of the square in which they are compared
# BT.601: brightness, and how blue and how red a color is.
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@dataclass(frozen=True)
class Blend:
    """How faces are blended into their pictures. Raises InputError for numbers that are not finite."""

    part: str = "face oval"  # one of PASTED_PARTS
    grow: float = 0.0  # moves the mask's edge outward, as a share of the face's height
    feather: float = 0.1  # width of the soft edge, as a share of the face's height
    color_match: float = 0.0  # 0…1: share of the way to the colors of the picture

    def __post_init__(self) -> None:
        check_finite(grow=self.grow, feather=self.feather, color_match=self.color_match)


def paste(
    pictures: Tensor,
    crops: Crops,
    new_faces: Tensor,
    blend: Blend,
    progress: Callable[[int], object] = lambda done: None,
) -> Tensor:
    """Return pictures (B, H, W, C) with new faces (N, S, S, C) in 0…1, of any size S, in place of the crops.

    Larger faces, which are nearer, are pasted over smaller ones. Where a new face is like the old one, it gets the fine
    detail back that resampling loses, so an unchanged crop changes nothing. Pixels outside the masks stay the same, bit
    for bit, and so does a fourth channel. Raises InputError for another number of faces or pictures, for pictures of
    another size, and for new faces that are not square or have pixels that are not finite.
    """
    check_pictures(pictures, crops.faces)
    check_new_faces(new_faces, crops)
    device = pictures.device
    pictures, new_faces = (batch.cpu().expand(-1, -1, -1, max(3, batch.shape[3])) for batch in (pictures, new_faces))
    pasted = pictures.clone()
    for done, index in enumerate(crops.squares.sides.argsort(stable=True).tolist()):
        frame = int(crops.faces.frames[index])
        _paste_one(pasted[frame][..., :3], pictures[frame][..., :3], crops, index, new_faces[index][..., :3], blend)
        progress(done + 1)
    return pasted.to(device)


def cut_off(crops: Crops, blend: Blend) -> list[int]:
    """Return the faces whose part goes on beyond the border of the crop, within the picture, where it ends straight."""
    border = torch.ones(GRID, GRID, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    rows, columns = border.nonzero().T
    result = []
    for index, face in enumerate(replace(crops, size=GRID).seen):
        corner, axes = crops.corner_and_axes(index, GRID)
        places = corner + torch.stack([columns, rows], dim=1).double() @ axes.T  # (border, 2) in the picture
        in_picture = ((places >= 0) & (places < crops.faces.image_sizes[index].flip(0))).all(dim=1)
        weights = torch.from_numpy(mask(face, (GRID, GRID), blend.part, blend.grow, blend.feather))[rows, columns]
        if (weights[in_picture] > CUT).any():
            result.append(index)
    return result


def check_new_faces(new_faces: Tensor, crops: Crops) -> None:
    """Raise InputError unless there is one square picture, (N, S, S, 1, 3 or 4), for each crop."""
    count, height, width, channels = new_faces.shape
    if count != len(crops):
        raise InputError(
            f"new_faces has {counted(count, 'picture')}, but crops has {counted(len(crops), 'face')}; connect the "
            "crops of the same Crop Faces node, all of them and in the same order"
        )
    if height != width or not width:
        raise InputError(
            f"new_faces is {width} × {height} pixels, but crops are square; connect the whole crops, at any resolution"
        )
    check_channels("new_faces", channels)
    if not new_faces.isfinite().all():
        raise InputError("new_faces has pixels that are not finite; check the node or model that created it")


def _paste_one(pasted: Tensor, picture: Tensor, crops: Crops, index: int, new_face: Tensor, blend: Blend) -> None:
    """Paste a face into `pasted` (H, W, 3), in place; `picture` is the same without the faces pasted before."""
    height, width = picture.shape[:2]
    whole = torch.from_numpy(mask(crops.faces[index], (width, height), blend.part, blend.grow, blend.feather))
    rows, columns = whole.any(dim=1).nonzero()[:, 0], whole.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return
    window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    weights = (whole[window] * _inside(crops, index, window))[..., None]
    if not weights.any():
        return
    new, old = (_from_crop(face, crops, index, window) for face in (new_face, crops.cut(index, picture)))
    if blend.color_match:
        new = torch.lerp(new, match_colors(new, old, weights), blend.color_match)
    detailed = (picture[window] + (new - old)).clamp(0, 1)
    new = torch.lerp(new.to(detailed), detailed, _likeness(new, old).to(detailed)).to(pasted)
    pasted[window] = torch.where(weights > 0, torch.lerp(pasted[window], new, weights.to(pasted)), pasted[window])


def _from_crop(face: Tensor, crops: Crops, index: int, window: Window) -> Tensor:
    """Return a window of a picture as the picture of a crop (S, S, 3) shows it."""
    rows, columns = window
    corner, axes = crops.corner_and_axes(index, len(face))
    back = torch.linalg.inv(axes)
    start = torch.tensor([columns.start, rows.start]).double()
    return resample(face, back @ (start - corner), back, rows.stop - rows.start, columns.stop - columns.start)


def _likeness(new: Tensor, old: Tensor) -> Tensor:
    """Return how alike two pictures (H, W, 3) are around each pixel, (H, W, 1): 1 if equal, 0 from TOLERANCE on."""
    difference = (new - old).abs().mean(dim=2)[None, None]
    around = F.avg_pool2d(difference, AROUND, stride=1, padding=AROUND // 2, count_include_pad=False)
    return (1 - around / TOLERANCE).clamp(0, 1)[0, 0, ..., None]


def _inside(crops: Crops, index: int, window: Window) -> Tensor:
    """Return (H, W) for a window of a picture: 1 in a crop's square, falling to 0 at its border."""
    rows, columns = window
    x, y = torch.meshgrid(torch.arange(columns.start, columns.stop), torch.arange(rows.start, rows.stop), indexing="xy")
    places = torch.stack([x, y], dim=2).flatten(0, 1).float()[None]  # (1, H × W, 2)
    away = (crops.squares.take(torch.tensor([index])).inside(places).abs() - 0.5).amax(dim=2)
    return (-away / BORDER).clamp(0, 1).view(x.shape)


def match_colors(picture: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return a picture (H, W, 3) with mean and spread of brightness and both color differences like the target's.

    Both are weighted by `weights` (H, W, 1). The method is that of Reinhard et al. (2001), "Color transfer
    between images", in BT.601's YCbCr, whose channels are about as independent as those of the paper's space.
    """
    to_ycbcr = torch.tensor(YCBCR).to(picture)
    values = picture @ to_ycbcr.T
    mean, spread = _statistics(values, weights)
    target_mean, target_spread = _statistics(target @ to_ycbcr.T, weights)
    contrast = (target_spread / spread.clamp_min(1e-6)).clamp(*CONTRASTS)
    matched = (values - mean) * contrast + target_mean
    colors: Tensor = matched @ torch.linalg.inv(to_ycbcr).T
    return colors.clamp(0, 1)


def _statistics(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and standard deviation (3,) of each channel of values (H, W, 3)."""
    share = weights / weights.sum()
    mean = (values * share).sum(dim=(0, 1))
    return mean, ((values - mean).square() * share).sum(dim=(0, 1)).sqrt()
