"""Convert pictures of any form to (H, W, 3) uint8 RGB tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import PerceptionClipError
from .float_tiff import read_float_tiff

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = Tensor | NDArray[Any]
    Pictures = Picture | Sequence[Picture]

MAX_FLOAT = 16.0  # a float picture beyond this is in 0…255 by mistake; below it is merely overexposed


BATCH_BYTES = 256 << 20  # of pixels worked on at once: ten pictures of 4K


class PictureError(PerceptionClipError, ValueError):
    """A picture that cannot be used; the message names it and the reason."""


def read_picture(path: Path | BytesIO, name: str = "") -> Tensor:
    """Return a picture file as (H, W, 3) uint8 RGB, rotated upright by its EXIF tag; alpha is dropped.

    Float pictures range from 0 to 1 or, if any value is above MAX_FLOAT, from 0 to 255.

    Raises PictureError with the file name, or with `name`, if the file is missing, corrupt or not a picture.
    """
    from PIL import Image, UnidentifiedImageError

    name = name or str(path)
    try:
        return _as_rgb(_decoded(path), name=name)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{name}: there is no such file") from error
    except UnidentifiedImageError as error:
        raise PictureError(f"{name}: this is not a picture, or has a format that Pillow cannot read") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise PictureError(
            f"{name}: the picture has more than {most:.0f} megapixels; make it smaller, or read it with "
            "--max-megapixels if you trust it"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"{name}: the picture cannot be read ({error})") from error


def _decoded(path: Path | BytesIO) -> Tensor:
    """Return the pixels of a file: gray (H, W) or RGB (H, W, 3), uint8, or floats in 0…1."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode == "F":
                return _unit_range(np.array(upright))
            if upright.mode.startswith("I"):  # 16-bit grays, which Pillow would clip at 255
                gray = np.asarray(upright).astype(np.int64).clip(0, 65535) // 257
                return torch.from_numpy(gray.astype(np.uint8))
            return torch.from_numpy(np.array(upright.convert("RGB")))
    except UnidentifiedImageError:
        if (floats := read_float_tiff(path)) is None:
            raise
        return _unit_range(floats)


def _unit_range(pixels: NDArray[Any]) -> Tensor:
    """Return float pixels in 0…1 if they are in 0…255, which is so if any is clearly above 1."""
    values = torch.from_numpy(pixels)
    return values / 255 if len(pixels) and values.max() > MAX_FLOAT else values


def to_pictures(pictures: Pictures) -> list[Tensor]:
    """Return a list of (H, W, 3) uint8 RGB tensors from one picture, a batch, or a sequence of pictures of any size.

    A picture is an array or tensor (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); a batch has one more dimension
    in front (ComfyUI's IMAGE is (B, H, W, 3) float). uint8 counts 0…255, uint16 0…65535, floats 0…1. A fourth
    channel (alpha) is dropped. Raises PictureError with the picture number for NaN or infinite pixels, other
    shapes or types, empty pictures, or floats that are clearly in 0…255.
    """
    return [to_picture(item, index) for index, item in enumerate(separate(pictures))]


def separate(pictures: Pictures) -> list[Picture]:
    """Return a list of the pictures in one picture, a batch, or a sequence, neither copied nor converted."""
    if isinstance(pictures, (Tensor, np.ndarray)):
        single = pictures.ndim == 2 or (pictures.ndim == 3 and pictures.shape[-1] in (1, 3, 4))
        return [pictures] if single else list(pictures)
    return list(pictures)


def batches(pictures: Iterable[Tensor], count: int) -> Iterator[list[Tensor]]:
    """Yield the pictures in lists of at most `count` and, if a list has more than one, at most `BATCH_BYTES`."""
    batch: list[Tensor] = []
    size = 0
    for picture in pictures:
        if batch and (len(batch) == count or size + picture.nbytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(picture)
        size += picture.nbytes
    if batch:
        yield batch


def to_picture(picture: Picture, index: int) -> Tensor:
    """Return one picture as in `to_pictures`; `index` is its number in errors."""
    return _as_rgb(_as_tensor(picture), name=f"picture {index}")


def _as_tensor(picture: Picture) -> Tensor:
    """Return the same pixels as a tensor; read-only or reversed arrays are copied, since torch does not accept them."""
    if isinstance(picture, np.ndarray) and not (picture.flags.writeable and min(picture.strides, default=0) >= 0):
        picture = picture.copy()
    return torch.as_tensor(picture)


def _as_rgb(picture: Tensor, name: str) -> Tensor:
    """Return (H, W) or (H, W, C) pixels of any type as (H, W, 3) uint8."""
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.ndim != 3 or picture.shape[-1] not in (1, 3, 4):
        raise PictureError(
            f"{name} must have the shape (H, W) or (H, W, 1, 3 or 4 channels), not {tuple(picture.shape)}"
        )
    if 0 in picture.shape:
        raise PictureError(f"{name} has no pixels: its shape is {tuple(picture.shape)}")
    picture = _as_bytes(picture[..., :3].detach().cpu(), name)
    return picture.expand(-1, -1, 3).contiguous()


def _as_bytes(picture: Tensor, name: str) -> Tensor:
    if picture.dtype == torch.uint8:
        return picture
    if picture.dtype == torch.uint16:
        return (picture.to(torch.int32) // 257).to(torch.uint8)
    if not picture.is_floating_point():
        raise PictureError(f"{name} has pixels of type {picture.dtype}; use uint8, uint16 or floats in 0…1")
    low, high = picture.aminmax()  # NaN in any pixel makes both NaN
    if not (low.isfinite() and high.isfinite()):
        raise PictureError(f"{name} contains NaN or infinite pixels; check the node or code that created it")
    if high > MAX_FLOAT:
        raise PictureError(
            f"{name} has pixels up to {high:.0f}; float pictures range from 0 to 1, so divide by 255 first"
        )
    return picture.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)
