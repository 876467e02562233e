"""Create a synthetic dataset: faces sampled from the expression model, with matching prompts."""

from __future__ import annotations

import numpy as np
import torch

from ..common.words import counted
from ..perception.emotions.expression import ExpressionModel
from ..perception.vector import EMOTIONS, pack
from ..projection.insight import SAMPLED
from .dataset.npz import Dataset
from .encoders.base import TextEncoder, fingerprint
from .learning.settings import STARTER_SAMPLES
from .prompts.strengths import STRONGEST, prompt_at


def is_sampled(dataset: Dataset) -> bool:
    """Return whether the faces of the dataset come from the expression model and not from pictures."""
    return str(dataset.meta.get("landmarker", "")).startswith(SAMPLED)


def origin(made_by: str, samples: int, landmarker: str) -> str:
    """Return the origin of a checkpoint trained on synthetic faces; `landmarker` is that of its dataset."""
    return f"{made_by}: {counted(samples, 'face')} {landmarker}, no photos"


def sample_dataset(encoder: TextEncoder, samples: int = STARTER_SAMPLES, seed: int = 0) -> Dataset:
    """Return a dataset of synthetic faces with all emotions and strengths, and prompts encoded with `encoder`.

    Emotions are equally frequent, strengths uniformly distributed in 0…1.5; every face is a separate group, since each
    is a different person. The emotion probabilities of the faces come from the expression model.
    """
    expression = ExpressionModel.load()
    generator = torch.Generator().manual_seed(seed)
    emotions = torch.arange(samples) % len(EMOTIONS)
    strengths = torch.rand(samples, generator=generator) * STRONGEST
    landmarks, image_sizes = expression.sample(emotions, strengths, generator)
    vectors = pack(landmarks, expression.probabilities(landmarks, image_sizes))
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
            "landmarker": f"{SAMPLED}{expression.identity}",
            "emotion_model": expression.identity,
        },
    )
