"""Evaluate the bundled expression model on held-out faces.

    python benchmarks/expression.py [--data ../shared/data/expression_landmarks.npz] [--video …/expressive_face.mp4]

Five-fold, stratified cross-validation; everything that is learned, including the template face, the shape components,
the cleaning of labels and the calibration, is learned inside each fold. The baseline is a plain discriminant: Fisher's,
on aligned landmarks in 80 principal components. The script then measures how often disturbed landmarks change the
bundled model's answer, and how it classifies the frames of a video.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import emotion_models
import numpy as np
import torch
from inputs import need
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import expression_estimation as estimation  # noqa: E402
import train_expression_model as training  # noqa: E402

from perception_clip.perception.emotions.expression import ExpressionModel  # noqa: E402
from perception_clip.perception.emotions.face_expression import FaceExpressionModel  # noqa: E402
from perception_clip.perception.engines import FROM_LANDMARKS, FROM_PICTURE  # noqa: E402
from perception_clip.perception.geometry import align, from_true_proportions, true_proportions  # noqa: E402
from perception_clip.perception.pipeline import PerceptionPipeline  # noqa: E402
from perception_clip.perception.sequences.videos import Video  # noqa: E402
from perception_clip.perception.vector import EMOTIONS  # noqa: E402

SAME_PHOTO = 0.017  # inter-ocular distances per landmark: far below the usual nearest neighbor's 0.025
TREMBLE = 0.01  # inter-ocular distances
# Parts of the video, labeled by eye: first and last frame, and the answers that count as right.
STRETCHES = {
    "disgust, tears": (16, 140, ("disgust", "sad")),
    "startled, worried": (144, 224, ("fear", "surprise", "sad")),
    "smile, laugh": (240, 471, ("happy",)),
}
EVERY = 4  # frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/expression_landmarks.npz")
    parser.add_argument("--video", type=Path, default=ROOT.parent / "shared/data/video/expressive_face.mp4")
    arguments = parser.parse_args()
    need(arguments.data, "give the file of face landmarks with --data")
    need(arguments.video, "give a video of a face with --video")
    photos = estimation.load_photos(arguments.data)
    groups = near_duplicates(photos)
    grouped = StratifiedGroupKFold(estimation.FOLDS, shuffle=True, random_state=0)
    splits = grouped.split(np.zeros(len(photos)), photos.labels.numpy(), groups.numpy())
    grouped_folds = [(torch.from_numpy(train), torch.from_numpy(test)) for train, test in splits]

    probabilities = training.held_out_probabilities(photos, estimation.folds(photos.labels))
    together = training.held_out_probabilities(photos, grouped_folds)
    plain = plain_discriminant(photos)
    other = photos.other_source
    print(f"{len(photos)} faces; {len(photos) - len(groups.unique())} repeat another photo in the file\n")
    print("| method | balanced | " + " | ".join(EMOTIONS) + " | calibration error |")
    print("|---|---|" + "---|" * (len(EMOTIONS) + 1))
    report("plain discriminant", plain, photos.labels)
    report("… on the usual source's faces", plain[~other], photos.labels[~other])
    report("… on the other sources' faces", plain[other], photos.labels[other])
    report("expression model", probabilities, photos.labels)
    report("… repeated photos kept in one fold", together, photos.labels)
    report("… on the usual source's faces", probabilities[~other], photos.labels[~other])
    report("… on the other sources' faces", probabilities[other], photos.labels[other])

    prior = photos.labels.bincount().double() / len(photos)
    likely = probabilities * prior / (probabilities * prior).sum(dim=1, keepdim=True)
    alike = torch.full((len(photos),), 1 / len(photos), dtype=torch.float64)
    error = training.calibration_error(likely, photos.labels, alike)
    right = (likely.argmax(dim=1) == photos.labels).double().mean()
    print(f"\nWith the file's class frequencies as the prior: accuracy {right:.3f}, calibration error {error:.3f}")
    by_chance = error_by_chance(probabilities, photos.labels)
    print(f"Perfect probabilities would show a calibration error of {by_chance:.3f}: rare classes have few faces")
    print("\nBoth bundled models on the same faces:\n")
    emotion_models.compare(arguments.data.parent, photos, probabilities)
    print()
    report_disturbed(photos)
    if arguments.video.is_file():
        print()
        report_video(arguments.video)


def report(name: str, probabilities: Tensor, labels: Tensor) -> None:
    recall = training.recalls(probabilities, labels)
    error = training.calibration_error(probabilities, labels)
    print(f"| {name} | {recall.mean():.3f} | " + " | ".join(f"{r:.2f}" for r in recall) + f" | {error:.3f} |")


def error_by_chance(probabilities: Tensor, labels: Tensor) -> float:
    """Return the mean calibration error of perfectly calibrated probabilities, which chance alone causes."""
    confidence = probabilities.double().max(dim=1).values
    generator = torch.Generator().manual_seed(0)
    draws = [torch.rand(len(labels), generator=generator) < confidence for _ in range(20)]
    return float(np.mean([training.binned_error(confidence, d, estimation.class_weights(labels)) for d in draws]))


def report_disturbed(photos: estimation.Photos) -> None:
    """Print the share of faces for which disturbed landmarks change the bundled model's answer."""
    model = ExpressionModel.load()
    points = true_proportions(photos.landmarks, photos.image_sizes)
    size = (points[:, 468] - points[:, 473]).norm(dim=1)[:, None, None]
    noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(0)) * size / 3**0.5
    before = model.probabilities(photos.landmarks, photos.image_sizes).argmax(dim=1)
    disturbed = {
        f"every landmark moved by {TREMBLE} inter-ocular distances": points + TREMBLE * noise,
        "depth 20 % flatter": points * torch.tensor([1, 1, 0.8]),
        "depth 20 % deeper": points * torch.tensor([1, 1, 1.2]),
        "the picture 10 % taller": points * torch.tensor([1, 1.1, 1]),
    }
    print("| disturbance | answers changed |\n|---|---|")
    for name, moved in disturbed.items():
        after = model.probabilities(from_true_proportions(moved, photos.image_sizes), photos.image_sizes).argmax(dim=1)
        print(f"| {name} | {(before != after).double().mean():.3f} |")


def report_video(path: Path) -> None:
    """Print the answers of both models for each part of the video, alone and relative to its first frame."""
    frames = [frame.picture for frame in Video(path).frames(every=EVERY)]
    print("| part of the video | model | faces | as expected | … relative to the first frame | those answers |")
    print("|---|---|---|---|---|---|")
    for model in (FaceExpressionModel(), ExpressionModel.load()):
        faces = PerceptionPipeline(emotion_model=model)(frames)
        if isinstance(model, FaceExpressionModel):
            relative, name = model.relative_to(faces.emotions[0]), FROM_PICTURE
        else:
            relative, name = model.relative_to(faces.landmarks[0], faces.image_sizes[0]), FROM_LANDMARKS
        alone = faces.emotions.argmax(dim=1)
        relative_answers = PerceptionPipeline(emotion_model=relative)(frames).emotions.argmax(dim=1)
        for part, (start, end, expected) in STRETCHES.items():
            here = (faces.frames * EVERY >= start) & (faces.frames * EVERY <= end)
            first, second = (
                sum((predicted[here] == EMOTIONS.index(emotion)).double().mean() for emotion in expected)
                for predicted in (alone, relative_answers)
            )
            counts = relative_answers[here].bincount(minlength=len(EMOTIONS)).tolist()
            named = ", ".join(f"{count} {emotion}" for emotion, count in zip(EMOTIONS, counts, strict=True) if count)
            expected_text = " or ".join(expected)
            print(f"| {part}: {expected_text} | {name} | {here.sum()} | {first:.2f} | {second:.2f} | {named} |")


def plain_discriminant(photos: estimation.Photos) -> Tensor:
    """Return held-out probabilities (N, 7)."""
    points = true_proportions(photos.landmarks, photos.image_sizes)
    scores = torch.zeros(len(photos), len(EMOTIONS))
    for train, test in estimation.folds(photos.labels):
        template, _ = estimation.make_template(points[train])
        faces = align(points, template).points.flatten(1).numpy()
        components = PCA(80, svd_solver="covariance_eigh").fit(faces[train])
        discriminant = LinearDiscriminantAnalysis(priors=np.full(len(EMOTIONS), 1 / len(EMOTIONS)))
        discriminant.fit(components.transform(faces[train]), photos.labels[train].numpy())
        scores[test] = torch.from_numpy(discriminant.decision_function(components.transform(faces[test]))).float()
    return (scores / estimation.calibrate(scores, photos.labels)[0]).softmax(dim=1)  # calibrated on the same faces


def near_duplicates(photos: estimation.Photos) -> Tensor:
    """Return a group number per face (N,): faces whose aligned landmarks nearly coincide are from the same photo."""
    model = ExpressionModel.load()
    shapes = (model.align(photos.landmarks, photos.image_sizes).points - model.mean).flatten(1)
    both = torch.cat([model.symmetric, model.antisymmetric]).flatten(1)
    components = shapes @ both.T / len(model.template) ** 0.5
    group = torch.arange(len(photos))
    for start in range(0, len(photos), 1000):
        near = torch.cdist(components[start : start + 1000], components) < SAME_PHOTO
        for first, second in near.nonzero().tolist():
            low, high = sorted((int(group[start + first]), int(group[second])))
            group[group == high] = low
    return group


if __name__ == "__main__":
    main()
