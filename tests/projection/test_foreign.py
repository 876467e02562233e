"""Checkpoints of other scripts: recognized by their shapes, rebuilt, and used; or refused with what did not fit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.origins import unknown
from perception_clip.perception.vector import EMOTIONS, Perceptions, pack
from perception_clip.projection import checkpoint
from perception_clip.projection.checkpoint_file import CheckpointError
from perception_clip.projection.foreign import ForeignCheckpoint
from perception_clip.projection.opening import open_projection

SIZES = torch.tensor([[600, 500]] * 40, dtype=torch.int32)


class TheirNetwork(nn.Module):
    """As someone might write it."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(1441, 64)
        self.norm = nn.LayerNorm(64)
        self.hidden = nn.Linear(64, 32, bias=False)
        self.bn = nn.BatchNorm1d(32)
        self.output = nn.Linear(32, 768)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.input(x)))
        return self.output(torch.relu(self.bn(self.hidden(x))))  # type: ignore[no-any-return]


def sequential(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for taken, given in pairwise(widths):
        layers += [nn.Linear(taken, given), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers[:-2]).eval()


def wrote(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("widths", [(1441, 768), (1441, 96, 768), (1441, *[48] * 11, 768)])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_linear_layers_are_rebuilt(tmp_path: Path, vectors: Tensor, widths: tuple[int, ...], suffix: str) -> None:
    """With 12 layers, a file's order by letters is not theirs."""
    network, path = sequential(*widths), tmp_path / f"best_model{suffix}"
    if suffix == ".pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    opened = open_projection(path)
    assert isinstance(opened, ForeignCheckpoint)
    with torch.inference_mode():
        assert torch.equal(opened.project(vectors, SIZES), network(vectors))
    assert " → ".join(map(str, widths)) in opened.description


@pytest.mark.parametrize("wrapper", [None, "model_state_dict", "state_dict", "model"])
def test_norms_and_wrappers_are_understood(tmp_path: Path, vectors: Tensor, wrapper: str | None) -> None:
    network = TheirNetwork()
    network(torch.randn(64, 1441) * 3)  # so that the batch norm has seen something
    weights = network.eval().state_dict()
    content = weights if wrapper is None else {wrapper: weights, "epoch": 3, "optimizer": {"lr": 1e-4}}
    opened = open_projection(wrote(tmp_path / "theirs.pth", content))
    with torch.inference_mode():
        assert torch.allclose(opened.project(vectors, SIZES), network(vectors), atol=1e-6)


def test_neutral_is_the_same_face_without_its_expression(tmp_path: Path) -> None:
    model = ExpressionModel.load()
    happy = torch.full((5,), EMOTIONS.index("happy"))
    landmarks, sizes = model.sample(happy, torch.ones(5), torch.Generator().manual_seed(0))
    emotions = model.probabilities(landmarks, sizes)
    faces = Perceptions(
        vectors=pack(landmarks, emotions),
        image_sizes=sizes.int(),
        frames=torch.arange(5),
        boxes=torch.zeros(5, 4),
        scores=torch.ones(5),
        tracks=torch.zeros(5, dtype=torch.int64),
        origins=unknown(5),
        frame_count=5,
        landmarker="l",
        emotion_model="e",
    )
    looks_at_emotions = nn.Linear(1441, 768, bias=False)
    with torch.no_grad():
        looks_at_emotions.weight.zero_()[:7, 1434:] = torch.eye(7)
    opened = open_projection(wrote(tmp_path / "emotions.pth", looks_at_emotions.state_dict()))
    shown, neutral = opened.project(faces.vectors, faces.image_sizes), opened.neutral_of(faces)
    joy = EMOTIONS.index("happy")
    assert (shown[:, joy] > 0.5).all() and (neutral[:, joy] < 0.25).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (sequential(1434, 768).state_dict(), "0 expects 1,434 numbers but receives 1,441"),
        (sequential(1441, 512).state_dict(), "its output has 512 numbers, not 768"),
        (
            {**sequential(1441, 64).state_dict(), "2.weight": torch.zeros(768, 65)},
            "2 expects 65 numbers but receives 64",
        ),
        (
            {**sequential(1441, 768).state_dict(), "pe": torch.zeros(1, 9, 768)},
            r"pe \(1, 9, 768\) is not a linear layer",
        ),
        ({"conv.weight": torch.zeros(768, 1441, 3)}, r"conv: weight \(768, 1441, 3\) is not a linear layer"),
        ({"0.weight": torch.zeros(768, 1441), "0.bias": torch.zeros(7)}, r"bias \(7,\) is not a linear layer"),
        ({"0.weight": torch.full((768, 1441), torch.nan)}, "it contains NaN or infinite weights"),
        ({"norm.weight": torch.ones(1441), "norm.bias": torch.ones(1441)}, "it has no linear layer"),
    ],
)
def test_others_are_refused_with_what_did_not_fit(tmp_path: Path, content: dict[str, Tensor], said: str) -> None:
    path = wrote(tmp_path / "theirs.pth", content)
    with pytest.raises(CheckpointError, match=f"{path}: this is neither a checkpoint of this pack.*{said}"):
        open_projection(path)


def test_training_cannot_begin_from_one(tmp_path: Path) -> None:
    path = wrote(tmp_path / "theirs.pth", sequential(1441, 768).state_dict())
    with pytest.raises(CheckpointError, match="not trained by this pack.*You can steer with it"):
        checkpoint.load(path)


def test_code_is_never_run(pickle_payload: tuple[Path, Path]) -> None:
    path, victim = pickle_payload
    with pytest.raises(CheckpointError, match="refused"):
        open_projection(path)
    assert not victim.exists()
