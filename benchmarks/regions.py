"""Time the masks of a face's parts in a picture of 1024 × 1024, in CPU time of one thread.

    python benchmarks/regions.py [--repeats 50]

The face is that of scikit-image's `astronaut`, once 512 pixels high from chin to forehead and once 1024, where its head
is larger than the picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from time import thread_time

import torch
from skimage import data

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.regions import masks
from perception_clip.perception.regions.parts import face_height
from perception_clip.perception.vector import Perception

SIZE = (1024, 1024)
SETTINGS = ((0.0, 0.0), (0.05, 0.0), (0.0, 0.1))  # grow, feather


def scaled(face: Perception, height: int) -> Perception:
    """Return the face in the middle of the picture, `height` pixels high."""
    points = (face.landmarks - face.landmarks.mean(dim=0)) * height / face_height(face, SIZE)
    return replace(face, vector=torch.cat([(points + 0.5).flatten(), face.emotions]))


def timed(work: Callable[[], object], repeats: int) -> str:
    """Return the median (range) in milliseconds."""
    times = []
    for _ in range(repeats):
        start = thread_time()
        work()
        times.append(1000 * (thread_time() - start))
    return f"{median(times):.1f} ({min(times):.1f} to {max(times):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50, help="timings per figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    face = PerceptionPipeline()([data.astronaut()])[0]
    print("| part | face, pixels | plain | grow 0.05 | feather 0.1 |\n|---|---|---|---|---|")
    for part in masks.PARTS:
        for height in (512, 1024):
            some = scaled(face, height)
            cells = [
                timed(partial(masks.mask, some, SIZE, part, grow, feather), arguments.repeats)
                for grow, feather in SETTINGS
            ]
            print(f"| {part} | {height} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
