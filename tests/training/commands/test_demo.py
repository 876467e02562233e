from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from perception_clip.training.cli import main
from perception_clip.training.commands.demo import PHOTOS
from perception_clip.training.dataset.npz import load


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out_dir", str(tmp_path), "--samples", "150", "--epochs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "astronaut: 1 face, happy" in printed and "grace_hopper is nearest to:" in printed
    assert "random weights" in printed and "lead over ridge" in printed
    assert printed.count(" s\n") >= 4  # each step says how long it took

    with Image.open(tmp_path / "astronaut_overlay.png") as overlay, Image.open(PHOTOS / "astronaut.jpg") as astronaut:
        changed = (np.asarray(overlay) != astronaut).any(axis=2).mean()
    assert 0.02 < changed < 0.3
    assert len(load(tmp_path / "training_data.npz")) == 150
    tensors = load_file(tmp_path / "conditioning.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "prompt": (1, 77, 768),
        "astronaut.0.steer": (1, 77, 768),
        "astronaut.0.append": (1, 154, 768),
        "grace_hopper.1.steer": (1, 77, 768),
        "grace_hopper.1.append": (1, 154, 768),
    }
    assert not tensors["astronaut.0.steer"].equal(tensors["grace_hopper.1.steer"])
    assert (tmp_path / "best_model.safetensors").is_file()


def test_own_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str], grace_hopper: np.ndarray) -> None:
    photo = tmp_path / "my photo.jpg"
    Image.fromarray(grace_hopper).save(photo)
    assert main(["demo", str(photo), "--out-dir", str(tmp_path / "out"), "--samples", "60", "--epochs", "1"]) == 0
    assert "my photo: 1 face" in capsys.readouterr().out
