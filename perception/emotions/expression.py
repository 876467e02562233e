"""The bundled expression model: one small statistical face-shape model that classifies, edits and samples.

The landmarks of a face, without rotation, position, scale and picture shape (perception/geometry.py), are a mean
face plus a sum of shape components, as in Cootes et al. (1995), "Active shape models", CVIU 61(1). Half of
the components are mirror-symmetric and carry the expression; the others are antisymmetric and carry what is
left: crooked smiles, a glance aside. In the symmetric components each emotion has a mean: a difference of two
means turns one expression into another, and a Gaussian draw around one is a new face. To tell emotions apart, each
has several modes (what ordinary photos show, the posed expression, photos of other kinds), and all modes share one
covariance: a mixture discriminant (Hastie and Tibshirani, 1996, JRSS B 58(1)), which gives the seven probabilities.

With a neutral face of the same person as a reference, a face is classified by its difference from that face.

The weights are created by tools/train_expression_model.py; weights/README.md lists the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ...common import threads
from ...common.errors import InputError
from .. import weight_files
from ..engines import Faces
from ..geometry import Alignment, align, from_true_proportions, true_proportions
from ..vector import EMOTIONS, LANDMARKS, NEUTRAL
from ..weight_files import WeightFileError

BUNDLED = weight_files.FOLDER / "expression.safetensors"

RELATIVE = "+neutral"  # suffix of the identity of a model that works relative to a neutral face
# The faces that `sample` draws: how large and how turned.
PICTURE = 512  # pixels; square
FACE_FRACTION = (0.25, 0.75)  # of the picture's side, taken by the face's larger extent
MARGIN = 0.02  # of the picture's side, kept free around the face
POSE_DEGREES = (8.0, 14.0, 6.0)  # standard deviations of pitch, yaw and roll
POSE_LIMIT = 2.5  # standard deviations
# How much of a neutral face's difference from the mean neutral face is the person's own, and will be there again in
# that person's next photo; the rest is the photo's: pose, a trace of expression, the landmarker's noise. Assumed:
# the training photos say nothing of who is who. Two photos of one person in one mood differ by 0.2 to 0.6 of what
# two people's neutral faces do (six photos of two people).
PERSONAL = 0.5

# Landmarks (478, 3) or (N, 478, 3) of one person's neutral face, and (height, width) (2,) or (N, 2).
NeutralFace = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class ExpressionModel:
    """See the module. Lengths are in inter-ocular distances of the template; all tensors are float32.

    S counts the symmetric shape components, A the antisymmetric ones, M the modes of an emotion.
    """

    template: Tensor  # (478, 3): the centered, mirror-symmetric face that every face is aligned to
    mean: Tensor  # (478, 3): the mean of the aligned faces
    mirror: Tensor  # (478,) int64: landmark i of a mirrored face is landmark mirror[i] of the face
    symmetric: Tensor  # (S, 478, 3) orthonormal shape components
    antisymmetric: Tensor  # (A, 478, 3)
    means: Tensor  # (7, S): the mean of each emotion in the symmetric components, of ordinary photos
    modes: Tensor  # (7, M, S): what each emotion looks like, as means in the symmetric components
    shares: Tensor  # (7, M): how much each mode counts; ≥ 0, sum 1 for each emotion
    covariance: Tensor  # (S, S): around a mode, shared
    asymmetry: Tensor  # (A,): standard deviations of the antisymmetric components
    temperature: Tensor  # (): divides the scores, so that the probabilities are calibrated
    doubt: Tensor  # (), 0…1: the share of photos whose label says nothing; keeps the probabilities away from 1
    identity: str = "expression-model-unsaved/2"

    @classmethod
    def load(cls, path: Path = BUNDLED) -> ExpressionModel:
        """Return a model read to the CPU. Raises WeightFileError with the file and the remedy if it is damaged."""
        tensors, digest = weight_files.read(path)
        s, a = (len(tensors.get(name, ())) for name in ("symmetric", "antisymmetric"))
        m = tensors["modes"].shape[1] if tensors.get("modes", torch.tensor(0)).ndim == 3 else 0
        shapes: dict[str, tuple[int, ...]] = {
            "template": (LANDMARKS, 3),
            "mean": (LANDMARKS, 3),
            "mirror": (LANDMARKS,),
            "symmetric": (s, LANDMARKS, 3),
            "antisymmetric": (a, LANDMARKS, 3),
            "means": (len(EMOTIONS), s),
            "modes": (len(EMOTIONS), m, s),
            "shares": (len(EMOTIONS), m),
            "covariance": (s, s),
            "asymmetry": (a,),
            "temperature": (),
            "doubt": (),
        }
        if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes:
            raise WeightFileError(path, "is not an expression model of this version")
        tensors = {
            name: tensor.to(torch.int64 if name == "mirror" else torch.float32) for name, tensor in tensors.items()
        }
        return cls(**tensors, identity=f"expression-model-bundled/2:{digest[:8]}")

    @cached_property
    def discriminant(self) -> tuple[Tensor, Tensor]:
        """Return Fisher's linear discriminant of the modes, (S, 7·M) and (7·M,).

        components @ first + second is a mode's log-likelihood, up to a constant per face, plus the logarithm of its
        share. Every emotion has the same prior: the training photos, like most, are nearly all happy or neutral, and
        with their prior a rare emotion would hardly ever win.
        """
        modes, covariance = self.modes.flatten(0, 1).double(), self.covariance.double()
        directions = torch.linalg.solve(covariance, modes.T)  # (S, 7·M)
        offsets = self.shares.flatten().double().log() - (modes.T * directions).sum(dim=0) / 2
        return directions.to(self.means), offsets.to(self.means)

    @cached_property
    def spread(self) -> Tensor:
        """Return the Cholesky factor (S, S) of `covariance`, which turns white noise into components."""
        factor: Tensor = torch.linalg.cholesky(self.covariance.double())
        return factor.to(self.means)

    def align(self, landmarks: Tensor, image_sizes: Tensor) -> Alignment:
        """Return landmarks (N, 478, 3), normalized, of pictures (height, width) (N, 2), aligned with the template.

        Raises ValueError for another shape, or for NaN or infinite landmarks.
        """
        if landmarks.ndim != 3 or landmarks.shape[1:] != (LANDMARKS, 3):
            raise ValueError(f"landmarks must have the shape (N, {LANDMARKS}, 3), not {tuple(landmarks.shape)}")
        if image_sizes.shape != (len(landmarks), 2):
            raise ValueError(f"image sizes must have the shape ({len(landmarks)}, 2), not {tuple(image_sizes.shape)}")
        points = true_proportions(landmarks.to(self.template), image_sizes.cpu())
        bad = (~points.isfinite().flatten(1).all(dim=1)).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(f"the landmarks of face {bad[0]} contain NaN or infinite values")
        return align(points, self.template)

    def components(self, landmarks: Tensor, image_sizes: Tensor) -> Tensor:
        """Return symmetric components (N, S) of landmarks (N, 478, 3), normalized, and (height, width) (N, 2)."""
        return (self.align(landmarks, image_sizes).points - self.mean).flatten(1) @ self.symmetric.flatten(1).T

    def component_scores(self, components: Tensor) -> Tensor:
        """Return scores (N, 7) of components (N, S) at temperature 1: log-likelihoods up to a constant per face."""
        directions, offsets = self.discriminant
        modes: Tensor = (components @ directions + offsets).unflatten(1, self.shares.shape)  # (N, 7, M)
        return modes.logsumexp(dim=2)

    def scores(self, landmarks: Tensor, image_sizes: Tensor, neutral: NeutralFace | None = None) -> Tensor:
        """Return the log-likelihoods (N, 7), up to a constant per face, for use with other priors.

        The arguments are those of `probabilities`; `doubt` is not applied.
        """
        components = self.components(landmarks, image_sizes)
        if neutral is None:
            return self.component_scores(components) / self.temperature
        person, personal = self._person(*neutral)
        # What is known of the person is taken away, and the covariance shrinks by as much as is explained: for a
        # neutral face, whose reference explains `personal` of the standard deviation, to 1 − personal². That is
        # taken for all faces, and the same as a lower temperature.
        return self.component_scores(components - personal * person) / (self.temperature * (1 - personal**2))

    def _person(self, landmarks: Tensor, image_sizes: Tensor) -> tuple[Tensor, float]:
        """Return the difference (S,) of a person's neutral faces from the mean neutral face.

        The second value is the share of it that is the person's, by the Spearman-Brown formula for a mean of several.
        """
        if landmarks.ndim == 2:
            landmarks, image_sizes = landmarks[None], image_sizes.reshape(1, -1)
        if not len(landmarks):
            raise InputError("the neutral reference contains no face; use at least one")
        mean = self.components(landmarks, image_sizes).mean(dim=0)
        personal = len(landmarks) * PERSONAL / (1 + (len(landmarks) - 1) * PERSONAL)
        return mean - self.means[NEUTRAL], personal

    def probabilities(self, landmarks: Tensor, image_sizes: Tensor, neutral: NeutralFace | None = None) -> Tensor:
        """Return probabilities (N, 7) float32, each ≥ 0, sum 1, of landmarks (N, 478, 3) and (height, width) (N, 2).

        `neutral`, if given, is a neutral face of the person whom all N faces show, or several: landmarks (478, 3)
        or (K, 478, 3) and (height, width) (2,) or (K, 2). Expressions are then measured relative to it.

        Landmarks are normalized. The order is that of `EMOTIONS`; the result is on the CPU.
        Raises ValueError for another shape, for NaN or infinite landmarks, or a reference without a face.
        """
        sure = self.scores(landmarks, image_sizes, neutral).softmax(dim=1)
        probabilities: Tensor = (1 - self.doubt) * sure + self.doubt / len(EMOTIONS)
        return probabilities

    def classify(
        self, pictures: Sequence[Tensor], faces: Sequence[Faces], neutral: NeutralFace | None = None
    ) -> Tensor:
        """Implement `EmotionModel.classify`; only the sizes of the pictures (H, W, 3) are used."""
        if not sum(map(len, faces)):
            return torch.zeros(0, len(EMOTIONS))
        sizes = [picture.shape[:2] for picture, group in zip(pictures, faces, strict=True) for _ in range(len(group))]
        landmarks = torch.cat([group.landmarks for group in faces])
        return threads.run(self.probabilities, landmarks, torch.tensor(sizes), neutral)

    def relative_to(self, landmarks: Tensor, image_sizes: Tensor) -> RelativeExpressionModel:
        """Return an `EmotionModel` that measures every face relative to one or several neutral faces of a person.

        Landmarks (478, 3) or (K, 478, 3), normalized, and (height, width) (2,) or (K, 2). Raises ValueError for
        another shape, for NaN or infinite landmarks, or without a face.
        """
        self._person(landmarks, image_sizes)  # a bad reference is named now, not at the first picture
        return RelativeExpressionModel(self, (landmarks, image_sizes))

    def displacement(self, landmarks: Tensor, image_sizes: Tensor, emotion: int) -> Tensor:
        """Return how landmarks (N, 478, 3) move toward an emotion, an index; pose, position and identity stay.

        It is the difference between the means of the emotion and of neutral in the pose of each face; for neutral, the
        one that removes every emotion that the model detects.
        """
        start = self.means[NEUTRAL]
        if emotion == NEUTRAL:
            start = self.scores(landmarks, image_sizes).softmax(dim=1) @ self.means  # (N, S)
        move = torch.tensordot(self.means[emotion] - start, self.symmetric, dims=1)  # (478, 3) or (N, 478, 3)
        return from_true_proportions(self.align(landmarks, image_sizes).to_image_frame(move), image_sizes)

    def sample(
        self, emotions: Tensor, strengths: Tensor, generator: torch.Generator, variety: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return random faces: normalized landmarks (N, 478, 3) float32, and (height, width) (N, 2) int32.

        See `sample_shapes` for the arguments. Faces are completely inside a square picture, with varied sizes,
        positions and mild poses. The same generator state gives the same faces.
        """
        shapes = self.sample_shapes(emotions, strengths, generator, variety)
        return placed(shapes, random_poses(len(shapes), generator), generator)

    def sample_shapes(
        self, emotions: Tensor, strengths: Tensor, generator: torch.Generator, variety: float = 1.0
    ) -> Tensor:
        """Return random faces (N, 478, 3) float32 in the frame of the template, without a pose.

        `emotions` (N,) are indices into `EMOTIONS`; `strengths` (N,) are 0 for neutral, 1 for the emotion's mean,
        up to about 1.5. `variety` scales the differences between faces of one emotion and strength: 1 as in the
        training photos, 0 for none.
        """
        neutral = self.means[NEUTRAL]
        expression = strengths.to(self.means)[:, None] * (self.means[emotions] - neutral)
        noise = torch.randn(len(emotions), len(self.symmetric), generator=generator)
        symmetric = neutral + expression + variety * noise @ self.spread.T  # (N, S)
        noise = torch.randn(len(emotions), len(self.antisymmetric), generator=generator)
        shapes: Tensor = self.mean + torch.tensordot(symmetric, self.symmetric, dims=1)
        shapes = shapes + torch.tensordot(variety * noise * self.asymmetry, self.antisymmetric, dims=1)
        return shapes


def random_poses(count: int, generator: torch.Generator) -> Tensor:
    """Return mild random poses, pitch, yaw and roll (N, 3) in degrees as `rotations` has them."""
    noise = torch.randn(count, 3, generator=generator).clamp(-POSE_LIMIT, POSE_LIMIT)
    return noise * torch.tensor(POSE_DEGREES)


def placed(shapes: Tensor, degrees: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return landmarks (N, 478, 3), normalized, and (height, width) (N, 2) int32 of shapes in square pictures.

    The shapes (N, 478, 3) are in the frame of the template and turned by pitch, yaw and roll (N, 3); their sizes and
    positions in the picture are random.
    """
    points = shapes @ rotations(degrees.deg2rad()).transpose(1, 2)
    low, high = points.amin(dim=1), points.amax(dim=1)  # (N, 3)
    extent = (high - low)[:, :2]
    smallest, largest = FACE_FRACTION
    fraction = smallest + (largest - smallest) * torch.rand(len(shapes), 1, generator=generator)
    scale = fraction / extent.amax(dim=1, keepdim=True)  # (N, 1)
    free = 1 - 2 * MARGIN - extent * scale
    corner = MARGIN + torch.rand(len(shapes), 2, generator=generator) * free  # (N, 2): the face's left and top
    # MediaPipe's z is 0 at a face's middle, as that of the aligned faces is: only x and y are shifted.
    shift = torch.nn.functional.pad(corner - low[:, :2] * scale, (0, 1))  # (N, 3)
    landmarks = points * scale[:, None] + shift[:, None]
    return landmarks, torch.full((len(shapes), 2), PICTURE, dtype=torch.int32)


@dataclass(frozen=True, eq=False)
class RelativeExpressionModel:
    """An expression model for one person; see `ExpressionModel.relative_to`."""

    model: ExpressionModel
    neutral: NeutralFace

    @property
    def identity(self) -> str:
        """Return the identity of the model with a suffix."""
        return f"{self.model.identity}{RELATIVE}"

    def classify(self, pictures: Sequence[Tensor], faces: Sequence[Faces]) -> Tensor:
        """Implement `EmotionModel.classify`: return (total faces, 7) float32 probabilities."""
        return self.model.classify(pictures, faces, self.neutral)


def rotations(angles: Tensor) -> Tensor:
    """Return rotations (N, 3, 3), yaw first, then pitch, then roll, from pitch, yaw and roll (N, 3) in radians."""
    sin, cos = angles.sin(), angles.cos()
    zero, one = torch.zeros_like(sin[:, 0]), torch.ones_like(sin[:, 0])

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, dim=1).reshape(-1, 3, 3)

    pitch = matrix(one, zero, zero, zero, cos[:, 0], -sin[:, 0], zero, sin[:, 0], cos[:, 0])
    yaw = matrix(cos[:, 1], zero, sin[:, 1], zero, one, zero, -sin[:, 1], zero, cos[:, 1])
    roll = matrix(cos[:, 2], -sin[:, 2], zero, sin[:, 2], cos[:, 2], zero, zero, zero, one)
    return roll @ pitch @ yaw
