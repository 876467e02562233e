"""Measure the effect of each part of the projection network and its training: the table of ablation.md.

    python benchmarks/ablation.py [--faces FILE] [--vectors FILE] [--only NAME …] > table.md

The protocol is that of projection_quality.py. Every line changes one thing compared with the default; alternatives
that did not pay are not part of the pack and are defined here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from inputs import need
from projection_quality import HELD_OUT, SHARED, Faces, drawn, few_of, load_faces
from torch import Tensor, nn

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import align, from_true_proportions, head_pose, true_proportions
from perception_clip.perception.vector import LANDMARKS, split
from perception_clip.projection import features as features_of_faces
from perception_clip.projection import network as networks
from perception_clip.projection.features import FaceFeatures
from perception_clip.projection.network import ProjectionNetwork
from perception_clip.training.evaluation.metrics import METRICS, evaluate_predictions
from perception_clip.training.learning import run, trainer
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.ridge import best_ridge
from perception_clip.training.learning.settings import SIZES, Settings, Size
from perception_clip.training.learning.split import Split, split_rows

COUNTS = {300: 4, 3000: 2}  # samples → seeds
SETTINGS = Settings(epochs=40)
MODEL = ExpressionModel.load()
OTHER_SIZES = ((128, 1), (256, 1), (256, 4), (512, 2), (512, 4))


@dataclass(frozen=True)
class Variant:
    """One line of the table."""

    part: str
    name: str
    settings: Settings = SETTINGS
    patches: tuple[tuple[object, str, object], ...] = ()  # module, attribute, value
    data: Callable[[TrainingData, Split], tuple[TrainingData, Split]] | None = None


class Features(FaceFeatures):
    """Features with a different shape part, which a subclass defines."""

    whitened = False
    emotions = True

    @classmethod
    def fit(cls, vectors: Tensor, image_sizes: Tensor, template: Tensor) -> FaceFeatures:
        with patch.object(features_of_faces, "_shapes_and_cues", cls.shapes_and_cues):
            plain = FaceFeatures.fit(vectors, image_sizes, template)
        features = cls(plain.shape_basis.shape[1])
        features.load_state_dict(plain.state_dict())
        if cls.whitened:
            shapes = cls.shapes(vectors, image_sizes, template) - features.shape_mean
            features.shape_basis.div_(shapes.matmul(features.shape_basis).std(dim=0).clamp_min(1e-6))
        if not cls.emotions:
            features.emotion_spread.fill_(1e6)
        return features

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        with patch.object(features_of_faces, "_shapes_and_cues", self.shapes_and_cues):
            return super().forward(vectors, image_sizes)

    @classmethod
    def shapes_and_cues(cls, vectors: Tensor, image_sizes: Tensor, template: Tensor) -> tuple[Tensor, Tensor]:
        return cls.shapes(vectors, image_sizes, template), UPRIGHT(vectors, image_sizes, template)[1]

    @staticmethod
    def shapes(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
        return UPRIGHT(vectors, image_sizes, template)[0]


UPRIGHT = features_of_faces._shapes_and_cues


class PoseFree(Features):
    @staticmethod
    def shapes(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
        return align(true_proportions(split(vectors)[0], image_sizes), template).points.flatten(1)


class PoseFreeAndPose(Features):
    @staticmethod
    def shapes(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
        shapes = PoseFree.shapes(vectors, image_sizes, template)
        angles = head_pose(split(vectors)[0], image_sizes, template) / 10  # in units comparable with the shapes
        return torch.cat([shapes[:, :-3], angles], dim=1)


class Tilted(Features):
    @staticmethod
    def shapes(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
        points = true_proportions(split(vectors)[0], image_sizes)
        points = points - points.mean(dim=1, keepdim=True)
        return (points / points.flatten(1).norm(dim=1)[:, None, None] * template.norm()).flatten(1)


class Raw(Features):
    @staticmethod
    def shapes(vectors: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
        return vectors[:, : LANDMARKS * 3] * 10


class Whitened(Features):
    whitened = True


class NoEmotions(Features):
    emotions = False


class LinearBeside(ProjectionNetwork):
    """The MLP plus a linear map of the features."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.linear = nn.Linear(self.features.count, self.architecture.output)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def standardized(self, features: Tensor) -> Tensor:
        return super().standardized(features) + self.linear(features)


def from_ridge(data: TrainingData, rows: Split, *more: object) -> ProjectionNetwork:
    """Return a new network whose linear part is initialized as the ridge regression of the targets."""
    with patch.object(trainer, "ProjectionNetwork", LinearBeside):
        network = trainer.new_network(data, rows, *more)
    parts = rows.train, rows.validation
    fitted, held_out = (network.features(data.vectors[part], data.image_sizes[part]) for part in parts)
    goals = (data.targets - network.target_mean) / network.target_scale
    weight, bias = best_ridge(fitted, goals[rows.train], held_out, goals[rows.validation])
    with torch.no_grad():
        network.linear.weight.copy_(weight)
        network.linear.bias.copy_(bias)
    return network


class NoResidual(networks.ResidualBlock):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) - hidden


Losses = Callable[[Tensor, Tensor], Tensor]  # predicted and own (B, 768) → (B,)
squared: Losses = trainer.losses


def cosine(predicted: Tensor, own: Tensor) -> Tensor:
    return 1 - nn.functional.cosine_similarity(predicted, own, dim=1)


def whitened(predicted: Tensor, own: Tensor) -> Tensor:
    """Return the squared error along the principal axes of the distinct targets, weighted equally."""
    _, singular, axes = torch.linalg.svd(own.unique(dim=0), full_matrices=False)
    kept = singular > singular[0] * 1e-2
    scale = singular[kept].square().mean().sqrt() / singular[kept]
    return ((predicted - own) @ axes[kept].T * scale).square().sum(dim=1) / own.shape[1]


def info_nce(temperature: float) -> Losses:
    """Return the InfoNCE loss over the distinct prompts of a batch; all rows of a prompt are positives.

    (van den Oord et al. 2018, "Representation learning with contrastive predictive coding".)
    """

    def losses(predicted: Tensor, own: Tensor) -> Tensor:
        distinct, number = own.unique(dim=0, return_inverse=True)
        similarity = nn.functional.normalize(predicted, dim=1) @ nn.functional.normalize(distinct, dim=1).T
        return nn.functional.cross_entropy(similarity / temperature, number, reduction="none")

    return losses


def mixed(*parts: tuple[float, Losses]) -> tuple[tuple[object, str, object], ...]:
    """Return patches that use the weighted sum of several losses."""
    return ((trainer, "losses", lambda predicted, own: sum(w * part(predicted, own) for w, part in parts)),)


def more_rows(data: TrainingData, rows: Split, vectors: Tensor) -> tuple[TrainingData, Split]:
    """Add training rows: `vectors` (n, 1441), one for each of the n training rows."""
    extra = torch.arange(len(vectors)) + len(data)
    together = training_data(
        torch.cat([data.vectors, vectors]),
        torch.cat([data.image_sizes, data.image_sizes[rows.train]]),
        torch.cat([data.targets, data.targets[rows.train]]),
    )
    return together, replace(rows, train=torch.cat([rows.train, extra]))


def mirrored(data: TrainingData, rows: Split) -> tuple[TrainingData, Split]:
    landmarks, emotions = split(data.vectors[rows.train])
    flipped = landmarks[:, MODEL.mirror] * torch.tensor([-1.0, 1, 1]) + torch.tensor([1.0, 0, 0])
    return more_rows(data, rows, torch.cat([flipped.flatten(1), emotions], dim=1))


def noisy(data: TrainingData, rows: Split) -> tuple[TrainingData, Split]:
    """Add faces moved by 0.01 inter-ocular distances, which is the landmarker's own jitter."""
    landmarks, emotions = split(data.vectors[rows.train])
    sizes = data.image_sizes[rows.train]
    points = true_proportions(landmarks, sizes)
    eyes = (points[:, 468] - points[:, 473]).norm(dim=1)[:, None, None]
    noise = torch.randn(points.shape, generator=torch.Generator().manual_seed(0)) * 0.01 / 3**0.5
    return more_rows(
        data, rows, torch.cat([from_true_proportions(points + noise * eyes, sizes).flatten(1), emotions], dim=1)
    )


def rotated(data: TrainingData, rows: Split) -> tuple[TrainingData, Split]:
    """Add faces rotated by a few degrees around a random axis."""
    landmarks, emotions = split(data.vectors[rows.train])
    sizes = data.image_sizes[rows.train]
    points = true_proportions(landmarks, sizes)
    turn = torch.randn(len(points), 3, generator=torch.Generator().manual_seed(0)) * 3 * torch.pi / 180
    x, y, z, none = *turn.unbind(dim=1), torch.zeros(len(points))
    cross = torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=1).view(-1, 3, 3)
    center = points.mean(dim=1, keepdim=True)
    moved = (points - center) @ torch.linalg.matrix_exp(cross) + center
    return more_rows(data, rows, torch.cat([from_true_proportions(moved, sizes).flatten(1), emotions], dim=1))


def sized(width: int, depth: int) -> tuple[tuple[object, str, object], ...]:
    return ((trainer, "SIZES", {**SIZES, "base": Size(width, depth)}),)


def dropping(share: float) -> type[networks.ResidualBlock]:
    class Dropping(networks.ResidualBlock):
        """A block with dropout of its inner values."""

        def forward(self, hidden: Tensor) -> Tensor:
            inner = nn.functional.gelu(self.expand(self.norm(hidden)))
            return hidden + self.reduce(nn.functional.dropout(inner, share, self.training))

    return Dropping


def features(kind: type[Features]) -> tuple[tuple[object, str, object], ...]:
    return ((trainer, "FaceFeatures", kind),)


VARIANTS = (
    Variant("", "**the default**"),
    Variant("features", "pose-free (rigid fit) instead of upright", patches=features(PoseFree)),
    Variant("features", "pose-free, plus three head pose features", patches=features(PoseFreeAndPose)),
    Variant("features", "roll kept", patches=features(Tilted)),
    Variant("features", "raw image coordinates", patches=features(Raw)),
    Variant("features", "components whitened", patches=features(Whitened)),
    Variant("features", "32 components", patches=((features_of_faces, "COMPONENTS", 32),)),
    Variant("features", "256 components", patches=((features_of_faces, "COMPONENTS", 256),)),
    Variant("features", "without emotions", patches=features(NoEmotions)),
    Variant("network", "an additional linear part", patches=((trainer, "ProjectionNetwork", LinearBeside),)),
    Variant("network", "a linear part initialized as ridge", patches=((trainer, "new_network", from_ridge),)),
    Variant("network", "blocks without residuals", patches=((networks, "ResidualBlock", NoResidual),)),
    *(Variant("network", f"width {w}, depth {d}", patches=sized(w, d)) for w, d in OTHER_SIZES),
    *(Variant("network", f"dropout {share}", patches=((networks, "ResidualBlock", dropping(share)),))
      for share in (0.1, 0.3, 0.5)),
    Variant("loss", "plus the cosine", patches=mixed((1, squared), (1, cosine))),
    Variant("loss", "cosine alone", patches=mixed((1, cosine))),
    Variant("loss", "squared error in the whitened space", patches=mixed((1, whitened))),
    *(Variant("loss", f"plus the cosine and {w} × InfoNCE, temperature {t}",
              patches=mixed((1, squared), (1, cosine), (w, info_nce(t))))
      for w, t in ((0.1, 0.1), (1.0, 0.1), (1.0, 0.3))),
    Variant("loss", "InfoNCE alone, temperature 0.1", patches=mixed((1, info_nce(0.1)))),
    Variant("training", "no averaging of the weights", patches=((run, "AVERAGING", 0.0),)),
    *(Variant("training", f"learning rate {rate}", settings=replace(SETTINGS, learning_rate=rate))
      for rate in (1e-4, 3e-4, 3e-3)),
    Variant("training", "batches of 32", settings=replace(SETTINGS, batch_size=32)),
    Variant("training", "no weight decay", patches=((run, "WEIGHT_DECAY", 0.0),)),
    Variant("augmentation", "mirrored faces added", data=mirrored),
    Variant("augmentation", "landmark noise added", data=noisy),
    Variant("augmentation", "faces rotated by 3° added", data=rotated),
)  # fmt: skip


@contextmanager
def patched(patches: tuple[tuple[object, str, object], ...]) -> Iterator[None]:
    if not patches:
        yield
        return
    with patch.object(*patches[0]), patched(patches[1:]):
        yield


def measured(variant: Variant, faces: Faces, vectors: Path, count: int, seed: int) -> tuple[float, float]:
    """Return recall@1 and the centered cosine on the test faces."""
    data = drawn(faces, vectors, seed)
    rows = split_rows(faces.groups, len(data), seed, prompts=data.target_index.tolist(), share=HELD_OUT)
    rows = few_of(rows, count, seed)
    candidates, target_index, truth = (
        data.targets[data.first_row],
        data.target_index[rows.test],
        data.targets[rows.test],
    )
    center = data.targets[rows.train].mean(dim=0)
    learned = (data, rows) if variant.data is None else variant.data(data, rows)
    with patched(variant.patches):
        network = trainer.train(*learned, MODEL.template, replace(variant.settings, seed=seed)).network.eval()
        with torch.no_grad():
            predicted = network(data.vectors[rows.test], data.image_sizes[rows.test])
    values = evaluate_predictions(predicted, truth, candidates, target_index, center).values.mean(dim=0)
    return float(values[METRICS.index("recall_at_1")]), float(values[METRICS.index("centered_cosine")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=SHARED / "expression_landmarks.npz")
    parser.add_argument("--vectors", type=Path, default=SHARED / "clip_l14_pooled.npz")
    parser.add_argument("--only", nargs="*", help="only lines whose name contains one of these")
    arguments = parser.parse_args()
    need(arguments.faces, "give the file of face landmarks with --faces")
    need(arguments.vectors, "give the file of text vectors with --vectors")
    torch.set_num_threads(1)  # on busy cores, two threads mostly wait for each other
    faces = load_faces(arguments.faces)
    heads = [f"{metric}, {count:,} samples" for count in COUNTS for metric in ("recall@1", "cosine")]
    print(f"| | | {' | '.join(heads)} | seconds |")
    print("|---|---|" + "---|" * (len(heads) + 1))
    for variant in VARIANTS:
        if arguments.only and not any(text in variant.name for text in arguments.only):
            continue
        cells, started = [], time.perf_counter()
        for count, seeds in COUNTS.items():
            found = [measured(variant, faces, arguments.vectors, count, seed) for seed in range(seeds)]
            cells += [f"{value:.3f}" for value in np.mean(found, axis=0)]
        print(
            f"| {variant.part} | {variant.name} | {' | '.join(cells)} | {time.perf_counter() - started:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
