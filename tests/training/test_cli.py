"""What all commands have in common: errors, help, consoles of every kind."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.common.errors import PerceptionClipError
from perception_clip.projection.checkpoint import load
from perception_clip.training.cli import COMMANDS, main
from perception_clip.training.commands import options, train


def test_a_starter_that_was_stopped_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["starter", "--text-encoder", "random", "--samples", "60", "--epochs", "3", "--size", "small"]
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # a report without pictures will do
    monkeypatch.setattr(train, "stop_on_signals", lambda: nullcontext(lambda: True))  # as if Ctrl-C came at once
    assert main([*common, "--out-dir", str(tmp_path)]) == 130
    assert "--resume to continue" in capsys.readouterr().out
    monkeypatch.setattr(train, "stop_on_signals", lambda: nullcontext(lambda: False))
    assert main([*common, "--out-dir", str(tmp_path), "--resume"]) == 0
    assert not (tmp_path / "training.state").exists()
    assert load(tmp_path / "best_model.safetensors").metadata.made_by.startswith("starter: 60 faces sampled")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "absent.npz"], "error: .*absent.npz"),
        (["evaluate", "--data", "absent.npz"], "error: .*no such checkpoint"),
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


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        ("train", ["epochs (default: 100)", "stops (default: 20)", "(default: 0.2)", "seed (default: 0)"]),
        ("starter", ["sample (default: 12000)", "epochs (default: 40)", "stops (default: 4 or more, depending"]),
        ("demo", ["epochs (default: 40)", "(default: demo_output)"]),
        ("capture", ["recorded (default: 3)", "prompt (default: 5)", "second (default: 2)"]),
    ],
)
def test_help_shows_the_defaults_of_each_command(
    command: str, defaults: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert [text for text in defaults if text not in shown] == []


@pytest.mark.parametrize("bug", [ValueError, TypeError, KeyError, ImportError, RuntimeError, OSError])
def test_a_bug_keeps_its_traceback(bug: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise bug("of the pack's own making")

    monkeypatch.setattr(options, "load_encoder", broken)
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

    monkeypatch.setattr(options, "load_encoder", full)
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
from perception_clip.training.commands import train
train.COMMANDS["starter"] = train.COMMANDS["starter"][0], lambda options: print("much")
sys.exit(cli.main(["starter", "--text-encoder", "random"]))
"""


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """A function: run a command at a console of this encoding; its exit code and all that it shows."""

    def run(encoding: str, *arguments: object) -> tuple[int, str]:
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, out)
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        out.flush()
        return code, out.buffer.getvalue().decode(encoding)

    return run


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_for_consoles_of_every_kind(
    encoding: str, command: str, console: Callable[..., tuple[int, str]]
) -> None:
    code, text = console(encoding, *command.split(), "--help")
    assert code == 0 and "usage: python -m training" in text and "None" not in text
    assert encoding == "ascii" or not re.search(r"\w\?\w| \? ", text)  # nothing had to be replaced


def test_output_is_for_consoles_of_every_kind(
    tmp_path: Path, astronaut: np.ndarray, console: Callable[..., tuple[int, str]]
) -> None:
    """A prompt, a folder and a file with names that the console lacks."""
    folder = tmp_path / "顔" / "笑顔の人"
    folder.mkdir(parents=True)
    Image.fromarray(astronaut).save(folder / "写真.png")
    (folder / "壊れた.jpg").write_text("not a picture")
    out = tmp_path / "データ.db"
    code, text = console("cp1252", "build", tmp_path / "顔", "--out", out, "--text-encoder", "random")
    assert code == 0 and "1 sample" in text
    assert console("cp1252", "info", out)[0] == 0
    code, text = console("cp1252", "info", tmp_path / "無い.db")
    assert code == 1 and text.startswith("error: ") and "Traceback" not in text
