"""The bundled expression model: what it sees, and that it sees it in any pose, picture shape and size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from perception_clip.perception.emotions.expression import BUNDLED, ExpressionModel, rotations
from perception_clip.perception.engines import EmotionModel, Faces
from perception_clip.perception.geometry import from_true_proportions, true_proportions
from perception_clip.perception.vector import EMOTIONS, NEUTRAL

from ..reference_faces import reference_faces

HAPPY = EMOTIONS.index("happy")
SIZES = torch.tensor([[512, 512], [600, 512]])  # of the two photos below


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    return ExpressionModel.load()


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """MediaPipe's own landmarks of the two photos, (2, 478, 3): astronaut (smiling), grace_hopper (composed)."""
    return reference_faces().landmarks


def sampled(
    model: ExpressionModel, per_emotion: int, strength: float, seed: int = 0, variety: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    emotions = torch.arange(len(EMOTIONS)).repeat_interleave(per_emotion)
    strengths = torch.full((len(emotions),), strength)
    return emotions, *model.sample(emotions, strengths, torch.Generator().manual_seed(seed), variety)


def test_reads_the_two_photos(model: ExpressionModel, photos: Tensor) -> None:
    probabilities = model.probabilities(photos, SIZES)
    assert probabilities.shape == (2, 7)
    assert probabilities.dtype == torch.float32
    assert (probabilities >= 0).all()
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(2), atol=1e-6)
    assert EMOTIONS[probabilities[0].argmax()] == "happy"
    assert probabilities[0, HAPPY] > 0.8
    assert EMOTIONS[probabilities[1].argmax()] == "neutral"


def test_classifies_the_faces_of_several_pictures(model: ExpressionModel, photos: Tensor) -> None:
    pictures = [torch.zeros(*size, 3, dtype=torch.uint8) for size in ((600, 512), (40, 30), (512, 512))]
    none = Faces(landmarks=torch.zeros(0, 478, 3), boxes=torch.zeros(0, 4), scores=torch.zeros(0))
    found = [
        Faces(landmarks=face[None], boxes=torch.zeros(1, 4), scores=torch.ones(1)) for face in (photos[1], photos[0])
    ]
    engine: EmotionModel = model
    probabilities = engine.classify(pictures, [found[0], none, found[1]])
    assert torch.allclose(probabilities, model.probabilities(photos, SIZES).flip(0), atol=1e-6)
    assert engine.classify(pictures[:1], [none]).shape == (0, 7)
    assert engine.classify([], []).shape == (0, 7)


@pytest.mark.parametrize("degrees", [(0.0, 0.0, 90.0), (0.0, 0.0, 180.0), (20.0, -35.0, 10.0)])
def test_pose_position_and_size_do_not_matter(
    model: ExpressionModel, photos: Tensor, degrees: tuple[float, ...]
) -> None:
    points = true_proportions(photos, SIZES)
    turned = points @ rotations(torch.tensor([degrees]).deg2rad())[0].T
    moved = from_true_proportions(turned * 0.3 + torch.tensor([1.5, -0.2, 0.4]), SIZES)
    assert torch.allclose(model.probabilities(moved, SIZES), model.probabilities(photos, SIZES), atol=1e-4)


def test_padding_the_picture_does_not_matter(model: ExpressionModel, photos: Tensor) -> None:
    pixels = photos * SIZES.flip(1)[:, None, [0, 1, 0]]
    padded = (pixels + torch.tensor([300.0, 50.0, 0.0])) / torch.tensor([1200.0, 700.0, 1200.0])
    sizes = torch.tensor([[700, 1200]]).expand(2, 2)
    assert torch.allclose(model.probabilities(padded, sizes), model.probabilities(photos, SIZES), atol=1e-4)


def test_a_mirrored_face_feels_the_same(model: ExpressionModel, photos: Tensor) -> None:
    reflected = (photos * torch.tensor([-1.0, 1.0, 1.0]) + torch.tensor([1.0, 0.0, 0.0]))[:, model.mirror]
    assert torch.allclose(model.probabilities(reflected, SIZES), model.probabilities(photos, SIZES), atol=1e-4)


def test_the_template_is_centered_symmetric_and_one_inter_ocular_distance_wide(model: ExpressionModel) -> None:
    reflected = (model.template * torch.tensor([-1.0, 1.0, 1.0]))[model.mirror]
    assert torch.allclose(reflected, model.template, atol=1e-6)
    assert model.template.mean(dim=0).abs().max() < 1e-6
    assert (model.template[468] - model.template[473]).norm() == pytest.approx(1, abs=1e-5)
    assert model.template[152, 1] > model.template[10, 1]  # the chin is below the forehead: y points down
    assert model.template[1, 2] < model.template[234, 2]  # the nose's tip is nearer than the ear


@pytest.mark.parametrize("stretch", [(1, 1, 0.8), (1, 1, 1.2), (1, 1.1, 1)])
def test_stretched_faces_seldom_read_differently(model: ExpressionModel, stretch: tuple[float, ...]) -> None:
    """Another landmarker's depth, or a picture that was resized without care."""
    _, landmarks, sizes = sampled(model, per_emotion=100, strength=0.7)  # half-hearted: near the border of neutral
    before = model.probabilities(landmarks, sizes).argmax(dim=1)
    after = model.probabilities(landmarks * torch.tensor(stretch), sizes).argmax(dim=1)
    assert (before != after).float().mean() < 0.25


@pytest.mark.parametrize("size", [1e-40, 1e-6, 1e6, 1e37])
def test_any_finite_landmarks_give_finite_probabilities(model: ExpressionModel, photos: Tensor, size: float) -> None:
    noise = torch.randn(3, 478, 3, generator=torch.Generator().manual_seed(0))
    faces = torch.cat([photos, noise, torch.full((1, 478, 3), 0.5)]) * size  # the last one is a single point
    sizes = SIZES[[0, 1, 0, 0, 1, 0]]
    probabilities = model.probabilities(faces, sizes)
    assert probabilities.isfinite().all()
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(6), atol=1e-5)
    assert model.probabilities(faces, sizes, (faces[2], SIZES[0])).isfinite().all()


def test_bad_input_is_named(model: ExpressionModel, photos: Tensor) -> None:
    broken = photos.clone()
    broken[1, 7, 2] = torch.nan
    with pytest.raises(ValueError, match="landmarks of face 1 contain NaN"):
        model.probabilities(broken, SIZES)
    with pytest.raises(ValueError, match=r"\(N, 478, 3\), not \(2, 468, 3\)"):
        model.probabilities(photos[:, :468], SIZES)
    with pytest.raises(ValueError, match=r"image sizes must have the shape \(2, 2\)"):
        model.probabilities(photos, SIZES[:1])
    with pytest.raises(ValueError, match="the neutral reference contains no face"):
        model.relative_to(photos[:0], SIZES[:0])
    with pytest.raises(ValueError, match="landmarks of face 0 contain NaN"):
        model.relative_to(torch.full((478, 3), torch.nan), SIZES[0])


def test_scores_are_the_mixture_of_the_modes(model: ExpressionModel, photos: Tensor) -> None:
    """Against torch's own Gaussian densities, constants and all."""
    components = model.components(photos, SIZES).double()
    gaussians = torch.distributions.MultivariateNormal(model.modes.double(), model.covariance.double())
    densities = gaussians.log_prob(components[:, None, None]) + model.shares.double().log()  # (2, 7, M)
    expected = densities.logsumexp(dim=2) / model.temperature.double()
    scores = model.scores(photos, SIZES).double()
    expected, scores = (values - values[:, :1] for values in (expected, scores))
    assert torch.allclose(scores, expected, atol=1e-3)
    sure = scores.softmax(dim=1)
    assert torch.allclose(
        model.probabilities(photos, SIZES).double(), (1 - model.doubt) * sure + model.doubt / 7, atol=1e-5
    )


def test_a_person_s_own_neutral_face_reads_as_neutral(model: ExpressionModel) -> None:
    """Faces sampled as neutral, but of people so different that many read as something else."""
    generator = torch.Generator().manual_seed(0)
    faces, sizes = model.sample(torch.full((300,), NEUTRAL), torch.zeros(300), generator)
    alone = model.probabilities(faces, sizes).argmax(dim=1) == NEUTRAL
    beside = [
        model.probabilities(face[None], size[None], (face, size)).argmax().item() == NEUTRAL
        for face, size in zip(faces, sizes, strict=True)
    ]
    assert alone.float().mean() < 0.8
    assert np.mean(beside) > 0.9


def test_beside_a_neutral_face_expressions_of_unusual_people_are_read_better(model: ExpressionModel) -> None:
    """Each sampled person once neutral and once with an expression: the same generator state, another emotion."""
    emotions = torch.arange(len(EMOTIONS)).repeat(60)
    count = len(emotions)
    neutral, sizes = model.sample(emotions, torch.zeros(count), torch.Generator().manual_seed(1))
    felt, _ = model.sample(emotions, torch.full((count,), 0.8), torch.Generator().manual_seed(1))
    alone = model.probabilities(felt, sizes).argmax(dim=1) == emotions
    beside = [
        model.probabilities(felt[i : i + 1], sizes[i : i + 1], (neutral[i], sizes[i])).argmax().item() == emotions[i]
        for i in range(count)
    ]
    assert np.mean(beside) > alone.float().mean() + 0.1


def test_several_reference_faces_count_more_than_one(model: ExpressionModel, photos: Tensor) -> None:
    one = model.scores(photos, SIZES, (photos[1], SIZES[1]))
    same = model.scores(photos, SIZES, (photos[1:], SIZES[1:]))
    several = model.scores(photos, SIZES, (photos[1:].expand(4, -1, -1), SIZES[1:].expand(4, -1)))
    assert torch.equal(one, same)
    assert several[1].argmax() == NEUTRAL
    assert several[1].softmax(dim=0)[NEUTRAL] > one[1].softmax(dim=0)[NEUTRAL]


def test_relative_to_is_an_emotion_model_of_its_own(model: ExpressionModel, photos: Tensor) -> None:
    engine: EmotionModel = model.relative_to(photos[1], SIZES[1])
    assert engine.identity == f"{model.identity}+neutral"
    faces = [Faces(landmarks=face[None], boxes=torch.zeros(1, 4), scores=torch.ones(1)) for face in photos]
    pictures = [torch.zeros(*size, 3, dtype=torch.uint8) for size in SIZES.tolist()]
    probabilities = engine.classify(pictures, faces)
    assert torch.equal(probabilities, model.probabilities(photos, SIZES, (photos[1], SIZES[1])))
    assert EMOTIONS[probabilities[0].argmax()] == "happy"
    assert EMOTIONS[probabilities[1].argmax()] == "neutral"
    assert engine.classify([], []).shape == (0, 7)


def test_samples_read_as_what_they_were_drawn_for(model: ExpressionModel) -> None:
    emotions, landmarks, sizes = sampled(model, per_emotion=200, strength=1.0)
    winners = model.probabilities(landmarks, sizes).argmax(dim=1)
    for emotion, name in enumerate(EMOTIONS):
        assert (winners[emotions == emotion] == emotion).float().mean() > 0.9, name


def test_strength_is_felt(model: ExpressionModel) -> None:
    felt = []
    for strength in (0.0, 0.5, 1.0, 1.5):
        emotions, landmarks, sizes = sampled(model, per_emotion=100, strength=strength)
        probabilities = model.probabilities(landmarks, sizes)
        felt.append(probabilities[emotions == HAPPY, HAPPY].mean().item())
        if strength == 0:
            assert (probabilities.argmax(dim=1) == NEUTRAL).float().mean() > 0.8
    assert felt == sorted(felt)
    assert felt[0] < 0.1
    assert felt[-1] > 0.8


def test_samples_lie_inside_the_picture_and_differ(model: ExpressionModel) -> None:
    _, landmarks, sizes = sampled(model, per_emotion=50, strength=1.5)
    assert torch.equal(sampled(model, per_emotion=50, strength=1.5)[1], landmarks)
    assert not torch.equal(sampled(model, per_emotion=50, strength=1.5, seed=1)[1], landmarks)
    assert landmarks.shape == (350, 478, 3)
    assert landmarks.dtype == torch.float32
    assert sizes.dtype == torch.int32
    assert (sizes[:, 0] == sizes[:, 1]).all()
    assert landmarks[..., :2].min() >= 0
    assert landmarks[..., :2].max() <= 1
    extent = (landmarks.amax(dim=1) - landmarks.amin(dim=1))[:, :2].amax(dim=1)
    assert extent.min() < 0.3
    assert extent.max() > 0.7
    shapes = model.align(landmarks, sizes).points
    assert shapes.std(dim=0).mean() > 0.02  # inter-ocular distances
    assert (shapes.mean(dim=0) - model.template).norm(dim=1).mean() < 0.1


def test_zero_samples(model: ExpressionModel) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    landmarks, sizes = model.sample(none, torch.zeros(0), torch.Generator())
    assert landmarks.shape == (0, 478, 3)
    assert model.probabilities(landmarks, sizes).shape == (0, 7)


def test_the_file_states_how_good_it_is() -> None:
    with safe_open(BUNDLED, framework="pt") as file:
        origin = json.loads(file.metadata()["origin"])
    figures = origin["five_fold"]
    assert tuple(origin["emotions"]) == EMOTIONS
    assert sum(origin["faces"].values()) == 13626
    assert figures["calibration_error"] <= 0.05
    assert figures["balanced_accuracy"] >= 0.52
    assert figures["balanced_accuracy"] == pytest.approx(np.mean(list(figures["recall"].values())), abs=1e-4)
    assert all(recall > 0.35 for name, recall in figures["recall"].items() if name != "fear")
