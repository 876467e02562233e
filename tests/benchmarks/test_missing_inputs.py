"""A benchmark without its inputs says in one sentence what is missing and what to do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# What its arguments name is not there.
CALLS = {
    "ablation": ("--faces", "absent"),
    "build": ("--photos", "absent"),
    "dataset": ("--folder", "absent"),
    "drawing": ("--video", "absent"),
    "emotion_models": ("--data", "absent"),
    "expression": ("--data", "absent"),
    "projection_quality": ("--faces", "absent"),
    "startup": ("--comfyui", "absent"),
    "steering": ("--comfyui", "absent"),
    "training": ("--data", "absent"),
    "verdict": ("--photos", "absent"),
}
NOT_HERE = {"inputs", "mediapipe_worker", "perception", "detection"}


def said(name: str, *arguments: str) -> str:
    """The one line that a script ends with."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    return line


def test_every_benchmark_is_here() -> None:
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == CALLS.keys() | NOT_HERE


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_input_is_named_with_the_remedy(name: str, tmp_path: Path) -> None:
    option, value = CALLS[name]
    missing = tmp_path / value
    line = said(name, option, str(missing))
    assert line.startswith(str(missing)) and " is missing: give " in line and option in line


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is not None, reason="mediapipe is installed")
def test_missing_mediapipe_is_named_with_the_remedy() -> None:
    assert said("mediapipe_worker").startswith("mediapipe is missing: run pip install")
