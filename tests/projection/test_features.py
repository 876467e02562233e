from __future__ import annotations

import torch

from perception_clip.perception.vector import pack, split
from perception_clip.projection.checkpoint import Checkpoint
from perception_clip.projection.features import ExpressionFeatures


def test_training_faces_are_standardised(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    features = checkpoint.network.features(vectors, image_sizes)
    assert features.shape == (40, checkpoint.network.features.count)
    assert features.mean(dim=0).abs().max() < 1e-3
    assert torch.allclose(features.std(dim=0), torch.ones(features.shape[1]), atol=0.05)


def test_pose_place_and_picture_shape_do_not_matter(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    landmarks, emotions = split(vectors)
    points = landmarks * torch.tensor([500.0, 600.0, 500.0])  # in pixels
    turn = torch.tensor([[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    moved = points @ turn * 0.5 + torch.tensor([400.0, 90.0, 0.0])  # now in a picture of 1000 × 800
    again = pack(moved / torch.tensor([1000.0, 800.0, 1000.0]), emotions)
    sizes = torch.tensor([[800, 1000]]).expand(40, 2)
    expected = checkpoint.network.features(vectors, image_sizes)
    assert torch.allclose(checkpoint.network.features(again, sizes), expected, atol=2e-2)
    squashed = checkpoint.network.features(again, image_sizes)  # with the wrong size it does matter
    assert (squashed - expected).abs().max() > 0.5


def test_one_face_is_enough_to_fit(vectors: torch.Tensor, image_sizes: torch.Tensor) -> None:
    template = split(vectors[:1])[0][0]
    features = ExpressionFeatures.fit(vectors[:1], image_sizes[:1], template - template.mean(dim=0))
    assert features(vectors, image_sizes).isfinite().all()
