"""Create a synthetic dataset: faces sampled from the expression model, with matching prompts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..common.words import counted
from ..perception.emotions import face_expression
from ..perception.emotions.expression import ExpressionModel
from ..perception.emotions.picture_estimate import PictureEstimate
from ..perception.engines import AND
from ..perception.vector import EMOTIONS, NEUTRAL, pack
from ..projection.insight import SAMPLED
from .dataset.npz import Dataset
from .encoders.base import TextEncoder, fingerprint
from .learning.settings import STARTER_SAMPLES
from .prompts.strengths import NEUTRAL_BELOW, STRONGEST, prompt_at


def is_sampled(dataset: Dataset) -> bool:
    """Return whether the faces of the dataset come from the expression model and not from pictures."""
    return str(dataset.meta.get("landmarker", "")).startswith(SAMPLED)


def sampler() -> str:
    """Return the identity of what samples the faces: the landmarker of their dataset."""
    return f"{SAMPLED}{ExpressionModel.load().identity}{AND}{PictureEstimate.load().identity}"


def origin(made_by: str, samples: int, landmarker: str) -> str:
    """Return the origin of a checkpoint trained on synthetic faces; `landmarker` is that of its dataset."""
    return f"{made_by}: {counted(samples, 'face')} {landmarker}, no photos"


def sample_faces(
    expression: ExpressionModel, emotions: Tensor, strengths: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random perceptions (N, 1441) and picture sizes (N, 2) of faces with these emotions and strengths (N,).

    The probabilities are as the face expression model reads them in pictures of faces with that emotion and shape.
    """
    landmarks, image_sizes = expression.sample(emotions, strengths, generator)
    components = expression.components(landmarks, image_sizes)
    shown = torch.where(strengths < NEUTRAL_BELOW, NEUTRAL, emotions)
    return pack(landmarks, PictureEstimate.load().sample(components, shown, generator)), image_sizes


def sample_dataset(encoder: TextEncoder, samples: int = STARTER_SAMPLES, seed: int = 0) -> Dataset:
    """Return a dataset of synthetic faces with all emotions and strengths, and prompts encoded with `encoder`.

    Emotions are equally frequent, strengths uniformly distributed in 0…1.5; every face is a separate group, since each
    is a different person.
    """
    expression = ExpressionModel.load()
    generator = torch.Generator().manual_seed(seed)
    emotions = torch.arange(samples) % len(EMOTIONS)
    strengths = torch.rand(samples, generator=generator) * STRONGEST
    vectors, image_sizes = sample_faces(expression, emotions, strengths, generator)
    prompts = [
        prompt_at(EMOTIONS[emotion], strength)
        for emotion, strength in zip(emotions.tolist(), strengths.tolist(), strict=True)
    ]
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
