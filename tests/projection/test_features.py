from __future__ import annotations

import torch

from perception_clip.perception.vector import pack, split
from perception_clip.projection.checkpoint import Checkpoint
from perception_clip.projection.features import SHAPE_VARIANCE, FaceFeatures, upright


def test_components_keep_their_proportions(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    features = checkpoint.network.features(vectors, image_sizes)
    assert features.shape == (40, checkpoint.network.features.count)
    assert features.mean(dim=0).abs().max() < 1e-3
    components, emotions = features[:, :-7], features[:, -7:]
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


def test_roll_place_size_and_picture_shape_do_not_matter(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    landmarks, emotions = split(vectors)
    points = landmarks * torch.tensor([500.0, 600.0, 500.0])  # in pixels
    expected = checkpoint.network.features(vectors, image_sizes)
    sizes = torch.tensor([[800, 1000]]).expand(40, 2)  # now in a picture of 1000 × 800

    def moved(turned: torch.Tensor) -> torch.Tensor:
        placed = turned * 0.5 + torch.tensor([400.0, 90.0, 0.0])
        return pack(placed / torch.tensor([1000.0, 800.0, 1000.0]), emotions)

    tilted = moved(turned(points, 37, axis=2))
    assert torch.allclose(checkpoint.network.features(tilted, sizes), expected, atol=1e-3)
    squashed = checkpoint.network.features(tilted, image_sizes)  # with the wrong size it does matter
    assert (squashed - expected).abs().max() > 0.5
    shaken = checkpoint.network.features(moved(turned(points, 20, axis=1)), sizes)
    assert (shaken - expected).norm(dim=1).min() > 1  # where the head looks does matter, too


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
