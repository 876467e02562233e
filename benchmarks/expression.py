"""How well the bundled expression model reads faces that it was not fitted to.

    python benchmarks/expression.py [--data ../shared/data/expression_landmarks.npz]

Five-fold, stratified; everything that is learned, the template face and the shape components included, is learned
inside each fold. Beside it a plain discriminant: Fisher's, on aligned landmarks in 80 principal components.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import train_expression_model as training  # noqa: E402

from perception_clip.perception.alignment import align, true_proportions  # noqa: E402
from perception_clip.perception.expression import ExpressionModel  # noqa: E402
from perception_clip.perception.vector import EMOTIONS  # noqa: E402

SAME_PHOTO = 0.017  # inter-ocular distances per landmark: far below the usual nearest neighbour's 0.025


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/expression_landmarks.npz")
    photos = training.load_photos(parser.parse_args().data)
    groups = near_duplicates(photos)
    grouped = StratifiedGroupKFold(training.FOLDS, shuffle=True, random_state=0)
    splits = grouped.split(np.zeros(len(photos)), photos.labels.numpy(), groups.numpy())
    grouped_folds = [(torch.from_numpy(train), torch.from_numpy(test)) for train, test in splits]

    scores = training.held_out_scores(photos, training.folds(photos.labels))
    other = photos.other_source
    print(f"{len(photos)} faces; {len(photos) - len(groups.unique())} repeat another photo of the file\n")
    print("| method | balanced | " + " | ".join(EMOTIONS) + " | calibration error |")
    print("|---|---|" + "---|" * (len(EMOTIONS) + 1))
    report("plain discriminant", plain_discriminant(photos), photos.labels)
    report("expression model", scores, photos.labels)
    report("… repeated photos kept in one fold", training.held_out_scores(photos, grouped_folds), photos.labels)
    report("… on the usual source's faces", scores[~other], photos.labels[~other])
    report("… on the other sources' faces", scores[other], photos.labels[other])

    temperature = training.calibrate(scores, photos.labels)
    prior = photos.labels.bincount().double() / len(photos)
    probabilities = (scores / temperature + prior.log()).softmax(dim=1)
    alike = torch.full((len(photos),), 1 / len(photos), dtype=torch.float64)
    error = training.calibration_error(probabilities, photos.labels, alike)
    right = (probabilities.argmax(dim=1) == photos.labels).double().mean()
    print(f"\nWith the file's own class frequencies as prior: accuracy {right:.3f}, calibration error {error:.3f}")


def report(name: str, scores: Tensor, labels: Tensor) -> None:
    recall = training.recalls(scores, labels)
    probabilities = (scores / training.calibrate(scores, labels)).softmax(dim=1)
    error = training.calibration_error(probabilities, labels)
    print(f"| {name} | {recall.mean():.3f} | " + " | ".join(f"{r:.2f}" for r in recall) + f" | {error:.3f} |")


def plain_discriminant(photos: training.Photos) -> Tensor:
    points = true_proportions(photos.landmarks, photos.image_sizes)
    scores = torch.zeros(len(photos), len(EMOTIONS))
    for train, test in training.folds(photos.labels):
        template, _ = training.make_template(points[train])
        faces = align(points, template).points.flatten(1).numpy()
        components = PCA(80, svd_solver="covariance_eigh").fit(faces[train])
        judge = LinearDiscriminantAnalysis(priors=np.full(len(EMOTIONS), 1 / len(EMOTIONS)))
        judge.fit(components.transform(faces[train]), photos.labels[train].numpy())
        scores[test] = torch.from_numpy(judge.decision_function(components.transform(faces[test]))).float()
    return scores


def near_duplicates(photos: training.Photos) -> Tensor:
    """A group number per face (N,): faces whose aligned landmarks nearly coincide show the same photo."""
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
