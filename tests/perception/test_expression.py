"""The bundled expression model: what it sees, and that it sees it in any pose, picture shape and size."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from perception_clip.perception.alignment import normalised, true_proportions
from perception_clip.perception.engines import EmotionModel, Faces
from perception_clip.perception.expression import BUNDLED, ExpressionModel, rotations
from perception_clip.perception.vector import EMOTIONS, NEUTRAL
from perception_clip.perception.weight_files import WeightFileError

HAPPY = EMOTIONS.index("happy")
SIZES = torch.tensor([[512, 512], [600, 512]])  # of the two photos below


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    return ExpressionModel.load()


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """MediaPipe's own landmarks of the two photos, (2, 478, 3): astronaut (smiling), grace_hopper (composed)."""
    with np.load(Path(__file__).parent / "reference_landmarks.npz") as file:
        return torch.from_numpy(np.concatenate([file["astronaut"], file["grace_hopper"]]))


def sampled(model: ExpressionModel, per_emotion: int, strength: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    emotions = torch.arange(len(EMOTIONS)).repeat_interleave(per_emotion)
    strengths = torch.full((len(emotions),), strength)
    return emotions, *model.sample(emotions, strengths, torch.Generator().manual_seed(seed))


# --- classify ------------------------------------------------------------------------------------------------


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
    moved = normalised(turned * 0.3 + torch.tensor([1.5, -0.2, 0.4]), SIZES)
    assert torch.allclose(model.probabilities(moved, SIZES), model.probabilities(photos, SIZES), atol=1e-4)


def test_padding_the_picture_does_not_matter(model: ExpressionModel, photos: Tensor) -> None:
    pixels = photos * SIZES.flip(1)[:, None, [0, 1, 0]]
    padded = (pixels + torch.tensor([300.0, 50.0, 0.0])) / torch.tensor([1200.0, 700.0, 1200.0])
    sizes = torch.tensor([[700, 1200]]).expand(2, 2)
    assert torch.allclose(model.probabilities(padded, sizes), model.probabilities(photos, SIZES), atol=1e-4)


def test_a_mirrored_face_feels_the_same(model: ExpressionModel, photos: Tensor) -> None:
    reflected = (photos * torch.tensor([-1.0, 1.0, 1.0]) + torch.tensor([1.0, 0.0, 0.0]))[:, model.mirror]
    assert torch.allclose(model.probabilities(reflected, SIZES), model.probabilities(photos, SIZES), atol=1e-4)


def test_the_mirror_map_is_its_own_inverse_and_swaps_the_eyes(model: ExpressionModel) -> None:
    assert torch.equal(model.mirror[model.mirror], torch.arange(478))
    assert model.mirror[[33, 133, 468, 1, 61]].tolist() == [263, 362, 473, 1, 291]


def test_the_template_is_centred_symmetric_and_one_inter_ocular_distance_wide(model: ExpressionModel) -> None:
    reflected = (model.template * torch.tensor([-1.0, 1.0, 1.0]))[model.mirror]
    assert torch.allclose(reflected, model.template, atol=1e-6)
    assert model.template.mean(dim=0).abs().max() < 1e-6
    assert (model.template[468] - model.template[473]).norm() == pytest.approx(1, abs=1e-5)
    assert model.template[152, 1] > model.template[10, 1]  # the chin is below the forehead: y points down
    assert model.template[1, 2] < model.template[234, 2]  # the nose's tip is nearer than the ear


def test_a_point_is_not_a_face_but_does_no_harm(model: ExpressionModel) -> None:
    probabilities = model.probabilities(torch.full((1, 478, 3), 0.5), SIZES[:1])
    assert probabilities.isfinite().all()
    assert model.edit(torch.full((1, 478, 3), 0.5), SIZES[:1], "sad", 1.0).isfinite().all()


def test_bad_landmarks_are_named(model: ExpressionModel, photos: Tensor) -> None:
    broken = photos.clone()
    broken[1, 7, 2] = torch.nan
    with pytest.raises(ValueError, match="landmarks of face 1 hold NaN"):
        model.probabilities(broken, SIZES)
    with pytest.raises(ValueError, match=r"\(N, 478, 3\), not \(2, 468, 3\)"):
        model.probabilities(photos[:, :468], SIZES)
    with pytest.raises(ValueError, match=r"image sizes must have the shape \(2, 2\)"):
        model.probabilities(photos, SIZES[:1])


# --- edit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("emotion", [name for name in EMOTIONS if name != "neutral"])
def test_editing_a_composed_face_toward_an_emotion_raises_its_probability(
    model: ExpressionModel, photos: Tensor, emotion: str
) -> None:
    face, size = photos[1:], SIZES[1:]
    felt = [
        model.probabilities(model.edit(face, size, emotion, strength), size)[0, EMOTIONS.index(emotion)].item()
        for strength in (-1.0, 0.0, 1.0, 2.0)
    ]
    assert felt == sorted(felt)
    assert felt[2] > 1.5 * felt[1]


def test_editing_toward_neutral_takes_the_smile_away(model: ExpressionModel, photos: Tensor) -> None:
    edited = model.probabilities(model.edit(photos, SIZES, "neutral", 1.5), SIZES)
    before = model.probabilities(photos, SIZES)
    assert edited[0, HAPPY] < before[0, HAPPY] / 2
    assert edited[0, NEUTRAL] > before[0, NEUTRAL]


def test_editing_keeps_pose_and_place(model: ExpressionModel, photos: Tensor) -> None:
    points = true_proportions(photos, SIZES) @ rotations(torch.tensor([[10.0, 25.0, -30.0]]).deg2rad())[0].T
    turned = normalised(points, SIZES)
    before = model.align(turned, SIZES)
    after = model.align(model.edit(turned, SIZES, "surprise", 1.5), SIZES)
    assert torch.allclose(after.rotation, before.rotation, atol=2e-4)
    assert torch.allclose(after.centre, before.centre, atol=1e-5)
    moved = (after.points - before.points).norm(dim=2)
    assert moved.mean() > 0.01  # inter-ocular distances
    # An emotion moves everyone alike: what tells these two people apart stays.
    identity = (before.points[0] - before.points[1]).norm()
    assert (after.points[0] - after.points[1]).norm() == pytest.approx(identity.item(), rel=0.05)


def test_strength_zero_changes_nothing(model: ExpressionModel, photos: Tensor) -> None:
    for emotion in EMOTIONS:
        assert torch.equal(model.edit(photos, SIZES, emotion, 0.0), photos)


def test_an_unknown_emotion_is_refused(model: ExpressionModel, photos: Tensor) -> None:
    with pytest.raises(ValueError, match="unknown emotion 'contempt': choose from angry, disgust"):
        model.edit(photos, SIZES, "contempt", 1.0)


# --- sample --------------------------------------------------------------------------------------------------


def test_samples_read_as_what_they_were_drawn_for(model: ExpressionModel) -> None:
    emotions, landmarks, sizes = sampled(model, per_emotion=200, strength=1.0)
    winners = model.probabilities(landmarks, sizes).argmax(dim=1)
    for emotion, name in enumerate(EMOTIONS):
        assert (winners[emotions == emotion] == emotion).float().mean() > 0.6, name


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


def test_the_seed_decides(model: ExpressionModel) -> None:
    _, first, _ = sampled(model, per_emotion=2, strength=1.0, seed=3)
    _, again, _ = sampled(model, per_emotion=2, strength=1.0, seed=3)
    _, other, _ = sampled(model, per_emotion=2, strength=1.0, seed=4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_variety_and_strength_the_face_is_the_neutral_mean(model: ExpressionModel) -> None:
    generator = torch.Generator().manual_seed(0)
    landmarks, sizes = model.sample(torch.tensor([NEUTRAL]), torch.zeros(1), generator, variety=0.0)
    difference = (
        model.align(landmarks, sizes).points[0]
        - model.mean
        - torch.tensordot(model.means[NEUTRAL], model.symmetric, dims=1)
    )
    assert difference.norm(dim=1).max() < 0.01  # inter-ocular distances


def test_zero_samples(model: ExpressionModel) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    landmarks, sizes = model.sample(none, torch.zeros(0), torch.Generator())
    assert landmarks.shape == (0, 478, 3)
    assert model.probabilities(landmarks, sizes).shape == (0, 7)


# --- the file ------------------------------------------------------------------------------------------------


def test_the_file_is_small_and_its_identity_tells_it(model: ExpressionModel) -> None:
    assert BUNDLED.stat().st_size < 1_000_000
    family, _, digest = model.identity.partition(":")
    assert family == "expression-model-bundled/1"
    assert len(digest) == 8


def test_a_missing_damaged_or_foreign_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "expression.safetensors"
    with pytest.raises(WeightFileError, match=r"expression\.safetensors cannot be read"):
        ExpressionModel.load(path)
    path.write_bytes(BUNDLED.read_bytes()[:5000])
    with pytest.raises(WeightFileError, match=r"expression\.safetensors is damaged"):
        ExpressionModel.load(path)
    tensors = load_file(BUNDLED)
    save_file({name: tensor for name, tensor in tensors.items() if name != "means"}, path)
    with pytest.raises(WeightFileError, match="not an expression model of this version"):
        ExpressionModel.load(path)


def test_moving_to_a_device_keeps_the_model(model: ExpressionModel, photos: Tensor) -> None:
    moved = model.to("cpu")
    assert moved.identity == model.identity
    assert torch.equal(moved.probabilities(photos, SIZES), model.probabilities(photos, SIZES))


# --- with the shared data ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_five_fold_recalls(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "tools")
    training = importlib.import_module("train_expression_model")
    photos = training.load_photos(shared_data / "expression_landmarks.npz")
    scores = training.held_out_scores(photos, training.folds(photos.labels))
    recall = training.recalls(scores, photos.labels)
    assert recall.mean() >= 0.52
    assert (recall[torch.arange(7) != EMOTIONS.index("fear")] > 0.35).all()


@pytest.mark.parametrize("name", ["obama.jpg", "biden2.jpg", "sergey_rgba.png", "obama_1080p.jpg", "tiny_image_64.png"])
def test_reads_smiles_in_other_photos(model: ExpressionModel, shared_data: Path, name: str) -> None:
    with (
        np.load(shared_data / "faces" / "reference_legacy.npz") as file,
        Image.open(shared_data / "faces" / name) as image,
    ):
        landmarks = torch.from_numpy(file[name]).float()
        sizes = torch.tensor([[image.height, image.width]])
    assert EMOTIONS[model.probabilities(landmarks, sizes)[0].argmax()] == "happy"
