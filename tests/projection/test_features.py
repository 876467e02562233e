from __future__ import annotations

import torch

from perception_clip.perception.actions.basis import DIRECTIONS, ActionBasis
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import NEUTRAL, pack, split
from perception_clip.projection.checkpoint import Checkpoint
from perception_clip.projection.features import SHAPE_VARIANCE, FaceFeatures, upright


def test_components_keep_their_proportions(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    features = checkpoint.network.features(vectors, image_sizes)
    assert features.shape == (40, checkpoint.network.features.count)
    assert features.mean(dim=0).abs().max() < 1e-3
    components, emotions = features[:, :-10], features[:, -7:]
    spread = components.std(dim=0, correction=0)
    assert (
        torch.equal(spread, spread.sort(descending=True).values) and spread[4] > 5 * spread[5]
    )  # it moves in five ways
    assert abs(float(spread.square().sum()) - SHAPE_VARIANCE) < 0.1
    assert torch.allclose(emotions.std(dim=0, correction=0), torch.ones(7), atol=1e-3)


def turned(points: torch.Tensor, degrees: float, axis: int) -> torch.Tensor:
    """Points (N, L, 3) turned about an axis: 0 nods, 1 shakes, 2 tilts the head."""
    angle = torch.tensor(degrees).deg2rad()
    first, second = (i for i in range(3) if i != axis)
    matrix = torch.eye(3)
    matrix[first, first] = matrix[second, second] = angle.cos()
    matrix[first, second], matrix[second, first] = angle.sin(), -angle.sin()
    return points @ matrix


def test_place_size_and_picture_shape_do_not_matter_and_roll_is_one_number(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    landmarks, emotions = split(vectors)
    points = landmarks * torch.tensor([500.0, 600.0, 500.0])  # in pixels
    expected = checkpoint.network.features(vectors, image_sizes)
    sizes = torch.tensor([[800, 1000]]).expand(40, 2)  # now in a picture of 1000 × 800

    def moved(turned: torch.Tensor) -> torch.Tensor:
        placed = turned * 0.5 + torch.tensor([400.0, 90.0, 0.0])
        return pack(placed / torch.tensor([1000.0, 800.0, 1000.0]), emotions)

    assert torch.allclose(checkpoint.network.features(moved(points), sizes), expected, atol=1e-3)
    squashed = checkpoint.network.features(moved(points), image_sizes)  # with the wrong size it does matter
    assert (squashed - expected).abs().max() > 0.5
    roll = expected.shape[1] - 10  # after the components
    for degrees in (-8, 37, 90):
        tilted = checkpoint.network.features(moved(turned(points, degrees, axis=2)), sizes)
        change = tilted - expected
        assert torch.cat([change[:, :roll], change[:, roll + 1 :]], dim=1).abs().max() < 1e-3
        assert tilted[:, roll].abs().max() <= 3  # a picture on its side is not far from the training faces
        if degrees == -8:  # in units of 0.1 radians, as the roll of these faces hardly varies
            assert torch.allclose(change[:, roll], torch.tensor(-1.396), atol=0.01)
    shaken = checkpoint.network.features(moved(turned(points, 20, axis=1)), sizes)
    assert (shaken - expected).norm(dim=1).min() > 1  # where the head looks does matter, too


def test_where_the_irises_are_is_two_numbers() -> None:
    model = ExpressionModel.load()
    faces, sizes = model.sample(torch.full((60,), NEUTRAL), torch.zeros(60), torch.Generator().manual_seed(0))
    neither = torch.full((60, 7), 1 / 7)
    features = FaceFeatures.fit(pack(faces, neither), sizes, model.template)
    before = features(pack(faces, neither), sizes)
    basis = ActionBasis.load()
    for axis, column in (("gaze x", -9), ("gaze y", -8)):
        move = basis.directions[DIRECTIONS.index(axis)] * basis.length(axis, torch.ones(1))
        aside = faces + model.align(faces, sizes).to_image_frame(move[None])  # in square pictures
        change = features(pack(aside, neither), sizes) - before
        side = 1 if axis == "gaze x" else -1  # y is down
        assert (side * change[:, column]).quantile(0.1) > 1 > change[:, :-10].norm(dim=1).max() / 3


def test_upright_faces_are_as_large_as_the_template(vectors: torch.Tensor) -> None:
    template = split(vectors[:1])[0][0]
    template = template - template.mean(dim=0)
    points = torch.cat([turned(3 * template[None] + 7, 150, axis=2), torch.ones(1, 478, 3)])
    aligned = upright(points, template)
    assert torch.allclose(aligned[0], template, atol=1e-4)
    assert aligned[1].abs().max() == 0  # a face whose points all coincide


def test_one_face_is_enough_to_fit(vectors: torch.Tensor, image_sizes: torch.Tensor) -> None:
    template = split(vectors[:1])[0][0]
    features = FaceFeatures.fit(vectors[:1], image_sizes[:1], template - template.mean(dim=0))
    assert features(vectors, image_sizes).isfinite().all()
