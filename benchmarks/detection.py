"""Small faces: what the three detectors and MediaPipe's Face Landmarker find, and how long they take, in one run.

    python benchmarks/detection.py --data ../shared/data [--task-model face_landmarker.task]

Group pictures are composed from the photos in the folder (tests/perception/landmarks/group_pictures.py), so that every
true face is known; then the photos themselves and the frames of a film without a face are counted. The rivals need
mediapipe: its Face Landmarker on the whole picture, and on half-overlapping tiles of 320, 200 and 128 pixels, each
enlarged to 384. All run on the same processor cores, one after the other, picture by picture.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from perception_clip.perception.landmarks.boxes import distinct
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.landmarks.detectors import DETECTORS
from perception_clip.tests.perception.landmarks.group_pictures import (
    VIDEO,
    GroupPicture,
    compose,
    compress,
    load_portraits,
    load_scenes,
    match,
    read_video,
)

TILES = (320, 200, 128)  # pixels
TILE_INPUT = 384
KINDS = {
    "easy": {"heights": (24, 96), "turn": 15},
    "rolled": {"heights": (24, 96), "turn": 180},
    "hard": {"heights": (16, 40), "turn": 35},  # and dull, blurred and strongly compressed
}
FACELESS = "noface_"
Finder = Callable[[Tensor], Tensor]  # a picture (H, W, 3) uint8 → boxes (F, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with faces/ and video/")
    parser.add_argument("--task-model", type=Path, help="MediaPipe's face_landmarker.task; without it no rivals")
    parser.add_argument("--pictures", type=int, default=6, help="group pictures of each kind (default 6)")
    parser.add_argument("--frames", type=int, default=8, help="of so many frames of the film take one (default 8)")
    parser.add_argument("--cores", type=int, default=2, help="processor cores for each (default 2)")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)
    print(
        f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, {arguments.cores} cores"
    )

    groups = {kind: list(compose_all(arguments.data, kind, arguments.pictures)) for kind in KINDS}
    photos = load_photos(arguments.data / "faces")
    film = [torch.from_numpy(frame) for frame in read_video(arguments.data / "video" / VIDEO)[:: arguments.frames]]
    finders: dict[str, Finder] = {name: bundled(name) for name in DETECTORS}
    if arguments.task_model:
        whole = mediapipe_finder(arguments.task_model)
        finders |= {"wheel": whole, "tiled wheel": lambda picture: tiled(whole, picture)}
    for name, find in finders.items():
        find(photos["astronaut.png"])  # warm up
        for kind, pictures in groups.items():
            report(name, kind, [(find, group.picture, group.boxes) for group in pictures])
        count_faces(name, find, photos, film)


def compose_all(data: Path, kind: str, count: int) -> Iterator[GroupPicture]:
    portraits, scenes = load_portraits(data), load_scenes(data)
    for seed in range(count):
        size, faces = ((1920, 1080), 30) if seed % 2 else ((1280, 720), 15)
        group = compose(portraits, scenes, size=size, count=faces, seed=seed, **KINDS[kind])
        yield GroupPicture(spoil(group.picture), group.landmarks) if kind == "hard" else group


def spoil(picture: Tensor) -> Tensor:
    """Dull, blurred and strongly compressed."""
    dull = Image.fromarray((picture * 0.7 + 40).to(torch.uint8).numpy())
    return torch.from_numpy(compress(dull.filter(ImageFilter.GaussianBlur(0.8)), quality=50))


def load_photos(folder: Path) -> dict[str, Tensor]:
    photos = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in (".jpg", ".png"):
            with Image.open(path) as image:
                photos[path.name] = torch.from_numpy(np.array(image.convert("RGB")))
    return photos


def bundled(detector: str) -> Finder:
    landmarker = BundledLandmarker(detector=detector)
    return lambda picture: landmarker.detect([picture])[0].boxes


def mediapipe_finder(task_model: Path) -> Finder:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(task_model)),
        running_mode=vision.RunningMode.IMAGE,
        num_faces=100,
    )
    landmarker = vision.FaceLandmarker.create_from_options(options)

    def find(picture: Tensor) -> Tensor:
        found = landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, np.ascontiguousarray(picture.numpy())))
        faces = [[(point.x, point.y) for point in face] for face in found.face_landmarks]
        pixels = torch.tensor(faces).view(-1, 478, 2) * torch.tensor(picture.shape[1::-1])
        return torch.cat([pixels.amin(dim=1), pixels.amax(dim=1)], dim=1)

    return find


def tiled(find: Finder, picture: Tensor) -> Tensor:
    """Over half-overlapping tiles of every size; of boxes that overlap, the one nearest to its tile's center stays."""
    boxes, ranks = [], []
    height, width = picture.shape[:2]
    for size in TILES:
        for top in range(0, max(1, height - size // 2), size // 2):
            for left in range(0, max(1, width - size // 2), size // 2):
                tile = picture[top : top + size, left : left + size]
                scale = TILE_INPUT / max(tile.shape[:2])
                shape = [round(side * scale) for side in tile.shape[1::-1]]
                large = np.array(Image.fromarray(tile.numpy()).resize(shape, Image.Resampling.BILINEAR))
                found = find(torch.from_numpy(large)) / scale
                middle = (found[:, :2] + found[:, 2:]) / 2 - torch.tensor(tile.shape[1::-1]) / 2
                ranks.append(-middle.norm(dim=1) / size)
                boxes.append(found + torch.tensor([left, top, left, top]))
    every, rank = torch.cat(boxes), torch.cat(ranks)
    return every[distinct(every[:, :2], every[:, 2:], rank)]


def report(name: str, kind: str, trials: list[tuple[Finder, Tensor, Tensor]]) -> None:
    """Print how many of the true faces are found, how many found are none, and the time per picture."""
    total, hits, extra = 0, 0, 0
    start = time.perf_counter()
    for find, picture, boxes in trials:
        found, more = match(find(picture), boxes)
        total, hits, extra = total + len(boxes), hits + found, extra + more
    seconds = (time.perf_counter() - start) / len(trials)
    print(
        f"{name:12} {kind:8} {hits:4} of {total} ({hits / total:.3f}), {extra} extra, {seconds:.2f} s per picture",
        flush=True,
    )


def count_faces(name: str, find: Finder, photos: dict[str, Tensor], film: list[Tensor]) -> None:
    """Print what is found in the photos, in those without a face, and in the film."""
    start = time.perf_counter()
    counts = {photo: len(find(picture)) for photo, picture in photos.items()}
    seconds = (time.perf_counter() - start) / len(photos)
    none = {photo: count for photo, count in counts.items() if photo.startswith(FACELESS)}
    film_faces = sum(len(find(frame)) for frame in film)
    print(
        f"{name:12} photos   {sum(counts.values()) - sum(none.values())} faces, {seconds:.2f} s per picture; {counts}"
    )
    print(
        f"{name:12} no face  {sum(none.values())} in {len(none)} photos {none}, {film_faces} in {len(film)} frames",
        flush=True,
    )


if __name__ == "__main__":
    main()
