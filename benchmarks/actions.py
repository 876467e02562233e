"""How well the bundled action network agrees with MediaPipe, and how long it takes.

    python benchmarks/actions.py [--data ../shared/data] [--rounds 100]

Agreement: the 52 actions of the faces in faces/reference_blendshapes.npz, which are those of MediaPipe 1.2.3's Face
Landmarker, against ours from MediaPipe's landmarks and from our own. Time: on one thread, as processor time, in which
other programs do not count, and as wall time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from inputs import need
from PIL import Image
from torch import Tensor

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import ACTIONS
from perception_clip.perception.landmarks.bundled import BundledLandmarker

ROOT = Path(__file__).resolve().parents[1]
BATCHES = (1, 4, 16, 64)
SAME_FACE = 0.5  # of the face's size, between two landmarkers' faces at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    need(arguments.data, "give the folder with faces/reference_blendshapes.npz with --data")
    torch.set_num_threads(1)
    model = ActionModel.load()
    report_agreement(model, arguments.data / "faces")
    report_time(model, arguments.rounds)


def report_agreement(model: ActionModel, folder: Path) -> None:
    with np.load(folder / "reference_blendshapes.npz") as file:
        reference = dict(file)
    landmarker = BundledLandmarker(detector="thorough", max_faces=10)
    theirs, ours = [], []
    for photo in sorted(name.removesuffix(":size") for name in reference if name.endswith(":size")):
        landmarks = torch.from_numpy(reference[f"{photo}:landmarks"]).float()
        if not len(landmarks):
            continue
        expected = torch.from_numpy(reference[f"{photo}:blendshapes"])
        sizes = torch.tensor(reference[f"{photo}:size"]).expand(len(landmarks), 2)
        theirs.append((model.actions(landmarks, sizes) - expected).abs())
        with Image.open(folder / photo) as image:
            picture = torch.from_numpy(np.array(image.convert("RGB")))
        (found,) = landmarker.detect([picture])
        for face, values in zip(landmarks, expected, strict=True):
            nearest = same_face(face, found.landmarks)
            if nearest is not None:
                read = model.actions(found.landmarks[nearest : nearest + 1], sizes[:1])
                ours.append((photo, (read[0] - values).abs()))
    errors = torch.cat(theirs)
    print(f"from MediaPipe's landmarks: {len(errors)} faces, largest difference {errors.max():.1e}")
    of_ours = torch.stack([error for _, error in ours])
    by_face = of_ours.mean(dim=1)
    print(
        f"from our landmarks: {len(of_ours)} of {len(errors)} faces, mean difference {of_ours.mean():.3f}, "
        f"per face median {by_face.median():.3f}, worst {by_face.max():.3f} ({ours[int(by_face.argmax())][0]})"
    )
    worst = of_ours.mean(dim=0).topk(5)
    print("  largest on average: " + ", ".join(f"{ACTIONS[i]} {v:.2f}" for v, i in zip(*worst, strict=True)))


def same_face(face: Tensor, others: Tensor) -> int | None:
    """Return which of (N, 478, 3) is where `face` is, or None."""
    if not len(others):
        return None
    distances = (others.mean(dim=1) - face.mean(dim=0))[:, :2].norm(dim=1)
    size = (face.amax(dim=0) - face.amin(dim=0))[:2].max()
    return int(distances.argmin()) if distances.min() < SAME_FACE * size else None


def report_time(model: ActionModel, rounds: int) -> None:
    print("\n| faces | processor, ms a face | wall, ms a face |\n|---|---|---|")
    for count in BATCHES:
        points = torch.randn(count, 146, 2, generator=torch.Generator().manual_seed(0))
        times = np.array([time_once(model, points) for _ in range(rounds)])[5:] * 1000 / count
        cells = [
            f"{np.median(column):.2f} ({np.quantile(column, 0.1):.2f} to {np.quantile(column, 0.9):.2f})"
            for column in times.T
        ]
        print(f"| {count} | {cells[0]} | {cells[1]} |")


def time_once(model: ActionModel, points: Tensor) -> tuple[float, float]:
    with torch.inference_mode():
        started = time.thread_time(), time.perf_counter()
        model.network(points)
        return time.thread_time() - started[0], time.perf_counter() - started[1]


if __name__ == "__main__":
    main()
