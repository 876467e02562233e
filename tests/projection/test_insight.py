"""Insight into a projection: similar prompts, shifts and warnings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.emotions import face_expression
from perception_clip.perception.vector import Perceptions
from perception_clip.projection.checkpoint import Checkpoint
from perception_clip.projection.face_vectors import FaceVectors
from perception_clip.projection.insight import nearest, shifts, warnings
from perception_clip.projection.insight_picture import AWAY, TOWARD, WARNING, insight_picture
from perception_clip.projection.spaces import SD15
from perception_clip.projection.where import ALL

from ..perception.reference_faces import MODEL, reference_faces


@pytest.fixture
def knowing(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with three prompts: toward, beside and away from the first face's projection."""
    mean = checkpoint.network.target_mean
    way, aside = torch.randn(2, 768, generator=torch.Generator().manual_seed(0))
    aside -= way * (aside @ way) / (way @ way)
    vectors = torch.stack([mean - way, mean + 3 * way, mean + aside])
    return replace(
        checkpoint,
        metadata=replace(checkpoint.metadata, prompts=["away", "toward", "beside"]),
        prompt_vectors=vectors,
    )


def perceived(vectors: Tensor, **others: Any) -> Perceptions:
    faces = reference_faces().select([0] * len(vectors))
    sizes = torch.tensor([[600, 500]] * len(vectors), dtype=torch.int32)
    return replace(faces, vectors=vectors, image_sizes=sizes, **({"landmarker": "l", "emotion_model": "e"} | others))


def test_prompts_are_compared_around_their_mean(checkpoint: Checkpoint, knowing: Checkpoint) -> None:
    assert nearest(checkpoint, torch.zeros(2, 768), 3) == [[], []]  # it has no prompts
    assert knowing.prompt_vectors is not None
    face = knowing.network.target_mean + 0.1 * (knowing.prompt_vectors[1] - knowing.network.target_mean)
    [similar] = nearest(knowing, face[None], 3)
    assert [prompt for prompt, _ in similar] == ["toward", "beside", "away"]
    assert [value for _, value in similar] == pytest.approx([1, 0, -1], abs=1e-4)
    assert len(nearest(knowing, face[None], 2)[0]) == 2 and len(nearest(knowing, face[None], 9)[0]) == 3


def test_shifts() -> None:
    tokens = torch.ones(2, 154, 768)
    tokens[:, [0, 77]] = 1000  # BOS does not count
    vectors, neutral = torch.zeros(2, 768), torch.zeros(2, 768)
    vectors[:, 0], neutral[:, 0] = torch.tensor([3.0, 5.0]), 1.0
    moved = shifts([[tokens, {}]], FaceVectors(vectors), FaceVectors(neutral), SD15, ALL)
    assert moved.keys() == {ALL} and moved[ALL].tokens == 152
    assert (moved[ALL].delta, moved[ALL].face) == pytest.approx((3 / 768**0.5, 4 / 768**0.5))
    assert shifts([], FaceVectors(vectors), FaceVectors(neutral), SD15, ALL) == {}


def test_a_fitting_projection_is_not_warned_of(checkpoint: Checkpoint, vectors: Tensor) -> None:
    close = vectors[checkpoint.distance(perceived(vectors)) < 1]
    assert warnings(checkpoint, perceived(close), checkpoint.fingerprint) == []
    relative = perceived(close, emotion_model="e+neutral")
    assert warnings(checkpoint, relative, None) == []


@pytest.mark.parametrize("trained", ["unknown", "sampled from expression-model/1"])
def test_what_saw_no_pictures_fits_every_landmarker(checkpoint: Checkpoint, vectors: Tensor, trained: str) -> None:
    other = replace(checkpoint, metadata=replace(checkpoint.metadata, landmarker=trained))
    assert warnings(other, perceived(vectors[:1]), None) == []


def test_what_differs_is_named(checkpoint: Checkpoint, vectors: Tensor) -> None:
    assert checkpoint.fingerprint is not None
    other = -checkpoint.fingerprint
    faces = perceived(vectors[:1], landmarker="l + mesh/2", emotion_model="vit/1")
    messages = warnings(checkpoint, faces, other)
    assert [text.split(",")[0] for text in messages] == [
        "trained with another text encoder",
        "trained with the landmarker l",
        "trained with the emotion model e",
    ]
    assert "test encoder (cosine -1.000)" in messages[0] and "mesh/2" in messages[1] and "vit/1" in messages[2]
    placeholder = replace(checkpoint, metadata=replace(checkpoint.metadata, encoder="random-weight placeholder (…)/1"))
    assert "PLACEHOLDER" in warnings(placeholder, perceived(vectors[:1]), None)[0]


def test_the_other_bundled_emotion_model_is_named(checkpoint: Checkpoint, vectors: Tensor) -> None:
    """Also of a starter, whose faces have no pictures."""
    picture, shape = face_expression.identity(), MODEL.identity
    for trained, seen in ((picture, shape), (shape, picture)):
        metadata = replace(checkpoint.metadata, landmarker="sampled from expression-model/1", emotion_model=trained)
        messages = warnings(replace(checkpoint, metadata=metadata), perceived(vectors[:1], emotion_model=seen), None)
        expected = f"trained with the emotion model {trained}, but this face comes from {seen}"
        assert [text.split(". ")[0] for text in messages] == [expected]
        for same, of in ((f"{trained}+neutral", trained), (f"{seen} + {trained}", f"{trained} + {seen}")):
            metadata = replace(metadata, emotion_model=of)
            assert not warnings(
                replace(checkpoint, metadata=metadata), perceived(vectors[:1], emotion_model=same), None
            )


def test_faces_unlike_those_of_the_training_are_named(checkpoint: Checkpoint, vectors: Tensor) -> None:
    strange = vectors[:3].clone()
    strange[1:, :1434] = torch.rand(2, 1434, generator=torch.Generator().manual_seed(5))
    [message] = warnings(checkpoint, perceived(strange), None)
    assert message.startswith("face 1 and 1 more lie outside the training distribution")


def colored(picture: Image.Image, color: tuple[int, int, int]) -> np.ndarray:
    """(n, 2): rows and columns of about that color."""
    return np.argwhere(np.abs(np.asarray(picture, dtype=int) - color).max(axis=2) < 12)


def test_bars_are_as_long_as_the_similarity() -> None:
    faces = [("face 0: happy 98 %", [("a smile", 0.8), ("a grin", 0.4), ("a frown", -0.6)])]
    picture = insight_picture("best_model.safetensors", ["vectors of length 27"], faces)
    rows = colored(picture, TOWARD)
    long, short = (rows[rows[:, 0] == row, 1] for row in (rows[:, 0].min() + 5, rows[:, 0].max() - 5))
    assert (np.ptp(long) + 1) / (np.ptp(short) + 1) == pytest.approx(2, rel=0.05)
    assert colored(picture, AWAY)[:, 1].max() <= long.min() + 1


def test_the_picture_grows_with_what_it_says() -> None:
    plain = insight_picture("t", ["no face"], [])
    warned = insight_picture("t", ["no face", "⚠ " + "something is wrong " * 20], [("face 0", []), ("face 1", [])])
    assert plain.width == warned.width == 1024 and warned.height > plain.height + 100
    assert len(colored(warned, WARNING)) > 200 and len(colored(plain, WARNING)) == 0
