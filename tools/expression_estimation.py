"""How the expression model's numbers are estimated from labeled landmarks; see train_expression_model.py.

The labels are noisy, and the faces come from two kinds of source, told apart by the picture's size: 12,743 of 13,626
pictures have the usual one. Among the others, mostly small, turned and tightly cropped, labels say little: half of
the "happy" faces do not smile, and the 186 "disgusted" ones, nearly all there are, neither wrinkle their nose nor
raise their lip. So each emotion gets up to three modes (a mixture discriminant: Hastie and Tibshirani, 1996, JRSS
B 58(1)): the usual source's faces, the posed expression that action units describe, and the other sources' faces,
which are kept apart so that they do not blur the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from action_units import posed_expressions
from scipy.optimize import linear_sum_assignment, minimize
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import align, true_proportions
from perception_clip.perception.vector import EMOTIONS, NEUTRAL

# Balanced accuracy hardly moves between 60 and 200 symmetric components; sadness gains until 120. The 120th still
# has four times the standard deviation of the noise that the data file's float16 rounding makes (0.0005).
SYMMETRIC, ANTISYMMETRIC = 120, 40
# A class counts in the shared covariance by the cube root of its size: between all faces alike (only happy and
# neutral ones would count) and all classes alike (12 faces of fear would count as much as 6708 neutral ones).
CLASS_WEIGHT_POWER = 1 / 3
# Added to every component's standard deviation (squared), so that the discriminant does not lean on details
# that a landmarker on another photo cannot place. In inter-ocular distances.
LANDMARK_NOISE = 0.003
# What must not be taken for an expression is added to the covariance: what a turned head does to the landmarks, as
# if heads turned by √3 times the usual angles, and a part of how the other sources' faces differ.
POSE_WEIGHT, OTHER_WEIGHT = 3.0, 0.1
# … and what becomes of a face in a picture that is stretched, or whose depth a landmarker or a lens sees
# differently. Without it, a depth that is 20 % flatter would change the answer for every second face.
HEIGHT_STRETCH, DEPTH_STRETCH = 0.03, 0.055  # standard deviations, parts of the face's own
# The posed expression: its strength in those of action_units.py, as how many faces it counts in a class's mean, and
# its weight as a mode of its own.
POSED_STRENGTH, POSED_FACES, POSED_SHARE = 1.8, 25, 0.15
# The weight of an emotion's mode for other sources: part of it is the share of its faces that are from there. All
# of it would make the model take a source for an emotion; none of it, and the file's "disgust" is never recalled.
OTHER_SHARE, OWN_SHARE_PART = 0.1, 0.4
FOLDS = 5


@dataclass(frozen=True)
class Photos:
    """Labeled faces."""

    landmarks: Tensor  # (N, 478, 3) float32, normalized
    image_sizes: Tensor  # (N, 2) int64, (height, width)
    labels: Tensor  # (N,) int64, indices into EMOTIONS
    other_source: Tensor  # (N,) bool: the picture does not have the file's usual size

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Tensor) -> Photos:
        return Photos(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True)
class Shapes:
    """What is learned without labels; see ExpressionModel."""

    template: Tensor
    mean: Tensor
    mirror: Tensor
    symmetric: Tensor
    antisymmetric: Tensor
    asymmetry: Tensor


@dataclass(frozen=True)
class Measured:
    """Faces in the symmetric components, all that the classes are learned from."""

    components: Tensor  # (N, S) float64
    stretched: Tensor  # (N, 2, S) float64: how the components change when the face is higher, or deeper
    pose: Tensor  # (N, 4) float64: |yaw|, yaw², pitch, pitch² in radians: what may move symmetric components
    labels: Tensor  # (N,)
    other_source: Tensor  # (N,) bool

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Tensor) -> Measured:
        return Measured(*(getattr(self, f.name)[index] for f in fields(self)))


def load_photos(path: Path) -> Photos:
    with np.load(path, allow_pickle=False) as file:
        known = np.isin(file["label"], EMOTIONS)
        labels = torch.tensor([EMOTIONS.index(label) for label in file["label"][known]])
        landmarks = torch.from_numpy(file["landmarks"][known].astype(np.float32))
        image_sizes = torch.from_numpy(file["image_size"][known].astype(np.int64))
    sizes, counts = image_sizes.unique(dim=0, return_counts=True)
    return Photos(landmarks, image_sizes, labels, (image_sizes != sizes[counts.argmax()]).any(dim=1))


def fit(photos: Photos) -> ExpressionModel:
    """Estimate a model, calibrated on faces that were held out inside `photos`."""
    shapes = learn_shapes(photos)
    return fit_classes(shapes, measure(shapes, photos))


# --- shapes, without labels -----------------------------------------------------------------------------------


def learn_shapes(photos: Photos) -> Shapes:
    points = true_proportions(photos.landmarks, photos.image_sizes)
    template, mirror = make_template(points)
    faces = align(points, template).points.double()
    mean = faces.mean(dim=0)
    mean = (mean + mirrored(mean, mirror)) / 2
    reflections = mirrored(faces, mirror)
    symmetric, _ = principal_components((faces + reflections) / 2 - mean, SYMMETRIC)
    antisymmetric, asymmetry = principal_components((faces - reflections) / 2, ANTISYMMETRIC)
    return Shapes(
        template=template,
        mean=mean.float(),
        mirror=mirror,
        symmetric=symmetric.unflatten(1, mean.shape).float(),
        antisymmetric=antisymmetric.unflatten(1, mean.shape).float(),
        asymmetry=asymmetry.float(),
    )


def make_template(points: Tensor) -> tuple[Tensor, Tensor]:
    """Faces (N, 478, 3) in true proportions → the template (478, 3), and the mirror map (478,).

    Generalized Procrustes analysis (Gower, 1975): the mean of the faces after each is aligned to that mean. It
    is made symmetric, centered, and one inter-ocular distance (between the irises' centers) wide.
    """
    centered = points - points.mean(dim=1, keepdim=True)
    template = (centered / centered.square().mean(dim=(1, 2), keepdim=True).sqrt()).mean(dim=0)
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
    """Centered shapes (N, 478, 3) → orthonormal components (count, 1434), and their standard deviations."""
    flat = shapes.flatten(1)
    variances, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    components = vectors.flip(1)[:, :count].T
    largest = components.abs().argmax(dim=1, keepdim=True)  # a component's sign is free: fix it
    return components * components.gather(1, largest).sign(), variances.flip(0)[:count].sqrt()


def measure(shapes: Shapes | ExpressionModel, photos: Photos) -> Measured:
    points = true_proportions(photos.landmarks, photos.image_sizes)

    def components(points: Tensor) -> Tensor:
        shape = align(points, shapes.template).points - shapes.mean
        return shape.flatten(1).double() @ shapes.symmetric.flatten(1).double().T

    usual = components(points)
    higher, deeper = torch.tensor([[1, 1 + HEIGHT_STRETCH, 1], [1, 1, 1 + DEPTH_STRETCH]])
    stretched = torch.stack([components(points * factors) - usual for factors in (higher, deeper)], dim=1)
    rotation = align(points, shapes.template).rotation.double()
    yaw = torch.atan2(rotation[:, 0, 2], rotation[:, 2, 2])
    pitch = rotation[:, 1, 2].clamp(-1, 1).asin()
    pose = torch.stack([yaw.abs(), yaw.square(), pitch, pitch.square()], dim=1)
    return Measured(usual, stretched, pose, photos.labels, photos.other_source)


# --- classes --------------------------------------------------------------------------------------------------


def fit_classes(shapes: Shapes | ExpressionModel, faces: Measured) -> ExpressionModel:
    """Learn the emotions, leaving out neutral labels that other faces contradict, and calibrate."""

    def held_out_scores(faces: Measured, clean: bool) -> Tensor:
        scores = torch.zeros(len(faces), len(EMOTIONS))
        for train, test in folds(faces.labels):
            kept = cleaned(faces.select(train)) if clean else faces.select(train)
            scores[test] = estimate_classes(shapes, kept).component_scores(faces.components[test].float())
        return scores

    def cleaned(faces: Measured) -> Measured:
        return faces.select(~contradicted(held_out_scores(faces, clean=False), faces))

    temperature, doubt = calibrate(held_out_scores(faces, clean=True), faces.labels)
    return estimate_classes(shapes, cleaned(faces), temperature, doubt)


def contradicted(scores: Tensor, faces: Measured) -> Tensor:
    """Which neutral faces of the usual source most likely show an emotion: (N,) bool.

    Confident learning (Northcutt et al. 2021, JAIR 70): a face is counted as a class when its held-out probability
    reaches the mean of the faces labeled so; the likeliest such class is believed, not the label. For other
    labels than neutral it made the model worse: those classes need every face that they have.
    """
    probabilities = calibrated(scores, *calibrate(scores, faces.labels))
    usual = torch.stack([probabilities[faces.labels == e, e].mean() for e in range(len(EMOTIONS))])
    counted = torch.where(probabilities >= usual, probabilities, -1.0).max(dim=1)
    elsewhere = (counted.values >= 0) & (counted.indices != NEUTRAL)
    return elsewhere & (faces.labels == NEUTRAL) & ~faces.other_source


def estimate_classes(
    shapes: Shapes | ExpressionModel, faces: Measured, temperature: float = 1.0, doubt: float = 0.0
) -> ExpressionModel:
    """Modes, their shares and the covariance, from faces as they are labeled."""
    usual, other = faces.select(~faces.other_source), faces.select(faces.other_source)
    counts, averages = class_means(usual.labels, usual.components)
    covariance = covariance_within(usual, counts, averages)
    apart = other.components - averages[other.labels]  # (N', S)
    if len(other):
        covariance = covariance + OTHER_WEIGHT * apart.T @ apart / len(other)

    posed = averages[NEUTRAL] + POSED_STRENGTH * posed_expressions(
        shapes.template, shapes.mirror, shapes.symmetric, covariance
    )
    # The mean of a class whose prior is a Gaussian around the posed expression, worth POSED_FACES faces.
    common = (counts[:, None] * averages + POSED_FACES * posed) / (counts[:, None] + POSED_FACES)
    common[NEUTRAL] = averages[NEUTRAL]

    # The same for the other sources, around what is usual plus how these sources differ in general.
    other_counts, other_averages = class_means(other.labels, other.components)
    believed = other.labels != EMOTIONS.index("disgust")
    offset = apart[believed].mean(dim=0) if believed.any() else torch.zeros_like(averages[0])
    foreign = other_counts[:, None] * other_averages + POSED_FACES * (common + offset)
    foreign = foreign / (other_counts[:, None] + POSED_FACES)

    own_share = other_counts / (counts + other_counts).clamp_min(1)
    other_share = (1 - OWN_SHARE_PART) * OTHER_SHARE + OWN_SHARE_PART * own_share
    other_share = other_share * bool(len(other))
    posed_share = torch.full_like(other_share, POSED_SHARE)
    posed_share[NEUTRAL] = 0  # a neutral face cannot be posed
    here = torch.stack([1 - posed_share, posed_share], dim=1) * (1 - other_share)[:, None]
    return ExpressionModel(
        template=shapes.template,
        mean=shapes.mean,
        mirror=shapes.mirror,
        symmetric=shapes.symmetric,
        antisymmetric=shapes.antisymmetric,
        asymmetry=shapes.asymmetry,
        means=common.float(),
        modes=torch.stack([common, posed, foreign], dim=1).float(),
        shares=torch.cat([here, other_share[:, None]], dim=1).float(),
        covariance=covariance.float(),
        temperature=torch.tensor(temperature),
        doubt=torch.tensor(doubt),
    )


def class_means(labels: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The number of faces of each emotion (7,), and the mean of their values (7, …); 0 where there are none."""
    members = torch.nn.functional.one_hot(labels, len(EMOTIONS)).double()  # (N, 7)
    counts = members.sum(dim=0)
    return counts, members.T @ values / counts.clamp_min(1)[:, None]


def covariance_within(faces: Measured, counts: Tensor, averages: Tensor) -> Tensor:
    """(S, S): of faces around the mean of their emotion, of what pose and stretching do to them, and of noise."""
    weights = torch.where(counts > 2, counts**CLASS_WEIGHT_POWER, 0)
    weights = weights / weights.sum() / (counts - 1).clamp_min(1)
    apart = faces.components - averages[faces.labels]
    covariance = (apart * weights[faces.labels, None]).T @ apart
    turned = faces.pose - class_means(faces.labels, faces.pose)[1][faces.labels]
    effect = torch.linalg.lstsq(turned, apart).solution  # (4, S)
    stretched = faces.stretched.flatten(0, 1)  # (N · 2, S)
    covariance = covariance + stretched.T @ stretched / len(faces)
    covariance = covariance + POSE_WEIGHT * effect.T @ turned.T.cov() @ effect
    return covariance + LANDMARK_NOISE**2 * torch.eye(len(covariance), dtype=torch.float64)


# --- calibration ----------------------------------------------------------------------------------------------


def folds(labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Stratified: the indices to train on and those to judge, `FOLDS` times."""
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in splitter.split(np.zeros(len(labels)), labels.numpy()):
        yield torch.from_numpy(train), torch.from_numpy(test)


def class_weights(labels: Tensor) -> Tensor:
    """Weights (N,), sum 1, under which every class counts alike."""
    counts = labels.bincount(minlength=len(EMOTIONS)).double()
    return 1 / ((counts > 0).sum() * counts)[labels]


def calibrate(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """The temperature (Guo et al. 2017) and the doubt with the smallest log loss, classes weighted alike.

    The doubt is the share of faces that carry a label of chance, and keeps the probabilities away from 1.
    """
    weights, scores = class_weights(labels), scores.double()

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.tensor(values, requires_grad=True)
        probabilities = calibrated(scores, free[0].exp(), free[1].sigmoid())
        total = -(weights @ probabilities[torch.arange(len(labels)), labels].log())
        total.backward()
        return float(total.detach()), free.grad.numpy()

    best = minimize(loss, np.array([0.5, -2.0]), jac=True, method="L-BFGS-B").x
    return float(np.exp(best[0])), float(1 / (1 + np.exp(-best[1])))


def calibrated(scores: Tensor, temperature: float | Tensor, doubt: float | Tensor) -> Tensor:
    """Scores at temperature 1 → probabilities (N, 7), as ExpressionModel makes them."""
    return (1 - doubt) * (scores / temperature).softmax(dim=1) + doubt / len(EMOTIONS)
