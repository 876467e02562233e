"""Time Crop Faces and Paste Faces, and measure what a round trip changes, compared with Pillow's resizing.

    python benchmarks/crops.py [--rounds 15]

Two photos, upright and turned by 30°, as pictures of 1024 × 1024. The baseline cuts a straight square at whole pixels,
resizes it with Pillow (Lanczos) and back, and blends it with the same mask. Needs scikit-image and matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import thread_time

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.regions.crops import Crops, crops_of, cut
from perception_clip.perception.regions.masks import mask
from perception_clip.perception.regions.pasting import Blend, paste
from perception_clip.perception.regions.resampling import resample
from perception_clip.perception.vector import Perceptions
from perception_clip.training.commands.demo import sample_photos

SIDE = 1024  # pixels, of the pictures
SIZES = (256, 512, 1024)  # pixels, of the crops
MARGIN = 0.4
BLEND = Blend(grow=0.05, feather=0.15)


def pictures() -> list[Tensor]:
    """Return pictures (1, SIDE, SIDE, 3) in 0…1: each photo, and the same turned by 30°."""
    result = []
    for photo in sample_photos():
        height, width = photo.picture.shape[:2]
        for degrees in (0.0, 30.0):
            cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
            axes = torch.tensor([[cos, -sin], [sin, cos]]) * (min(height, width) / SIDE)
            corner = torch.tensor([width / 2, height / 2]).double() - axes @ torch.full((2,), SIDE / 2).double()
            result.append(resample(photo.picture / 255, corner, axes, SIDE, SIDE)[None])
    return result


def by_pillow(picture: Tensor, crops: Crops) -> Tensor:
    """Return a picture after a round trip of its face through Pillow."""
    center, side = crops.squares.centers[0], int(crops.squares.sides[0].ceil())
    left, top = (center - side / 2).round().clamp(0, SIDE - side).int().tolist()
    part = picture[0, top : top + side, left : left + side]
    image = Image.fromarray((part * 255).round().byte().numpy())
    lanczos = Image.Resampling.LANCZOS
    back = np.asarray(image.resize((crops.size, crops.size), lanczos).resize((side, side), lanczos)) / np.float32(255)
    weights = torch.from_numpy(mask(crops.faces[0], (SIDE, SIDE), BLEND.part, BLEND.grow, BLEND.feather))[..., None]
    pasted = picture.clone()
    pasted[0, top : top + side, left : left + side] = torch.from_numpy(back)
    return torch.lerp(picture, pasted, weights)


def milliseconds(work: Callable[[], object], rounds: int) -> str:
    """Return the median (range) of the CPU time of one thread."""
    times = []
    for _ in range(rounds):
        start = thread_time()
        work()
        times.append(1000 * (thread_time() - start))
    return f"{median(times):.0f} ({min(times):.0f} to {max(times):.0f})"


def errors(picture: Tensor, face: Perceptions, size: int, template: Tensor) -> list[float]:
    """Return the mean change inside and the largest outside, the first without detail and by Pillow, in 1/255."""
    crops = crops_of(face, size, MARGIN, template)
    weights = torch.from_numpy(mask(face[0], (SIDE, SIDE), BLEND.part, BLEND.grow, BLEND.feather))
    crop, inside = cut(picture, crops), weights == 1
    back = (paste(picture, crops, crop, BLEND) - picture)[0].abs()
    other = paste(picture * 0.5, crops, crop * 0.5 + 0.5, BLEND)[0]  # too different for detail to be restored
    alone = 2 * (other - picture[0] * 0.5 - 0.5).abs()
    pillow = (by_pillow(picture, crops_of(face, size, MARGIN, None)) - picture)[0].abs()
    values = back[inside].mean(), back[weights == 0].max(), alone[inside].mean(), pillow[inside].mean()
    return [255 * float(value) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="timings per figure")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    template, pipeline, shown = ExpressionModel.load().template, PerceptionPipeline(detector="standard"), pictures()
    faces = [pipeline(picture) for picture in shown]
    print("| crop | round trip: inside | outside | without detail | Pillow | cut, ms | paste, ms |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        means = np.mean([errors(*one, size, template) for one in zip(shown, faces, strict=True)], axis=0)
        crops = crops_of(faces[-1], size, MARGIN, template)
        crop = cut(shown[-1], crops)
        cells = [f"{value:.2f}" for value in means]
        cells.append(milliseconds(partial(cut, shown[-1], crops), rounds))
        cells.append(milliseconds(partial(paste, shown[-1], crops, crop, BLEND), rounds))
        print(f"| {size} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
