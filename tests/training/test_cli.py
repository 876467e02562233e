"""The training guide's walk, command by command, on real photos."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.common.errors import PerceptionClipError
from perception_clip.projection.checkpoint import load
from perception_clip.training.cli import COMMANDS, main
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

    evaluated = tmp_path / "evaluated.json"
    arguments = ["--data", str(data), "--checkpoint", str(out / "best_model.pth"), "--out", str(evaluated)]
    assert main(["evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "another dataset" not in printed and "nearest neighbor" in printed
    assert json.loads(evaluated.read_text()) == checkpoint.metadata.metrics


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
    assert "--resume to continue" in capsys.readouterr().out
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
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert re.search(message, capsys.readouterr().err)


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["fly"], "invalid choice"),
        (["train", "--data", "x", "--epochs", "0"], "the value must be at least 1, not 0"),
        (["train", "--data", "x", "--device", "abacus"], "this machine's PyTorch does not support the device 'abacus'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("bug", [ValueError, TypeError, KeyError, ImportError, RuntimeError, OSError])
def test_a_bug_keeps_its_traceback(bug: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise bug("of the pack's own making")

    monkeypatch.setattr(starter, "load_encoder", broken)
    with pytest.raises(bug, match="own making"):
        main(["starter", "--text-encoder", "random"])


def test_what_the_system_says_of_files_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    assert main(["import", str(tmp_path / "absent.npz"), "--out", str(tmp_path / "taken" / "my.db")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'taken'}") and said.count("\n") == 1

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(starter, "load_encoder", full)
    assert main(["starter", "--text-encoder", "random"]) == 1
    assert capsys.readouterr().err == "error: No space left on device; free some disk space or use another disk\n"


def test_all_own_errors_have_one_base() -> None:
    """So that the command line catches that one alone."""
    own = [
        error
        for module in list(sys.modules.values())
        if (module.__name__ or "").startswith("perception_clip.")
        for error in vars(module).values()
        if isinstance(error, type) and issubclass(error, Exception) and error.__module__ == module.__name__
    ]
    assert {"CheckpointError", "StoreError", "PictureError", "InputError"} <= {error.__name__ for error in own}
    assert all(issubclass(error, PerceptionClipError) for error in own)


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipes")
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-c", PRINTING], stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


PRINTING = """
import sys
from perception_clip.training import cli
from perception_clip.training.commands import starter
starter.run = lambda options: print("much")
sys.exit(cli.main(["starter", "--text-encoder", "random"]))
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_for_consoles_of_every_kind(encoding: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    console.flush()
    text = console.buffer.getvalue().decode(encoding)
    assert ended.value.code == 0 and "usage: python -m training" in text
    assert encoding == "ascii" or not re.search(r"\w\?\w| \? ", text)  # nothing had to be replaced


def test_help_in_a_process_of_its_own() -> None:
    done = _run(["--help"], "cp1252")
    assert (done.returncode, done.stderr) == (0, b"") and b" -> a dataset" in done.stdout


def test_output_is_for_consoles_of_every_kind(tmp_path: Path, astronaut: np.ndarray) -> None:
    """A prompt, a folder and a file with names that the console lacks."""
    folder = tmp_path / "顔" / "笑顔の人"
    folder.mkdir(parents=True)
    Image.fromarray(astronaut).save(folder / "写真.png")
    (folder / "壊れた.jpg").write_text("not a picture")
    out = tmp_path / "データ.db"
    done = _run(["build", str(tmp_path / "顔"), "--out", str(out), "--text-encoder", "random"], "cp1252")
    assert done.returncode == 0, done.stderr
    assert "1 sample" in done.stdout.decode("cp1252")
    assert _run(["info", str(out)], "cp1252").returncode == 0
    mistake = _run(["info", str(tmp_path / "無い.db")], "cp1252")
    assert mistake.returncode == 1
    assert mistake.stderr.startswith(b"error: ") and b"Traceback" not in mistake.stderr


def _run(arguments: list[str], encoding: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a process of its own, whose console has this encoding."""
    return subprocess.run(
        [sys.executable, "-m", "perception_clip.training", *arguments],
        env={**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
