"""Training that is killed or stopped at any moment goes on to the same result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from perception_clip.training.dataset.npz import Dataset, save
from perception_clip.training.learning.data import TrainingData

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]
SCRIPT = Path(__file__).with_name("train_forks.py")
EPOCHS = 5
KILLS = 5


@pytest.fixture(scope="module")
def dataset(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "training_data.npz"
    save(Dataset(data.vectors.numpy(), data.targets.numpy(), data.image_sizes.numpy()), path)
    return path


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with all that the commands print."""
    return tmp_path_factory.mktemp("output") / "output.txt"


class Forks:
    """Training commands, each in a process that can be killed; see train_forks.py."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(self, *arguments: str | Path) -> int:
        """Start `python -m training` with these arguments, and return its process number."""
        assert self._server.stdin is not None
        print(json.dumps(list(map(str, arguments))), file=self._server.stdin, flush=True)
        return self._answer("started")

    def ended(self) -> int:
        """Wait for the end; return the exit code, or minus the number of the signal."""
        return self._answer("ended")

    def _answer(self, word: str) -> int:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line.startswith(word), "the server of the forks has ended"
        return int(line.removeprefix(word))


@pytest.fixture(scope="module")
def server(output: Path) -> Iterator[Forks]:
    pipe = subprocess.PIPE
    with (
        output.open("wb") as file,
        subprocess.Popen([sys.executable, str(SCRIPT)], stdin=pipe, stdout=pipe, stderr=file, text=True) as process,
    ):
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(server: Forks, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of an uninterrupted run, and the seconds it took."""
    out = tmp_path_factory.mktemp("whole")
    server.start(*command(dataset, out))
    started = time.monotonic()
    assert server.ended() == 0
    return out, time.monotonic() - started


def command(dataset: Path, out: Path, *more: str) -> list[str | Path]:
    fixed = ["--size", "small", "--epochs", str(EPOCHS), "--batch-size", "96"]  # 5 steps in an epoch
    return ["train", "--data", dataset, "--out-dir", out, *fixed, *more]


def result(out: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights, and metrics.json without what time it took."""
    metrics = json.loads((out / "metrics.json").read_text())
    for epoch in metrics["history"]:
        assert epoch.pop("seconds") > 0
    return load_file(out / "best_model.safetensors"), metrics


def assert_same_result(out: Path, other: Path) -> None:
    (weights, metrics), (other_weights, other_metrics) = result(out), result(other)
    assert weights.keys() == other_weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, other_weights[name]), name
    assert metrics == other_metrics and len(metrics["history"]) == EPOCHS
    assert not (out / "training.state").exists()


def wait_for_state(out: Path) -> None:
    """Wait until a state has been saved."""
    for _ in range(6000):
        if (out / "training.state").exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"no state in {out}")


def test_killed_five_times(server: Forks, dataset: Path, whole: tuple[Path, float], tmp_path: Path) -> None:
    reference, seconds = whole
    chance = random.Random(0)
    killed, number = 0, 0
    while killed < KILLS:  # a run that was done too early is followed by another
        child = server.start(*command(dataset, tmp_path / str(number), "--resume"))
        time.sleep(chance.random() * seconds * 0.7)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = server.ended()
        assert code in (0, -signal.SIGKILL)
        killed, number = (killed, number + 1) if code == 0 else (killed + 1, number)
    server.start(*command(dataset, tmp_path / str(number), "--resume"))
    assert server.ended() == 0
    for run in range(number + 1):
        assert_same_result(tmp_path / str(run), reference)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_asked_to_stop(
    server: Forks, dataset: Path, whole: tuple[Path, float], output: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out, before = tmp_path / "out", output.stat().st_size
    child = server.start(*command(dataset, out))
    wait_for_state(out)
    os.kill(child, number)
    assert server.ended() == 130
    printed = output.read_bytes()[before:].decode()
    assert (
        f"{out / 'best_model.safetensors'} (and .pth), not evaluated" in printed and "--resume to continue" in printed
    )
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "best_model.safetensors", "best_model.pth", "training.state",
    }  # fmt: skip

    server.start(*command(dataset, out, "--resume", "--seed", "1"))
    assert server.ended() == 1
    assert "another seed (0, now 1); use the same seed, or restart without --resume" in output.read_text()

    server.start(*command(dataset, out, "--resume"))
    assert server.ended() == 0
    assert_same_result(out, whole[0])
