"""Checkpoints of other scripts: recognized by their shapes, rebuilt, and used; or refused with what did not fit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from perception_clip.perception.vector import EMOTIONS
from perception_clip.projection import checkpoint
from perception_clip.projection.checkpoint_file import CheckpointError
from perception_clip.projection.foreign import ForeignCheckpoint
from perception_clip.projection.opening import open_projection

from ..perception.reference_faces import reference_faces

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
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout()]
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
        assert torch.equal(opened.project(vectors, SIZES).end, network(vectors))
    assert not opened.has_subject and opened.project(vectors, SIZES).subject is None
    assert " → ".join(map(str, widths)) in opened.description


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("theirs.pth", ()),
        ("a.pt", ("model_state_dict",)),
        ("a.ckpt", ("state_dict",)),
        ("a.bin", ("net",)),
        ("a.PTH", ("trainer", "networks", "projection")),
    ],
)
def test_norms_and_wrappers_are_understood(tmp_path: Path, vectors: Tensor, name: str, keys: tuple[str, ...]) -> None:
    """The content decides what a file is."""
    network = TheirNetwork()
    network(torch.randn(64, 1441) * 3)  # so that the batch norm has seen something
    content: dict[str, object] = dict(network.eval().state_dict())
    for key in reversed(keys):
        content = {"epoch": 2, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, key: content}
    found = open_projection(wrote(tmp_path / name, content))
    assert isinstance(found, ForeignCheckpoint)
    with torch.inference_mode():
        assert torch.allclose(found.project(vectors, SIZES).end, network(vectors), atol=1e-6)


def test_keys_are_named_where_no_weights_or_several_are_found(tmp_path: Path) -> None:
    weights = sequential(1441, 768).state_dict()
    for content, message in (
        ({"epoch": 2, "args": {"lr": 1}}, "contains no weights; its keys are: epoch, args"),
        ({"generator": weights, "critic": {"net": weights}}, r"weights under several keys: generator, critic\.net"),
    ):
        with pytest.raises(CheckpointError, match=message):
            open_projection(wrote(tmp_path / "a.pt", content))


def test_neutral_is_the_same_face_without_its_expression(tmp_path: Path) -> None:
    faces = reference_faces().select([0])  # smiling
    emotions_only = nn.Linear(1441, 768, bias=False)
    with torch.no_grad():
        emotions_only.weight.zero_()[:7, 1434:] = torch.eye(7)
    opened = open_projection(wrote(tmp_path / "emotions.pth", emotions_only.state_dict()))
    smiling, neutral = opened.project(faces.vectors, faces.image_sizes).end, opened.neutral_of(faces).end
    joy = EMOTIONS.index("happy")
    assert (neutral[:, joy] < smiling[:, joy] / 2).all()


@pytest.mark.parametrize(
    ("content", "problem"),
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
def test_others_are_refused_with_what_did_not_fit(tmp_path: Path, content: dict[str, Tensor], problem: str) -> None:
    path = wrote(tmp_path / "theirs.pth", content)
    with pytest.raises(CheckpointError, match=f"{path}: this is neither a checkpoint of this pack.*{problem}"):
        open_projection(path)


def test_training_cannot_begin_from_one(tmp_path: Path) -> None:
    path = wrote(tmp_path / "theirs.pth", sequential(1441, 768).state_dict())
    with pytest.raises(CheckpointError, match="not trained by this pack.*You can steer with it"):
        checkpoint.load(path)
