"""The training guide's walk, command by command, on real photos."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.projection.checkpoint import load
from perception_clip.training.cli import main
from perception_clip.training.commands import starter


@pytest.fixture
def faces(tmp_path: Path, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Path:
    """A folder per label: the two photos in four sizes each, and a file that is no picture."""
    for label, photo in (("happy", astronaut), ("a person looking calm", grace_hopper)):
        folder = tmp_path / "faces" / label
        folder.mkdir(parents=True)
        for size in (256, 300, 400, 512):
            Image.fromarray(photo).resize((size, size)).save(folder / f"{size}.png")
    (tmp_path / "faces" / "happy" / "broken.jpg").write_text("not a picture")
    return tmp_path / "faces"


def test_the_guide(tmp_path: Path, faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, data, out = tmp_path / "my.db", tmp_path / "training_data.npz", tmp_path / "checkpoints"
    assert main(["build", str(faces), "--out", str(database), "--text_encoder", "random"]) == 0
    printed = capsys.readouterr().out
    assert "broken.jpg" in printed and "8 samples" in printed

    assert main(["export", str(database), "--out", str(data)]) == 0
    with np.load(data) as arrays:
        assert arrays["perception_embeddings"].shape == (8, 1441)
        assert arrays["clip_embeddings"].shape == (8, 768)

    assert (
        main(["train", "--data", str(data), "--out_dir", str(out), "--epochs=2", "--batch_size", "4", "--lr", "1e-3"])
        == 0
    )
    assert "random-weight stand-in" in capsys.readouterr().out
    checkpoint = load(out / "best_model.safetensors")
    assert "stand-in" in checkpoint.metadata.encoder
    assert checkpoint.metadata.landmarker.startswith("mediapipe-face-mesh-bundled/1")

    judged = tmp_path / "judged.json"
    arguments = ["--data", str(data), "--checkpoint", str(out / "best_model.pth"), "--out", str(judged)]
    assert main(["evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "another dataset" not in printed and "nearest neighbour" in printed
    assert json.loads(judged.read_text()) == checkpoint.metadata.metrics


def test_evaluate_on_another_dataset_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--text-encoder", "random", "--samples", "50", "--epochs", "1"]
    assert main(["starter", *common, "--out-dir", str(tmp_path / "a")]) == 0
    assert main(["demo", *common, "--seed", "1", "--out-dir", str(tmp_path / "b")]) == 0
    data, checkpoint = tmp_path / "b" / "training_data.npz", tmp_path / "a" / "best_model.safetensors"
    assert main(["evaluate", "--data", str(data), "--checkpoint", str(checkpoint)]) == 0
    assert "trained on another dataset" in capsys.readouterr().out
    assert load(checkpoint).metadata.made_by.startswith("starter: 50 faces sampled")


def test_a_starter_that_was_stopped_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["starter", "--text-encoder", "random", "--samples", "60", "--epochs", "3", "--size", "small"]
    monkeypatch.setattr(starter, "stop_on_signals", lambda: nullcontext(lambda: True))  # as if Ctrl-C came at once
    assert main([*common, "--out-dir", str(tmp_path)]) == 130
    assert "--resume to go on" in capsys.readouterr().out
    monkeypatch.undo()
    assert main([*common, "--out-dir", str(tmp_path), "--resume"]) == 0
    assert not (tmp_path / "training_state.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "absent.npz"], "error: .*absent.npz"),
        (["export", "absent.db"], "error: .*absent.db"),
        (["evaluate", "--data", "absent.npz"], "error: .*no such checkpoint"),
        (["build", "absent", "--out", "x.db", "--text-encoder", "random"], "error: .*absent"),
        (["starter", "--text-encoder", "./absent.safetensors"], "error: .*absent.safetensors"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    import re

    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert re.search(message, capsys.readouterr().err)


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["fly"], "invalid choice"),
        (["train", "--data", "x", "--epochs", "0"], "0 is not at least 1"),
        (["train", "--data", "x", "--device", "abacus"], "this machine's torch has no device 'abacus'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
