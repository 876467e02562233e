"""A benchmark without its inputs reports in one sentence what is missing, and the remedy."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
OPTIONS = {
    **dict.fromkeys(("ablation", "projection_quality"), "--faces"),
    **dict.fromkeys(("build", "verdict"), "--photos"),
    **dict.fromkeys(("comparison", "emotion_models", "expression", "sampled_faces", "training"), "--data"),
    **dict.fromkeys(("startup", "steering"), "--comfyui"),
    "dataset": "--folder",
    "drawing": "--video",
}


@pytest.fixture(autouse=True)
def left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts neither change the number of threads nor leave their folders and modules importable."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for path in [*BENCHMARKS.glob("*.py"), *(ROOT / "tools").glob("*.py")]:
        sys.modules.pop(path.stem, None)


def message_of(name: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the line that a script exits with."""
    script = str(BENCHMARKS / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")
    return str(stop.value.code)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_missing_input_is_named_with_the_remedy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "absent")
    line = message_of(name, OPTIONS[name], missing, monkeypatch=monkeypatch)
    assert line.startswith(missing) and " is missing: give " in line and OPTIONS[name] in line


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is not None, reason="mediapipe is installed")
def test_missing_mediapipe_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert message_of("mediapipe_worker", monkeypatch=monkeypatch).startswith("mediapipe is missing: run pip install")
