"""Time a build beside the perception pipeline alone, taking turns in one run; then kill builds at random moments.

    python benchmarks/build.py [--photos FOLDER] [--pictures 500] [--rounds 5] [--kills 50]

The pipeline alone gets pictures that are decoded already; the build reads and decodes the same files and makes every
sample safe on the disk. It is timed with its prompts encoded before, which is a cost per prompt, not per picture, and
with encoding them (by the random-weight placeholder, far smaller than CLIP). Killed builds are checked one by one: by
SQLite's own integrity check, and that every sample that was acknowledged is there, once.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from inputs import need
from matplotlib import cbook
from PIL import Image
from skimage import data

from perception_clip.perception.landmarks.detectors import FOR_PICTURES
from perception_clip.perception.pictures import read_picture
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.selection import Selection
from perception_clip.training.building.build import build
from perception_clip.training.building.item_reader import BuildOptions
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.base import KnownPrompts
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.prompts.templates import Templates
from perception_clip.training.sources import find_items

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "training" / "building"))
from killing import kill_builds

SIZE = 512
LABELS = ("angry", "happy", "sad", "surprise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of further photos (.jpg, .png)")
    parser.add_argument("--pictures", type=int, default=500, help="pictures to build from (default 500)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of each (default 5)")
    parser.add_argument("--kills", type=int, default=50, help="builds to kill (default 50)")
    parser.add_argument("--cores", type=int, default=2, help="processor cores for each (default 2)")
    arguments = parser.parse_args()
    need(arguments.photos, "give an existing folder of photos with --photos, or leave it out")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {arguments.cores} cores")
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_pictures(Path(folder) / "faces", load_photos(arguments.photos), arguments.pictures)
        if arguments.rounds:
            compare(pictures, Path(folder), arguments.rounds)
        if arguments.kills:
            kill(Path(folder), load_photos(arguments.photos), arguments.kills)


def load_photos(folder: Path | None) -> list[Image.Image]:
    photos = [Image.fromarray(data.astronaut()), Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))]
    for path in sorted(folder.iterdir()) if folder else []:
        if path.suffix in (".jpg", ".png"):
            photos.append(Image.open(path))
    return [photo.convert("RGB").resize((SIZE, SIZE)) for photo in photos]


def make_pictures(root: Path, photos: list[Image.Image], count: int) -> Path:
    """So many JPEGs in a folder per label, no two alike."""
    for number in range(count):
        path = root / LABELS[number % len(LABELS)] / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photos[number % len(photos)].rotate(number % 21 - 10).save(path, quality=90 - number // len(photos) % 20)
    return root


def compare(folder: Path, scratch: Path, rounds: int) -> None:
    items, options, encoder = find_items(folder).items, BuildOptions(Templates.load()), load_encoder("random")
    pipeline = PerceptionPipeline(detector=FOR_PICTURES, selection=Selection(max_faces=1))
    decoded = [read_picture(item.media.path) for item in items]
    pipeline(decoded[:32])
    encoded = KnownPrompts.encoded(encoder, [prompt for item in items for prompt in options.prompts(item)])
    alone: list[float] = []
    built: dict[str, list[float]] = {"build": [], "encoding prompts too": []}
    for number in range(rounds):
        started = time.perf_counter()
        faces = len(pipeline(decoded))
        alone.append(time.perf_counter() - started)
        for name, with_encoder in zip(built, (encoded, encoder), strict=True):
            started = time.perf_counter()
            with Store(scratch / f"{name} {number}.db") as store:
                summary = build(items, store, pipeline, with_encoder, options, workers=torch.get_num_threads())
                assert summary.faces == faces == len(store)
            built[name].append(time.perf_counter() - started)
    print(f"{len(items)} pictures of {SIZE}×{SIZE}, {faces} faces; seconds, median (range) of {rounds} rounds")
    print(f"{'pipeline alone':>20}: {spread(alone)}")
    for name, values in built.items():
        ratios = [mine / rival for mine, rival in zip(values, alone, strict=True)]
        print(f"{name:>20}: {spread(values)}, ratio {spread(ratios)}")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def kill(scratch: Path, photos: list[Image.Image], kills: int) -> None:
    folder = make_pictures(scratch / "few", photos, 60)
    started = time.perf_counter()
    outcome = kill_builds(folder, scratch / "killed" / "a.db", kills, longest=1.5)
    print(
        f"{outcome.killed} builds killed at random moments, {outcome.finished} finished: {outcome.lost} acknowledged "
        f"samples lost, {outcome.doubled} doubled, every file sound; {time.perf_counter() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
