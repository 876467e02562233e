from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception_clip.perception.vector import pack
from perception_clip.projection.checkpoint import Checkpoint, Metadata
from perception_clip.projection.features import FaceFeatures
from perception_clip.projection.network import Architecture, ProjectionNetwork


@pytest.fixture(scope="session")
def vectors() -> torch.Tensor:
    """(40, 1441): one random rigid face with a few ways to move, so that its shape space is small."""
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(478, 3, generator=generator)
    moves = torch.randn(5, 478, 3, generator=generator) * 0.02
    amounts = torch.randn(40, 5, generator=generator)
    emotions = torch.randn(40, 7, generator=generator).softmax(dim=1)
    return pack(base + torch.einsum("nk,klc->nlc", amounts, moves), emotions)


@pytest.fixture(scope="session")
def image_sizes() -> torch.Tensor:
    return torch.tensor([[600, 500]] * 40, dtype=torch.int32)


@pytest.fixture(scope="session")
def checkpoint(vectors: torch.Tensor, image_sizes: torch.Tensor) -> Checkpoint:
    """A projection with random weights everywhere, so that a lost tensor would show."""
    return random_checkpoint(vectors, image_sizes)


@pytest.fixture(scope="session")
def with_subject(vectors: torch.Tensor, image_sizes: torch.Tensor) -> Checkpoint:
    """One that also projects to the subject."""
    return random_checkpoint(vectors, image_sizes, subject=768)


def random_checkpoint(vectors: torch.Tensor, image_sizes: torch.Tensor, subject: int = 0) -> Checkpoint:
    torch.manual_seed(0)
    template = torch.randn(478, 3)
    features = FaceFeatures.fit(vectors, image_sizes, template - template.mean(dim=0))
    architecture = Architecture(components=features.shape_basis.shape[1], width=32, depth=2, subject=subject)
    network = ProjectionNetwork(architecture)
    network.features = features
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.1)
    network.target_mean.normal_()
    network.target_scale.fill_(2.5)
    metadata = Metadata(encoder="test encoder", landmarker="l", emotion_model="e", metrics={"recall": [0.5, 0.4, 0.6]})
    neutral = torch.randn(architecture.outputs)
    return Checkpoint(network.eval(), metadata, neutral, fingerprint=torch.randn(768))


@pytest.fixture
def pickle_payload(tmp_path: Path) -> tuple[Path, Path]:
    """A .pth that would create a file when unpickled, and that file's path."""
    import pickle

    victim = tmp_path / "executed"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path, str]]:
            return Path.write_text, (victim, "the payload ran")

    path = tmp_path / "best_model.pth"
    path.write_bytes(pickle.dumps({"tensors": Payload()}, protocol=2))
    return path, victim
