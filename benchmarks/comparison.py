"""How well `gain` measures the strength of an edit drawn into photos, and `match` tells expressions apart.

    python benchmarks/comparison.py [--data ../shared/data]

Photos are warped so that their landmarks move as an edit of known strength moves them, and perceived again. The path
of the gain leads either to the picture drawn at strength 1, as with two photos, or to the edited landmarks themselves.
Some photos served to choose the method (TUNING); the others were only measured.

Then the match: sampled faces of one emotion and different people against faces of one person and different emotions,
and pairs of real faces with the same label against others. An oracle that knows the mean face of every emotion and the
covariance of the sampler shows what can be reached from the landmarks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from inputs import need
from PIL import Image
from scipy.stats import mannwhitneyu
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests/perception/comparison")]

import calibrate_face_expression as calibration  # noqa: E402
from warping import warped  # noqa: E402

from perception_clip.perception.actions.basis import ActionBasis  # noqa: E402
from perception_clip.perception.actions.model import ActionModel  # noqa: E402
from perception_clip.perception.comparison.compare import compare, match  # noqa: E402
from perception_clip.perception.comparison.expressions import ExpressionReader  # noqa: E402
from perception_clip.perception.editing.actions import edit_actions  # noqa: E402
from perception_clip.perception.editing.edit import edit  # noqa: E402
from perception_clip.perception.emotions.expression import ExpressionModel  # noqa: E402
from perception_clip.perception.emotions.face_expression import FaceExpressionModel  # noqa: E402
from perception_clip.perception.emotions.picture_estimate import PictureEstimate  # noqa: E402
from perception_clip.perception.landmarks.bundled import BundledLandmarker  # noqa: E402
from perception_clip.perception.pipeline import PerceptionPipeline  # noqa: E402
from perception_clip.perception.vector import EMOTIONS, NEUTRAL, Perceptions  # noqa: E402

TUNING = ("obama.jpg", "biden.jpg", "art_mona_lisa.jpg", "einstein_gray.jpg", "obama3.jpg", "two_people.jpg")
APART = ("astronaut.png", "grace_hopper.jpg", "biden2.jpg", "obama2.jpg", "art_pearl_earring.jpg", "sergey_rgba.png")
SIDE = 448  # pixels of the square cut around a face
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
EDITS = {
    **{emotion: {emotion: 1.0} for emotion in EMOTIONS if emotion != "neutral"},
    "jaw open": {"jaw_open": 0.8},
    "wink": {"eye_closed_left": 0.9},
    "eyes closed": {"eye_closed_left": 0.9, "eye_closed_right": 0.9},
    "brows up": {"brow_up_left": 0.8, "brow_up_right": 0.8},
    "smile": {"smile_left": 0.8, "smile_right": 0.8},
    "pucker": {"pucker": 0.8},
    "frown": {"frown": 0.8},
}
ALLOWED = 0.15
PEOPLE, FACES, PAIRS = 60, 400, 20_000

MODEL = ExpressionModel.load()
READER = ExpressionReader(MODEL, ActionModel.load())


@dataclass(frozen=True)
class Case:
    """A picture drawn at one strength, and the gains measured in it."""

    photo: str
    edit: str
    strength: float
    to_picture: float  # target: the picture drawn at strength 1
    to_landmarks: float  # target: the edited landmarks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    folder = parser.parse_args().data
    need(folder, "give the folder of shared data with --data")
    print("| photos | target | pictures | within 0.15 | root mean square | largest | mean error |")
    print("|---" * 7 + "|", flush=True)
    cases = {}
    for name, photos in (("used to choose the method", TUNING), ("kept apart", APART)):
        cases[name] = [case for photo in photos for case in drawn(folder / "faces" / photo)]
        report(name, "the picture at strength 1", cases[name], lambda case: case.to_picture, below=1)
        report(name, "the edited landmarks", cases[name], lambda case: case.to_landmarks)
    report_edits(cases["kept apart"])
    report_sampled()
    report_labeled(folder)


def drawn(path: Path) -> list[Case]:
    pipeline, basis = PerceptionPipeline(BundledLandmarker(detector="standard"), MODEL), ActionBasis.load()

    def perceive(pixels: np.ndarray) -> Perceptions:
        faces = pipeline([torch.from_numpy(pixels.copy())])
        return faces.select(faces.first_of_frames)

    with Image.open(path) as image:
        photo = image.convert("RGB")
    left, top, right, bottom = perceive(np.asarray(photo)).boxes[0].tolist()
    x, y, half = (left + right) / 2, (top + bottom) / 2, 0.95 * max(right - left, bottom - top)
    square = photo.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    pixels = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    start, cases = perceive(pixels), []
    for name, sliders in EDITS.items():
        emotion = sliders.keys() <= set(EMOTIONS)
        goals = [
            edit(start, sliders, strength, MODEL)
            if emotion
            else edit_actions(start, sliders, strength, MODEL, basis, READER.actions)
            for strength in STRENGTHS
        ]
        seen = [perceive(warped(pixels, start, goal)) for goal in goals]
        result = together(seen)
        gains = [compare(target, result, start, READER).gains for target in (seen[-1], goals[-1])]
        cases += [Case(path.name, name, *row) for row in zip(STRENGTHS, *gains, strict=True)]
    return cases


def together(faces: list[Perceptions]) -> Perceptions:
    """Return the faces as those of one picture each."""
    first = faces[0].select([0] * len(faces))
    vectors = torch.cat([face.vectors[:1] for face in faces])
    return replace(first, vectors=vectors, frames=torch.arange(len(faces)), frame_count=len(faces))


def report(
    photos: str, target: str, cases: list[Case], gain: Callable[[Case], float], below: float = float("inf")
) -> None:
    errors = np.array([gain(case) - case.strength for case in cases if case.strength < below])
    numbers = f"{np.sqrt(np.square(errors).mean()):.3f} | {np.abs(errors).max():.2f} | {errors.mean():+.3f}"
    print(f"| {photos} | {target} | {len(errors)} | {(np.abs(errors) <= ALLOWED).mean():.0%} | {numbers} |", flush=True)


def report_edits(cases: list[Case]) -> None:
    print("\n| edit | " + " | ".join(f"{strength:g}" for strength in STRENGTHS[:-1]) + " | within 0.15 |")
    print("|---" * (len(STRENGTHS) + 1) + "|")
    for name in EDITS:
        some = [[case.to_picture for case in cases if (case.edit, case.strength) == (name, s)] for s in STRENGTHS[:-1]]
        gains = np.array(some)  # (strengths, photos)
        right = (np.abs(gains - np.array(STRENGTHS[:-1])[:, None]) <= ALLOWED).mean()
        cells = [f"{row.mean():.2f} ({row.min():.2f} to {row.max():.2f})" for row in gains]
        print(f"| {name} | {' | '.join(cells)} | {right:.0%} |")


def auc(positive: list[float], negative: list[float]) -> float:
    return float(mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative)))


def alike(first: Tensor, second: Tensor) -> float:
    return match(first, second, torch.zeros_like(first))


def agree(first: Tensor, second: Tensor) -> float:
    """Return the probability that two faces with these probabilities (7,) have the same emotion."""
    return float(first @ second)


def separation(faces: Tensor, score: Callable[[Tensor, Tensor], float]) -> float:
    """Return how well a score tells one emotion of two people from two of one person, of faces (7, people, …)."""
    people = faces.shape[1]
    same = [score(row[i], row[(i + step) % people]) for row in faces for i in range(people) for step in (1, 2, 3)]
    other = [score(one[i], two[i]) for one, two in combinations(faces, 2) for i in range(people)]
    return auc(same, other)


def report_sampled() -> None:
    print("\n| variety | match, emotions of the landmarks | … of a picture | oracle, landmarks | … labels it reads |")
    print("|---" * 5 + "|")
    for variety in (0.6, 1.0):
        read, pictured, certain = [], [], []
        for emotion in range(len(EMOTIONS)):
            kinds, generator = torch.full((PEOPLE,), emotion), torch.Generator().manual_seed(1)
            sample = MODEL.sample(kinds, torch.full((PEOPLE,), float(emotion != NEUTRAL)), generator, variety)
            components, points = MODEL.components(*sample), MODEL.align(*sample).points
            emotions = PictureEstimate.load().sample(components, kinds, generator)
            read.append(READER.read(points).vectors)
            pictured.append(READER.read(points, emotions).vectors)
            certain.append(posterior(components, variety))
        oracle = torch.stack(certain)
        right = (oracle.argmax(dim=2) == torch.arange(len(EMOTIONS))[:, None]).double().mean()
        areas = [separation(torch.stack(faces), alike) for faces in (read, pictured)] + [separation(oracle, agree)]
        print(f"| {variety:g} | {' | '.join(f'{area:.3f}' for area in areas)} | {right:.0%} |", flush=True)


def posterior(components: Tensor, variety: float) -> Tensor:
    """Return the probabilities (N, 7) of the emotions that components (N, S) were sampled from."""
    difference = components[:, None].double() - MODEL.means.double()  # (N, 7, S)
    inverse = torch.linalg.inv(MODEL.covariance.double() * variety**2)
    return (-torch.einsum("nes,st,net->ne", difference, inverse, difference) / 2).softmax(dim=1)


def report_labeled(folder: Path) -> None:
    """Print how well the match tells pairs of real faces with the same label from others."""
    path, generator = folder / "fer2013_public_test.npz", torch.Generator().manual_seed(0)
    numbers = calibration.halves(path)[1]
    faces = calibration.read_faces(path, numbers[torch.randperm(len(numbers), generator=generator)[:FACES]])
    picture = FaceExpressionModel().calibrated(faces.logits).softmax(dim=1)
    points = MODEL.align(faces.landmarks, torch.ones(len(faces.labels), 2)).points
    first, second = torch.randint(len(points), (2, PAIRS), generator=generator)
    first, second = first[keep := first != second], second[keep]
    same = (faces.labels[first] == faces.labels[second]).tolist()
    print("\n| real faces, FER2013's test half | area under the curve |\n|---|---|")
    for name, emotions in (("emotions of the landmarks", None), ("emotions of the picture", picture)):
        vectors = READER.read(points, emotions).vectors
        matches = [alike(vectors[i], vectors[j]) for i, j in zip(first, second, strict=True)]
        one, two = ([value for value, shared in zip(matches, same, strict=True) if shared is s] for s in (True, False))
        print(f"| {name} | {auc(one, two):.3f} |", flush=True)


if __name__ == "__main__":
    main()
