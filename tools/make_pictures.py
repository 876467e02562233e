#!/usr/bin/env python3
"""Draw the pictures that the README and ComfyUI's template browser show, from two public-domain photos.

usage: python tools/make_pictures.py    (writes web/overview.jpg and workflows/*.jpg; needs scikit-image and
matplotlib)
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from perception_clip.perception.drawing import draw_batch
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.demo import sample_photos

ROOT = Path(__file__).resolve().parents[1]
HEIGHT = 480  # of the README's picture
SQUARE = 640  # side of a template's thumbnail
CAPTION = 80  # of it, for words below a face

Box = tuple[int, int, int, int]  # left, top, right, bottom in the photo
WIDE: dict[str, Box] = {"astronaut": (60, 0, 460, 400), "grace_hopper": (50, 60, 462, 560)}
TALL: dict[str, Box] = {"astronaut": (90, 0, 364, 480), "grace_hopper": (122, 70, 408, 570)}
SAYS = {"astronaut": "“a person smiling”", "grace_hopper": "“a calm person”"}
DARK, LIGHT = (24, 26, 31), (240, 240, 240)


def main() -> None:
    photos = {photo.name: photo.picture for photo in sample_photos()}
    wide = [_cropped(photos[name], box) for name, box in WIDE.items()]
    drawn = _perceived(wide)
    strip = [_scaled(picture, HEIGHT) for pair in zip(wide, drawn, strict=True) for picture in pair]
    _row(strip).save(ROOT / "web" / "overview.jpg", quality=88)

    square = _scaled(drawn[0], SQUARE)
    square.save(ROOT / "workflows" / "face_to_expression.jpg", quality=88)

    tall = _perceived([_cropped(photos[name], box) for name, box in TALL.items()])
    tiles = [_captioned(picture, words) for picture, words in zip(tall, SAYS.values(), strict=True)]
    _row(tiles).save(ROOT / "workflows" / "collect_dataset.jpg", quality=88)


def _cropped(picture: Tensor, box: Box) -> Tensor:
    left, top, right, bottom = box
    return picture[top:bottom, left:right].contiguous()


def _perceived(pictures: list[Tensor]) -> list[Tensor]:
    return draw_batch(pictures, PerceptionPipeline()(pictures))


def _scaled(picture: Tensor, height: int) -> Image.Image:
    image = Image.fromarray(picture.numpy())
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)


def _captioned(picture: Tensor, words: str) -> Image.Image:
    """Half a thumbnail: a face and the words below it."""
    canvas = Image.new("RGB", (SQUARE // 2, SQUARE), DARK)
    canvas.paste(_scaled(picture, SQUARE - CAPTION))
    font = ImageFont.load_default(30)
    at = (SQUARE / 4, SQUARE - CAPTION / 2)
    ImageDraw.Draw(canvas).text(at, words, fill=LIGHT, font=font, anchor="mm")
    return canvas


def _row(images: list[Image.Image]) -> Image.Image:
    canvas = Image.new("RGB", (sum(image.width for image in images), images[0].height), DARK)
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width
    return canvas


if __name__ == "__main__":
    main()
