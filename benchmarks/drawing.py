"""Time the drawing of overlays and control pictures, in CPU time of one thread, so that other work hardly matters.

    python benchmarks/drawing.py [--video ../shared/data/video/expressive_face.mp4] [--repeats 25]

The pictures show the face of scikit-image's `astronaut`, once or several times, at typical sizes. The video's frames
are read and perceived first; only the drawing is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import thread_time

import numpy as np
import torch
from inputs import need
from PIL import Image
from skimage import data
from torch import Tensor

from perception_clip.perception.control.pictures import KINDS, control_pictures
from perception_clip.perception.drawing.overlay import Overlay, draw_batch
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.videos import Video
from perception_clip.perception.vector import Perception, pack

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 120  # of the video
SCENES = (  # (width, height), side of a face's photo in pixels, columns, rows
    ((128, 128), 128, 1, 1),
    ((640, 360), 330, 1, 1),
    ((1920, 1080), 360, 5, 1),
    ((1920, 1080), 90, 10, 10),
    ((3840, 2160), 2000, 1, 1),
)


def draw(picture: Tensor, faces: list[Perception]) -> Tensor:
    return Overlay().draw(picture, faces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, default=ROOT.parent / "shared/data/video/expressive_face.mp4")
    parser.add_argument("--repeats", type=int, default=25, help="timings per figure")
    arguments = parser.parse_args()
    need(arguments.video, "give a video of a face with --video")
    torch.set_num_threads(1)
    perceive = PerceptionPipeline()
    crop = Image.fromarray(data.astronaut()).crop((90, 0, 364, 274))
    face = perceive(np.asarray(crop))[0]

    print("| picture | faces | ms per picture: median (range) |")
    print("|---|---|---|")
    for size, side, columns, rows in SCENES:
        picture, faces = scene(crop, face, size, side, columns, rows)
        work = partial(draw, picture, faces)
        report(f"{size[0]} × {size[1]}", f"{len(faces)}", work, arguments.repeats)
    if arguments.video.is_file():
        frames = read_video(arguments.video, FRAMES)
        perceptions = perceive(frames)
        name = f"{len(frames)} frames of a {frames[0].shape[1]} × {frames[0].shape[0]} video"
        count = f"{len(perceptions) / len(frames):.0f}"
        report(name, count, partial(draw_batch, frames, perceptions), 5, pictures=len(frames))
        everything = partial(draw_batch, frames, perceptions, mesh=True, tracks=True)
        report(f"{name}, with mesh and tracks", count, everything, 5, pictures=len(frames))
    print("\n| control picture, 1024 × 1024 | faces | ms per picture: median (range) |")
    print("|---|---|---|")
    points = face.landmarks[:, :2].double().numpy() * 1024  # a third of the width
    for kind in KINDS:
        work = partial(control_pictures, kind, [[points]], (1024, 1024), lambda done: None)
        report(kind, "1", work, arguments.repeats)


def scene(
    crop: Image.Image, face: Perception, size: tuple[int, int], side: int, columns: int, rows: int
) -> tuple[Tensor, list[Perception]]:
    """Return a gray (width, height) picture, (H, W, 3) uint8, with a grid of copies of a face, `side` pixels each."""
    canvas = Image.new("RGB", size, (96, 104, 112))
    copy = crop.resize((side, side), Image.Resampling.LANCZOS)
    faces = []
    for index in range(columns * rows):
        row, column = divmod(index, columns)
        left = round((column + 0.5) * size[0] / columns - side / 2)
        top = round((row + 0.5) * size[1] / rows - side / 2)
        canvas.paste(copy, (left, top))
        landmarks = face.landmarks * side + torch.tensor([left, top, 0])
        landmarks /= torch.tensor([size[0], size[1], size[0]])
        box = [edge * side / crop.width + (left, top)[i % 2] for i, edge in enumerate(face.box)]
        vector = pack(landmarks[None], face.emotions[None])[0]
        faces.append(
            Perception(vector, (size[1], size[0]), 0, (box[0], box[1], box[2], box[3]), score=1.0, track=index)
        )
    return torch.from_numpy(np.array(canvas)), faces


def read_video(path: Path, count: int) -> list[Tensor]:
    """Return the first frames of a video, (H, W, 3) uint8."""
    return [frame.picture for frame in islice(Video(path).frames(), count)]


def report(name: str, faces: str, work: Callable[[], object], repeats: int, pictures: int = 1) -> None:
    """Print one row of the table; the first run, which fills the caches, is not timed."""
    work()
    times = []
    for _ in range(repeats):
        start = thread_time()
        work()
        times.append((thread_time() - start) / pictures * 1000)
    print(f"| {name} | {faces} | **{median(times):.1f}** ({min(times):.1f} to {max(times):.1f}) |")


if __name__ == "__main__":
    main()
