from __future__ import annotations

import numpy as np
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.emotions.face_expression import FaceExpressionModel
from perception_clip.perception.emotions.picture_estimate import PictureEstimate
from perception_clip.perception.vector import EMOTIONS, NEUTRAL, validate
from perception_clip.training.encoders.base import fingerprint
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.starter import sample_dataset, sampler


def test_sampled_dataset() -> None:
    encoder = load_encoder("random")
    dataset = sample_dataset(encoder, samples=700)
    assert dataset.perceptions.shape == (700, 1441) and dataset.clip_embeddings.shape == (700, 768)
    validate(torch.from_numpy(dataset.perceptions))
    assert dataset.prompts is not None and dataset.groups is not None and dataset.image_sizes is not None
    assert len(set(dataset.groups.tolist())) == 700
    assert len(set(dataset.prompts.tolist())) > 90
    assert dataset.meta["encoder"] == encoder.identity and "not a trained encoder" in encoder.identity
    assert np.allclose(dataset.meta["fingerprint"], fingerprint(encoder))

    row = 123
    assert np.allclose(dataset.clip_embeddings[row], encoder.encode([str(dataset.prompts[row])])[0], atol=1e-4)

    laughing = np.char.find(dataset.prompts, "laughing") >= 0
    assert laughing.sum() > 2
    assert dataset.perceptions[laughing, 1434 + EMOTIONS.index("happy")].mean() > 0.6
    read = dataset.perceptions[:, 1434:].argmax(axis=1)
    emotional = np.arange(700) % 7 != NEUTRAL
    assert (read == np.arange(700) % 7)[emotional].mean() > 0.85  # a tenth is too weak and neutral
    assert dataset.meta["emotion_model"] == FaceExpressionModel().identity
    assert dataset.meta["landmarker"] == sampler()
    assert all(part.identity in sampler() for part in (ExpressionModel.load(), PictureEstimate.load()))


def test_seeds() -> None:
    encoder = load_encoder("random")
    first, again, other = (sample_dataset(encoder, samples=20, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.perceptions, again.perceptions)
    assert not np.array_equal(first.perceptions, other.perceptions)
