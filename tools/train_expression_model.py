"""Make perception/weights/expression.safetensors, the bundled expression model, from labelled landmarks.

    pip install -e '.[test]'      # brings scipy and scikit-learn
    python tools/train_expression_model.py --data expression_landmarks.npz

The data file holds `landmarks` (N, 478, 3) in MediaPipe's image coordinates, `label` (N,), one of the seven
emotion names (others are dropped), and `image_size` (N, 2), (height, width) in pixels. The same file gives the
same bytes on the same machine. perception/expression.py says what the model is; this file says how its numbers
are estimated. benchmarks/expression.py judges it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from scipy.optimize import linear_sum_assignment, minimize_scalar
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from perception_clip.perception.alignment import align, true_proportions
from perception_clip.perception.expression import BUNDLED, ExpressionModel
from perception_clip.perception.files import atomic_path
from perception_clip.perception.vector import EMOTIONS

# Balanced accuracy hardly moves between 60 and 200 symmetric components; sadness gains until 120. The 120th still
# has four times the standard deviation of the noise that the data file's float16 rounding makes (0.0005).
SYMMETRIC, ANTISYMMETRIC = 120, 40
# A class counts in the shared covariance by the cube root of its size: between all faces alike (only happy and
# neutral ones would count) and all classes alike (21 faces of fear would count as much as 6851 neutral ones).
CLASS_WEIGHT_POWER = 1 / 3
# Added to every component's standard deviation (squared), so that the discriminant does not lean on details
# that a landmarker on another photo cannot place. In inter-ocular distances.
LANDMARK_NOISE = 0.003
# The photos come from several sources, told apart here by the picture's size. Nearly all disgusted faces come
# from one of them, with another way of cropping. Counting a part of the mean difference between sources as
# variety within a class keeps the model from taking the source for the emotion: the other source's smiles are
# recognised 0.40 instead of 0.25 of the time. All of it (1) would cost 0.02 more of balanced accuracy on the file.
SOURCE_WEIGHT = 0.3
FOLDS = 5
MEANINGFUL = {f.name for f in fields(ExpressionModel)} - {"identity"}


@dataclass(frozen=True)
class Photos:
    """Labelled faces."""

    landmarks: Tensor  # (N, 478, 3) float32, normalised
    image_sizes: Tensor  # (N, 2) int64, (height, width)
    labels: Tensor  # (N,) int64, indices into EMOTIONS

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Tensor) -> Photos:
        return Photos(self.landmarks[index], self.image_sizes[index], self.labels[index])

    @property
    def other_source(self) -> Tensor:
        """(N,) bool: which pictures do not have the file's usual size."""
        sizes, counts = self.image_sizes.unique(dim=0, return_counts=True)
        return (self.image_sizes != sizes[counts.argmax()]).any(dim=1)


def load_photos(path: Path) -> Photos:
    with np.load(path, allow_pickle=False) as file:
        known = np.isin(file["label"], EMOTIONS)
        labels = torch.tensor([EMOTIONS.index(label) for label in file["label"][known]])
        landmarks = torch.from_numpy(file["landmarks"][known].astype(np.float32))
        return Photos(landmarks, torch.from_numpy(file["image_size"][known].astype(np.int64)), labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the .npz of labelled landmarks")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    arguments = parser.parse_args()

    photos = load_photos(arguments.data)
    scores = held_out_scores(photos, folds(photos.labels))
    temperature = calibrate(scores, photos.labels)
    recall = recalls(scores, photos.labels)
    error = calibration_error((scores / temperature).softmax(dim=1), photos.labels)
    print(f"{FOLDS}-fold, {len(photos)} faces, seven classes:")
    for name, value, count in zip(EMOTIONS, recall.tolist(), photos.labels.bincount().tolist(), strict=True):
        print(f"  {name:9} recall {value:.3f}  of {count}")
    print(f"  balanced accuracy {recall.mean():.4f}")
    print(f"  expected calibration error, classes weighted alike, {error:.4f} at temperature {temperature:.3f}")

    model = replace(fit(photos), temperature=torch.tensor(temperature))
    save_model(model, arguments.out, describe(photos, recall, error))
    identity = ExpressionModel.load(arguments.out).identity
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {identity}")


# --- estimation ----------------------------------------------------------------------------------------------


def fit(photos: Photos) -> ExpressionModel:
    """Estimate a model, with temperature 1."""
    points = true_proportions(photos.landmarks, photos.image_sizes)
    template, mirror = make_template(points)
    faces = align(points, template).points.double()
    mean = faces.mean(dim=0)
    mean = (mean + mirrored(mean, mirror)) / 2
    reflections = mirrored(faces, mirror)
    symmetric, _ = principal_components((faces + reflections) / 2 - mean, SYMMETRIC)
    antisymmetric, asymmetry = principal_components((faces - reflections) / 2, ANTISYMMETRIC)
    means, covariance = estimate_classes((faces - mean).flatten(1) @ symmetric.T, photos)
    return ExpressionModel(
        template=template,
        mean=mean.float(),
        mirror=mirror,
        symmetric=symmetric.unflatten(1, mean.shape).float(),
        antisymmetric=antisymmetric.unflatten(1, mean.shape).float(),
        means=means.float(),
        covariance=covariance.float(),
        asymmetry=asymmetry.float(),
        temperature=torch.tensor(1.0),
    )


def make_template(points: Tensor) -> tuple[Tensor, Tensor]:
    """Faces (N, 478, 3) in true proportions → the template (478, 3), and the mirror map (478,).

    Generalised Procrustes analysis (Gower, 1975): the mean of the faces after each is aligned to that mean. It
    is made symmetric, centred, and one inter-ocular distance (between the irises' centres) wide.
    """
    centred = points - points.mean(dim=1, keepdim=True)
    template = (centred / centred.square().mean(dim=(1, 2), keepdim=True).sqrt()).mean(dim=0)
    mirror = find_mirror(template)
    for _ in range(8):
        template = align(points, template).points.mean(dim=0)
        template = (template + mirrored(template, mirror)) / 2
        template = (template - template.mean(dim=0)) / (template[468] - template[473]).norm()
    return template, mirror


def find_mirror(face: Tensor) -> Tensor:
    """The landmark that each landmark of a nearly symmetric face (478, 3) becomes in the mirror: (478,) int64.

    Matches the face with its mirror image, one to one, and refits the image, in turns.
    """
    index = torch.arange(len(face))
    image = face * torch.tensor([-1.0, 1.0, 1.0])
    mirror = index
    for _ in range(10):
        mirror = torch.from_numpy(linear_sum_assignment(torch.cdist(face, image).numpy())[1])
        image = align(image[mirror][None], face).points[0][mirror.argsort()]
    if not torch.equal(mirror[mirror], index):
        raise ValueError("the mean face is too crooked to tell which landmarks are each other's mirror images")
    return mirror


def mirrored(faces: Tensor, mirror: Tensor) -> Tensor:
    """Faces (..., 478, 3) in the template's frame, as a mirror shows them."""
    return faces[..., mirror, :] * torch.tensor([-1.0, 1.0, 1.0], dtype=faces.dtype)


def principal_components(shapes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Centred shapes (N, 478, 3) → orthonormal components (count, 1434), and their standard deviations."""
    flat = shapes.flatten(1)
    variances, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    components = vectors.flip(1)[:, :count].T
    largest = components.abs().argmax(dim=1, keepdim=True)  # a component's sign is free: fix it
    return components * components.gather(1, largest).sign(), variances.flip(0)[:count].sqrt()


def estimate_classes(components: Tensor, photos: Photos) -> tuple[Tensor, Tensor]:
    """Components (N, S) → the mean of each emotion (7, S), and the covariance that they share (S, S)."""
    groups = [components[photos.labels == emotion] for emotion in range(len(EMOTIONS))]
    counts = torch.tensor([len(group) for group in groups], dtype=torch.float64)
    means = torch.stack([group.mean(dim=0) for group in groups])
    weights = counts**CLASS_WEIGHT_POWER / (counts**CLASS_WEIGHT_POWER).sum()
    covariance = sum(weight * group.T.cov() for weight, group in zip(weights, groups, strict=True))
    covariance = covariance + LANDMARK_NOISE**2 * torch.eye(components.shape[1])
    offset = source_offset(components, photos)
    covariance = covariance + SOURCE_WEIGHT * torch.outer(offset, offset)

    # James–Stein, class by class: a mean of few faces is moved toward the mean of all seven, by the share of
    # its distance that chance alone would make.
    centre = means.mean(dim=0)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (means - centre).T, upper=False)
    by_chance = components.shape[1] / counts
    kept = (1 - by_chance / whitened.square().sum(dim=0)).clamp_min(0)  # (7,)
    return centre + kept[:, None] * (means - centre), covariance


def source_offset(components: Tensor, photos: Photos) -> Tensor:
    """How the faces of the other source differ from the usual one's, emotion for emotion: (S,)."""
    other = photos.other_source.double()
    if not other.any():
        return torch.zeros(components.shape[1], dtype=torch.float64)
    emotions = torch.nn.functional.one_hot(photos.labels, len(EMOTIONS)).double()
    return torch.linalg.lstsq(torch.cat([emotions, other[:, None]], dim=1), components).solution[-1]


# --- judgement -----------------------------------------------------------------------------------------------


def folds(labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Stratified: the indices to train on and those to judge, `FOLDS` times."""
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in splitter.split(np.zeros(len(labels)), labels.numpy()):
        yield torch.from_numpy(train), torch.from_numpy(test)


def held_out_scores(photos: Photos, splits: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Scores (N, 7) of each face by a model that was fitted, template and components included, without it."""
    scores = torch.zeros(len(photos), len(EMOTIONS))
    for train, test in splits:
        judged = photos.select(test)
        scores[test] = fit(photos.select(train)).scores(judged.landmarks, judged.image_sizes)
    return scores


def recalls(scores: Tensor, labels: Tensor) -> Tensor:
    """The share of each class's faces (7,) that get the highest score for it; their mean is balanced accuracy."""
    right = (scores.argmax(dim=1) == labels).double()
    return torch.stack([right[labels == emotion].mean() for emotion in range(len(EMOTIONS))])


def class_weights(labels: Tensor) -> Tensor:
    """Weights (N,), sum 1, under which every class counts alike."""
    return 1 / (len(EMOTIONS) * labels.bincount(minlength=len(EMOTIONS)).double())[labels]


def calibrate(scores: Tensor, labels: Tensor) -> float:
    """The temperature with the smallest log loss, classes weighted alike (Guo et al. 2017)."""
    weights = class_weights(labels)

    def loss(log_temperature: float) -> float:
        logs = (scores.double() / np.exp(log_temperature)).log_softmax(dim=1)
        return -float(weights @ logs[torch.arange(len(labels)), labels])

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def calibration_error(probabilities: Tensor, labels: Tensor, weights: Tensor | None = None, bins: int = 15) -> float:
    """Expected calibration error of the winning class; faces weighted so that classes count alike if not told."""
    weights = class_weights(labels) if weights is None else weights
    confidence, winner = probabilities.double().max(dim=1)
    gaps = weights * ((winner == labels).double() - confidence)
    place = (confidence * bins).long().clamp_max(bins - 1)
    return float(torch.zeros(bins, dtype=torch.float64).index_add_(0, place, gaps).abs().sum())


# --- the file ------------------------------------------------------------------------------------------------


def describe(photos: Photos, recall: Tensor, error: float) -> dict[str, object]:
    return {
        "format": "perception-clip expression model, version 1",
        "emotions": EMOTIONS,
        "origin": "tools/train_expression_model.py on landmarks (MediaPipe face mesh, mediapipe 0.10.21) of a"
        " labelled expression photo set; the photos are not part of this file and cannot be got back from it",
        "terms": "Apache-2.0, as the photo set's labels",
        "faces": dict(zip(EMOTIONS, photos.labels.bincount().tolist(), strict=True)),
        "five_fold": {
            "balanced_accuracy": round(float(recall.mean()), 4),
            "recall": {name: round(value, 4) for name, value in zip(EMOTIONS, recall.tolist(), strict=True)},
            "calibration_error": round(error, 4),
        },
    }


def save_model(model: ExpressionModel, path: Path, origin: dict[str, object]) -> None:
    """Shape components as float16, whose rounding is far below the landmarks' own; the small tensors exactly."""
    tensors = {name: getattr(model, name).contiguous() for name in sorted(MEANINGFUL)}
    for name in ("symmetric", "antisymmetric"):
        tensors[name] = tensors[name].half()
    tensors["mirror"] = tensors["mirror"].to(torch.int16)
    # One metadata entry: with several, safetensors writes them in no fixed order.
    content = save(tensors, metadata={"origin": json.dumps(origin)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    main()
