"""Create a synthetic dataset: faces sampled from the expression model, with matching prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..common.words import counted
from ..perception.actions.basis import ActionBasis
from ..perception.actions.gaze import gaze
from ..perception.actions.model import ActionModel
from ..perception.actions.traits import findings_of_actions, gaze_findings, pose_findings
from ..perception.editing import sampling
from ..perception.editing.sampling import DOING
from ..perception.emotions import face_expression
from ..perception.emotions.expression import ExpressionModel
from ..perception.emotions.picture_estimate import PictureEstimate
from ..perception.engines import AND
from ..perception.geometry import head_pose
from ..perception.vector import EMOTIONS, NEUTRAL, pack, split
from ..projection.insight import SAMPLED
from .dataset.npz import Dataset
from .encoders.base import TextEncoder, fingerprint
from .learning.settings import STARTER_SAMPLES
from .prompts.starter import EMOTION, PAIR, traits, version
from .prompts.strengths import NEUTRAL_BELOW, STRONGEST, prompt_at

T = TypeVar("T")


TRAIT = "trait"  # an action, a gaze or a pose
MIX = (*4 * (EMOTION,), TRAIT, PAIR)  # what every six faces show
# Of the emotion. A face with a trait alone is neutral.
STRENGTHS = {EMOTION: (0.0, STRONGEST), TRAIT: (0.0, 0.0), PAIR: (0.4, STRONGEST)}
AMOUNTS = (0.45, 1.1)  # of a trait, relative to the amount in starter.json
PLAIN = 2  # level from which a finding of perception/actions/traits.py is named


def is_sampled(dataset: Dataset) -> bool:
    """Return whether the faces of the dataset come from the expression model and not from pictures."""
    return str(dataset.meta.get("landmarker", "")).startswith(SAMPLED)


def sampler() -> str:
    """Return the identity of what samples the faces: the landmarker of their dataset."""
    parts = ExpressionModel.load(), PictureEstimate.load(), ActionBasis.load()
    return f"{SAMPLED}{AND.join(part.identity for part in parts)}"


def origin(made_by: str, samples: int, landmarker: str) -> str:
    """Return the origin of a checkpoint trained on synthetic faces; `landmarker` is that of its dataset."""
    return f"{made_by}: {counted(samples, 'face')} {landmarker}, no photos; prompts {version()}"


@dataclass(frozen=True)
class Plan:
    """What N faces to sample show, and their prompts."""

    emotions: Tensor  # (N,) int64, indices into EMOTIONS
    strengths: Tensor  # (N,) 0…1.5
    doing: dict[str, Tensor]  # (N,) each; see perception/editing/sampling.py
    prompts: list[str]  # N
    alone: list[int]  # the rows with an emotion alone


def plan_faces(count: int, generator: torch.Generator) -> Plan:
    """Return a random plan, in which `MIX` repeats; emotions, traits and pairs are equally frequent in their parts."""
    pairs = [(trait, emotion) for trait in traits() for emotion in trait.pairs]
    shown, strengths, prompts, alone = [], [], [], []
    doing = {name: torch.zeros(count) for name in DOING}
    for row, chance in enumerate(torch.rand(count, 3, generator=generator).tolist()):
        kind, emotion = MIX[row % len(MIX)], EMOTIONS[row % len(EMOTIONS)]
        low, high = STRENGTHS[kind]
        strength = low + (high - low) * chance[0]
        if kind == EMOTION:
            alone.append(row)
            prompt = prompt_at(emotion, strength)
        else:
            if kind == PAIR:
                trait, emotion = _element(pairs, chance[1])
                prompt = trait.pairs[emotion]
            else:
                trait, emotion = _element(traits(), chance[1]), EMOTIONS[NEUTRAL]
                prompt = _element(trait.prompts, chance[2])
            for name, typical in trait.face.items():
                doing[name][row] = typical * (AMOUNTS[0] + (AMOUNTS[1] - AMOUNTS[0]) * chance[2])
        shown.append(EMOTIONS.index(emotion))
        strengths.append(strength)
        prompts.append(prompt)
    return Plan(torch.tensor(shown), torch.tensor(strengths), doing, prompts, alone)


def _element(items: Sequence[T], chance: float) -> T:
    """Return the element at `chance`, 0…1, of the way through a sequence."""
    return items[min(int(chance * len(items)), len(items) - 1)]


def sample_faces(
    emotions: Tensor,
    strengths: Tensor,
    generator: torch.Generator,
    doing: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return random perceptions (N, 1441) and picture sizes (N, 2) of faces with these emotions and strengths (N,).

    `doing` is what else they do; see perception/editing/sampling.py. The probabilities are as the face expression model
    reads them in pictures of faces with that emotion and shape.
    """
    model, basis = ExpressionModel.load(), ActionBasis.load()
    landmarks, image_sizes = sampling.sample_faces(emotions, strengths, doing or {}, model, basis, generator)
    components = model.components(landmarks, image_sizes)
    shown = torch.where(strengths < NEUTRAL_BELOW, NEUTRAL, emotions)
    return pack(landmarks, PictureEstimate.load().sample(components, shown, generator)), image_sizes


def described(plan: Plan, vectors: Tensor, image_sizes: Tensor) -> list[str]:
    """Return the prompts (N,) of the plan's faces, those of an emotion alone with what they plainly show besides.

    Sad people often close their eyes, in photos and so in samples: the prompt then is that of the pair, and what
    remains for "a sad person" has open eyes.
    """
    landmarks, sizes = split(vectors[plan.alone])[0], image_sizes[plan.alone]
    template = ExpressionModel.load().template
    faces = zip(
        plan.alone,
        findings_of_actions(ActionModel.load().actions(landmarks, sizes)),
        head_pose(landmarks, sizes, template).tolist(),
        gaze(landmarks, sizes, template).tolist(),
        strict=True,
    )
    by_name, prompts = {trait.name: trait for trait in traits()}, list(plan.prompts)
    for row, doing, pose, direction in faces:
        emotion = EMOTIONS[NEUTRAL if plan.strengths[row] < NEUTRAL_BELOW else plan.emotions[row]]
        # Eyes that follow a turned head are part of its turn, so the pose comes before the gaze.
        for finding in (*doing, *pose_findings(*pose), *gaze_findings(*direction)):
            trait = by_name.get(finding.name)
            if trait is None or finding.level < PLAIN:
                continue
            if emotion == EMOTIONS[NEUTRAL] or emotion in trait.pairs:
                prompts[row] = trait.pairs.get(emotion, trait.prompts[0])
                break
    return prompts


def sample_dataset(encoder: TextEncoder, samples: int = STARTER_SAMPLES, seed: int = 0) -> Dataset:
    """Return a dataset of synthetic faces as planned by `plan_faces`, and prompts encoded with `encoder`.

    Every face is a separate group, since each is a different person.
    """
    generator = torch.Generator().manual_seed(seed)
    plan = plan_faces(samples, generator)
    vectors, image_sizes = sample_faces(plan.emotions, plan.strengths, generator, plan.doing)
    prompts = described(plan, vectors, image_sizes)
    texts, text_of_each = np.unique(prompts, return_inverse=True)
    distinct = texts.tolist()
    embeddings, added_targets = encoder.encode(distinct), encoder.added_targets(distinct)
    return Dataset(
        perceptions=vectors.numpy(),
        clip_embeddings=embeddings.numpy()[text_of_each],
        added_targets={name: values.numpy()[text_of_each] for name, values in added_targets.items()},
        image_sizes=image_sizes.numpy(),
        prompts=np.array(prompts),
        groups=np.array([f"sampled {index}" for index in range(samples)]),
        sources=np.array([f"expression model, seed {seed}"] * samples),
        meta={
            "space": encoder.space,
            "encoder": encoder.identity,
            "fingerprint": fingerprint(encoder).tolist(),
            "landmarker": sampler(),
            "emotion_model": face_expression.identity(),
        },
    )
