"""The two bundled emotion models on the same faces: one sees the picture, the other only its landmarks.

    OMP_NUM_THREADS=1 python benchmarks/emotion_models.py [--data ../shared/data]

Labeled faces that neither model was fitted to, with 95 % intervals of a bootstrap: the half of FER2013's public test
that the calibration of the picture model was not fitted to, and the crops of an expression photo set, for which the
landmark model is refitted in each of five folds. Then the readings of a video's frames, and the time per face.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from inputs import need
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import calibrate_face_expression as calibration  # noqa: E402
import expression_estimation as estimation  # noqa: E402
import train_expression_model as training  # noqa: E402

from perception_clip.perception.emotions.expression import ExpressionModel  # noqa: E402
from perception_clip.perception.emotions.face_expression import FaceExpressionModel  # noqa: E402
from perception_clip.perception.engines import EmotionModel  # noqa: E402
from perception_clip.perception.landmarks.bundled import BundledLandmarker  # noqa: E402
from perception_clip.perception.pipeline import PerceptionPipeline  # noqa: E402
from perception_clip.perception.sequences.videos import Video  # noqa: E402
from perception_clip.perception.vector import EMOTIONS  # noqa: E402

BATCH, ROUNDS, VIDEO_ROUNDS = 16, 15, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    folder = parser.parse_args().data
    need(folder, "give the folder of shared data with --data")
    report_time(folder / "video/expressive_face.mp4")
    photos = estimation.load_photos(folder / "expression_landmarks.npz")
    compare(folder, photos, training.held_out_probabilities(photos, estimation.folds(photos.labels)))


def compare(folder: Path, photos: estimation.Photos, held_out: Tensor) -> None:
    """Both models on labeled faces; `held_out` (N, 7) are the landmark model's answers of the five folds."""
    print("| faces | model | balanced | " + " | ".join(EMOTIONS) + " | calibration error |")
    print("|---|---|---|" + "---|" * (len(EMOTIONS) + 1))
    report_fer2013(folder / "fer2013_public_test.npz")
    report_photo_set(folder, photos, held_out)


def report_fer2013(path: Path) -> None:
    faces = calibration.read_faces(path, calibration.halves(path)[1])
    sizes = torch.ones(len(faces.labels), 2)
    report("FER2013", faces.logits, ExpressionModel.load().probabilities(faces.landmarks, sizes), faces.labels)


def report_photo_set(folder: Path, photos: estimation.Photos, held_out: Tensor) -> None:
    with np.load(folder / "expression_landmarks.npz") as data:
        used = np.isin(data["label"], EMOTIONS).nonzero()[0].tolist()  # the rows that load_photos keeps
    with np.load(folder / "expression_crops.npz") as data:
        place = {row: number for number, row in enumerate(used)}
        kept = [(number, place[row]) for number, row in enumerate(data["rows"].tolist()) if row in place]
        crops = torch.from_numpy(data["crops"][[number for number, _ in kept]])
    logits, _, found_in = calibration.look(crops)
    rows = torch.tensor([row for _, row in kept])[found_in]
    report("photo set", logits, held_out[rows], photos.labels[rows])


def report(name: str, logits: Tensor, shape: Tensor, labels: Tensor) -> None:
    """Both models' answers for the same faces: the network's logits (N, 7), the landmark model's probabilities."""
    picture = FaceExpressionModel().calibrated(logits).softmax(dim=1)
    for model, probabilities in (("picture", picture), ("landmarks", shape)):
        recall = " | ".join(f"{value:.2f}" for value in training.recalls(probabilities, labels))
        accuracy = calibration.interval(
            lambda some, p=probabilities: calibration.balanced(p[some], labels[some]), labels
        )
        error = training.calibration_error(probabilities, labels)
        print(f"| {len(labels)} of {name} | {model} | {accuracy} | {recall} | {error:.3f} |")

    def lead(some: Tensor) -> float:
        return calibration.balanced(picture[some], labels[some]) - calibration.balanced(shape[some], labels[some])

    print(f"| | lead of picture | {calibration.interval(lead, labels)} |" + " |" * (len(EMOTIONS) + 1), flush=True)


def report_time(path: Path) -> None:
    """Time for a face in a batch, on one thread, beside the landmarker; and for a whole video, on torch's threads."""
    frames = [frame.picture for frame in Video(path).frames(every=4)][:BATCH]
    pictures = [torch.as_tensor(frame) for frame in frames]
    landmarker, picture, shape = BundledLandmarker(), FaceExpressionModel(), ExpressionModel.load()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    faces = landmarker.detect(pictures)
    calls: dict[str, Callable[[], object]] = {
        "landmarker, `fast`": lambda: landmarker.detect(pictures),
        "picture model": lambda: picture.classify(pictures, faces),
        "landmark model": lambda: shape.classify(pictures, faces),
        "picture model, one face": lambda: picture.classify(pictures[:1], faces[:1]),
    }
    times = in_turn(calls, ROUNDS)
    torch.set_num_threads(threads)
    print("| one thread | milliseconds of processor time per face | … of the landmarker's |\n|---|---|---|")
    beside = times["landmarker, `fast`"].cpu
    for name, each in times.items():
        count = 1 if "one face" in name else BATCH
        ratio = statistics.median(BATCH / count * mine / its for mine, its in zip(each.cpu, beside, strict=True))
        low, middle, high = (1000 * v / count for v in (min(each.cpu), statistics.median(each.cpu), max(each.cpu)))
        print(f"| {name} | {middle:.1f} ({low:.1f} to {high:.1f}) | {ratio:.2f} |")

    def perceive(model: EmotionModel) -> None:
        PerceptionPipeline(landmarker, model)(frame.picture for frame in Video(path).frames())

    videos = in_turn({"landmarks": lambda: perceive(shape), "picture": lambda: perceive(picture)}, VIDEO_ROUNDS)
    print(f"\n{path.name}, {threads} threads, picture model relative to landmark model:")
    for clock in ("wall", "cpu"):
        mine, its = (getattr(videos[name], clock) for name in ("picture", "landmarks"))
        ratios = sorted(one / other for one, other in zip(mine, its, strict=True))
        seconds = f"{statistics.median(mine):.1f} s and {statistics.median(its):.1f} s"
        print(f"{clock} time {seconds}, ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(flush=True)


@dataclass
class Times:
    """Seconds of each round: that pass, and that the processor works, on all threads."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Times of each call, round by round; one round before them does not count."""
    times = {name: Times() for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            if number:
                times[name].wall.append(time.perf_counter() - wall)
                times[name].cpu.append(time.process_time() - cpu)
    return times


if __name__ == "__main__":
    main()
