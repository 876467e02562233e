"""Whoever uses the pack keeps the random numbers of their own: on every device, whatever is trained or loaded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo  # optimizers import it, and it is confused by functions that are others meanwhile

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.vector import Perceptions
from perception_clip.projection.foreign import ForeignCheckpoint
from perception_clip.projection.opening import open_projection
from perception_clip.training.cli import main


def states() -> list[object]:
    kind, keys, *numbers = np.random.get_state()
    return [torch.random.get_rng_state().tolist(), kind, keys.tolist(), numbers, random.getstate()]


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All global states are the same afterwards, and nothing seeds those of devices that are not here."""

    def refuse(*_: object) -> None:
        raise AssertionError("this seeds the random numbers of every device")

    before = states()
    with monkeypatch.context() as patch:
        for place, name in [
            *((torch, name) for name in ("manual_seed", "seed")),
            *((torch.random, name) for name in ("manual_seed", "seed")),
            *((torch.cuda, name) for name in ("manual_seed", "manual_seed_all", "seed", "seed_all")),
            *((torch.mps, name) for name in ("manual_seed", "seed")),
            (np.random, "seed"),
            (random, "seed"),
        ]:
            patch.setattr(place, name, refuse)
        yield
    assert states() == before


@pytest.fixture
def faces(astronaut: np.ndarray) -> Perceptions:
    """A face that is perceived while the states are watched."""
    return PerceptionPipeline()(astronaut)


def test_a_starter_is_trained_and_loaded(tmp_path: Path, faces: Perceptions) -> None:
    arguments = ["--samples", "60", "--epochs", "2", "--size", "small", "--out-dir", str(tmp_path)]
    assert main(["starter", "--text-encoder", "random", *arguments]) == 0
    projection = open_projection(tmp_path / "best_model.safetensors")
    assert projection.project(faces.vectors, faces.image_sizes).end.shape == (1, 768)


def test_a_foreign_projection_is_loaded(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {"0.weight": torch.randn(768, 1441, generator=generator), "0.bias": torch.zeros(768)}
    torch.save(weights, tmp_path / "a.pth")
    assert isinstance(open_projection(tmp_path / "a.pth"), ForeignCheckpoint)


def test_faces_are_sampled() -> None:
    model, emotions = ExpressionModel.load(), torch.zeros(2, dtype=torch.int64)
    (drawn, _), (again, _) = (model.sample(emotions, torch.ones(2), torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(drawn, again)
