"""Sampled faces with prompts, a small projection of them, and how good it is: what a report is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import align, true_proportions
from perception_clip.perception.vector import EMOTIONS, pack, split
from perception_clip.projection.checkpoint import Checkpoint, Metadata
from perception_clip.projection.network import Architecture
from perception_clip.training.evaluation.evaluation import Evaluation, evaluate
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.ridge import best_ridge
from perception_clip.training.learning.run import Epoch
from perception_clip.training.learning.split import Split

MODEL = ExpressionModel.load()
WIDTH = 768
COMPONENTS = torch.cat([MODEL.symmetric, MODEL.antisymmetric]).flatten(1)  # (C, 1434)
FEATURES = len(COMPONENTS) + len(EMOTIONS)


class LinearProjection(nn.Module):
    """A linear map of a face's shape components and of its emotions' logarithms."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)  # (768, FEATURES), (768,)
        self.architecture = Architecture(components=8)

    @staticmethod
    def features(vectors: Tensor, image_sizes: Tensor) -> Tensor:
        landmarks, emotions = split(vectors)
        shapes = align(true_proportions(landmarks, image_sizes), MODEL.template).points.flatten(1)
        return torch.cat([10 * shapes @ COMPONENTS.T, emotions.clamp_min(1e-3).log()], dim=1)

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        return self.features(vectors, image_sizes) @ self.weight.T + self.bias


@dataclass(frozen=True)
class Evaluated:
    """All that `write_training_report` is given."""

    checkpoint: Checkpoint
    data: TrainingData
    evaluation: Evaluation
    history: list[Epoch]
    sources: list[str]


def checkpoint_of(network: nn.Module) -> Checkpoint:
    about = Metadata(encoder="a text encoder", dataset={"sha256": "0" * 64, "samples": 400})
    return Checkpoint(network, about, neutral=torch.zeros(WIDTH), fingerprint=None)  # type: ignore[arg-type]


def sampled(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Faces of all emotions in turn: perceptions (N, 1441), picture sizes (N, 2), strengths (N,) 0.2…1.4."""
    strengths = 0.2 + 1.2 * torch.rand(count, generator=generator)
    landmarks, sizes = MODEL.sample(torch.arange(count) % len(EMOTIONS), strengths, generator)
    return pack(landmarks, MODEL.probabilities(landmarks, sizes)), sizes, strengths


def named(number: int) -> str:
    """Short names, and long ones."""
    emotion, level = EMOTIONS[number % 7], number // 7
    return f"a {emotion} face, {level}" + ", in a very detailed studio portrait with soft light" * (number % 3)


@cache
def evaluated(
    rows: int = 420, prompts: int = 21, held: int = 140, name: Callable[[int], str] = named, before: bool = False
) -> Evaluated:
    """Faces whose prompt is their emotion and how strong it is; a ridge learns from all but the last `held` of them."""
    generator = torch.Generator().manual_seed(0)
    vectors, sizes, strengths = sampled(rows, generator)
    levels = max(1, prompts // len(EMOTIONS))
    level = ((strengths - 0.2) / 1.2 * levels).long().clamp(0, levels - 1)
    target_index = (torch.arange(rows) % len(EMOTIONS) + len(EMOTIONS) * level) % prompts
    texts = torch.randn(len(EMOTIONS), WIDTH, generator=generator) * 0.5  # one direction for each emotion …
    own = torch.randn(prompts, WIDTH, generator=generator) * 0.3  # … and one for each prompt; and a common part
    candidates = 2 * torch.ones(WIDTH) + texts[torch.arange(prompts) % len(EMOTIONS)] + own
    data = training_data(vectors, sizes, candidates[target_index], [name(number) for number in target_index.tolist()])

    train, test = torch.arange(rows - held), torch.arange(rows - held, rows)
    network = LinearProjection(torch.zeros(WIDTH, FEATURES), torch.zeros(WIDTH))
    x = network.features(vectors, sizes)
    weight, bias = best_ridge(x[train[:-20]], data.targets[train[:-20]], x[train[-20:]], data.targets[train[-20:]])
    network.weight.data, network.bias.data = weight, bias
    checkpoint = checkpoint_of(network)
    others = {"before": checkpoint_of(LinearProjection(0.3 * weight, bias + 0.2))} if before else None
    people = [f"person {row // 2}" for row in range(rows)]
    evaluation = evaluate(checkpoint, data, Split(train[:-20], train[-20:], test, people, by_group=True), others)
    history = [
        Epoch(
            number=number,
            loss=1 / number + 0.2,
            validation={"centered_cosine": 0.7 - 0.5 / number - 0.001 * number, "recall_at_1": 0.5 - 0.4 / number},
            best=number <= 22,
            learning_rate=1e-3 / number,
            seconds=0.1 * number,
        )
        for number in range(1, 41)
    ]
    return Evaluated(checkpoint, data, evaluation, history, [f"folder/{row}.jpg" for row in range(rows)])
