"""A dataset for someone with no data: faces sampled from the expression model, with prompts to match."""

from __future__ import annotations

import numpy as np
import torch

from ..common.words import counted
from ..perception.emotions.expression import ExpressionModel
from ..perception.vector import EMOTIONS, pack
from ..projection.insight import SAMPLED
from .dataset.npz import SPACE, Dataset
from .encoders.base import TextEncoder, fingerprint
from .learning.settings import STARTER_SAMPLES
from .prompts.strengths import STRONGEST, prompt_at


def is_sampled(dataset: Dataset) -> bool:
    """Whether the dataset's faces come from the expression model, not from pictures."""
    return str(dataset.meta.get("landmarker", "")).startswith(SAMPLED)


def origin(made_by: str, samples: int, landmarker: str) -> str:
    """What a checkpoint of sampled faces says of itself; `landmarker` is what its dataset names."""
    return f"{made_by}: {counted(samples, 'face')} {landmarker}, no photos"


def sample_dataset(encoder: TextEncoder, samples: int = STARTER_SAMPLES, seed: int = 0) -> Dataset:
    """Sample faces over all emotions and strengths, and encode prompts for them with `encoder`.

    Emotions are drawn evenly, strengths evenly in 0…1.5; every face is a group of its own, since each is
    another person. The faces' emotion probabilities are the expression model's own.
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
    embeddings, extras = encoder.encode(distinct), encoder.extras(distinct)
    return Dataset(
        perceptions=vectors.numpy(),
        clip_embeddings=embeddings.numpy()[text_of_each],
        extras={name: values.numpy()[text_of_each] for name, values in extras.items()},
        image_sizes=image_sizes.numpy(),
        prompts=np.array(prompts),
        groups=np.array([f"sampled {index}" for index in range(samples)]),
        sources=np.array([f"expression model, seed {seed}"] * samples),
        meta={
            "space": SPACE,
            "encoder": encoder.identity,
            "fingerprint": fingerprint(encoder).tolist(),
            "landmarker": f"{SAMPLED}{expression.identity}",
            "emotion_model": expression.identity,
        },
    )
