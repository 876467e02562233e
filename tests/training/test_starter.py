from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from perception_clip.perception.actions.gaze import gaze
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import values_of
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.emotions.face_expression import FaceExpressionModel
from perception_clip.perception.emotions.picture_estimate import PictureEstimate
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.vector import EMOTIONS, split, validate
from perception_clip.training.encoders.base import KnownPrompts, fingerprint
from perception_clip.training.prompts.starter import KINDS, meanings
from perception_clip.training.starter import described, plan_faces, sample_dataset, sample_faces, sampler


def test_sampled_dataset(starter_encoder: KnownPrompts) -> None:
    encoder = starter_encoder
    dataset = sample_dataset(encoder, samples=700)
    assert dataset.perceptions.shape == (700, 1441) and dataset.clip_embeddings.shape == (700, 768)
    validate(torch.from_numpy(dataset.perceptions))
    assert dataset.prompts is not None and dataset.groups is not None and dataset.image_sizes is not None
    assert len(set(dataset.groups.tolist())) == 700
    assert len(set(dataset.prompts.tolist())) > 200
    assert dataset.meta["encoder"] == encoder.identity and "not a trained encoder" in encoder.identity
    assert np.allclose(dataset.meta["fingerprint"], fingerprint(encoder))

    row = 123
    assert np.allclose(dataset.clip_embeddings[row], encoder.encode([str(dataset.prompts[row])])[0], atol=1e-4)

    kinds = Counter(meanings()[prompt].kind for prompt in dataset.prompts.tolist())
    assert min(kinds.values()) > 20 and set(kinds) == set(KINDS)
    read = [EMOTIONS[index] for index in dataset.perceptions[:, 1434:].argmax(axis=1)]
    named = [meanings()[prompt].category.split(", ")[0] for prompt in dataset.prompts.tolist()]
    agree = [one == other for one, other in zip(read, named, strict=True) if other in EMOTIONS]
    assert len(agree) > 350 and np.mean(agree) > 0.95
    assert dataset.meta["emotion_model"] == FaceExpressionModel().identity
    assert dataset.meta["landmarker"] == sampler()
    assert all(part.identity in sampler() for part in (ExpressionModel.load(), PictureEstimate.load()))


def test_faces_do_what_their_prompts_say() -> None:
    """As Face Actions reads them; left and right are the person's own."""
    generator = torch.Generator().manual_seed(0)
    plan = plan_faces(1500, generator)
    vectors, sizes = sample_faces(plan.emotions, plan.strengths, generator, plan.doing)
    shown = [meanings()[prompt].category.split(", ")[-1] for prompt in described(plan, vectors, sizes)]
    landmarks, template = split(vectors)[0], ExpressionModel.load().template
    poses, gazes = head_pose(landmarks, sizes, template), gaze(landmarks, sizes, template)
    actions = ActionModel.load().actions(landmarks, sizes)

    def mean(name: str, values: torch.Tensor) -> float:
        return float(values[torch.tensor([category == name for category in shown])].mean())

    left, right = (values_of(actions, f"eyeBlink{side}") for side in ("Left", "Right"))
    assert mean("wink left", left - right) > 0.4 and mean("wink right", right - left) > 0.4
    assert mean("closed", (left + right) / 2) > 0.6 and mean("sad", (left + right) / 2) < 0.35
    assert mean("jaw", values_of(actions, "jawOpen")) > 0.4 > 0.2 > mean("angry", values_of(actions, "jawOpen"))
    up = values_of(actions, "browOuterUpLeft") - values_of(actions, "browOuterUpRight")
    assert mean("brow up left", up) > 0.3 and mean("brow up right", up) < -0.3
    for name, angles in (("turn", poses[:, 0]), ("tilt", poses[:, 2]), ("gaze", gazes[:, 0])):
        assert mean(f"{name} left", angles) > 12 and mean(f"{name} right", angles) < -12  # the person's own left
    assert mean("nod up", poses[:, 1]) > 10 and mean("nod down", poses[:, 1]) < -10
    assert mean("gaze up", gazes[:, 1]) > 10 and mean("gaze down", gazes[:, 1]) < -10


def test_seeds(starter_encoder: KnownPrompts) -> None:
    first, again, other = (sample_dataset(starter_encoder, samples=20, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.perceptions, again.perceptions)
    assert not np.array_equal(first.perceptions, other.perceptions)
