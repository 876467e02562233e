"""Starter Projection in a real ComfyUI: a graph's own CLIP in, a checkpoint out, used in the same graph."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perception_clip.projection.checkpoint import load

from .server import Graph, Host, entry

Start = Callable[..., Graph]


@pytest.fixture
def start(weights: str) -> Start:
    """Starter Projection alone, with what it puts out."""

    def make(name: str = "starter", **widgets: Any) -> Graph:
        inputs = {"clip": ["model", 1], "name": name, "seed": 0, "samples": 300} | widgets
        return {
            "model": entry("CheckpointLoaderSimple", ckpt_name=weights),
            "starter": entry("PerceptionClip_StarterProjection", **inputs),
            "name": entry("PreviewAny", source=["starter", 0]),
            "text": entry("PreviewAny", source=["starter", 2]),
        }

    return make


def written(path: Path) -> int:
    return path.stat().st_mtime_ns


def test_a_clip_becomes_a_checkpoint(host: Host, start: Start) -> None:
    result = host.run(start("made"))
    assert result.text("name") == "made.safetensors"
    made = load(host.models / "made.safetensors")
    assert made.metadata.encoder.startswith("comfyui-clip:") and made.fingerprint is not None
    assert made.metadata.made_by.startswith("starter: 300 faces sampled from expression-model-bundled/")
    assert made.metadata.metrics["training_rows"] == 240 and made.metadata.dataset["samples"] == 300
    assert all(sentence in result.text("text") for sentence in made.metadata.metrics["verdict"])
    others = r"(, (action|gaze|pose|pair) \d+%)+"  # so few faces may lack a kind among those held out
    line = rf"(Ready|Not ready)\. Right for unseen synthetic faces: emotion \d+%{others}\."
    assert re.match(line, result.output("starter")["note"][0])
    assert result.picture("starter").shape[1] == 1024
    assert "'made.safetensors'" in str(host.get("/object_info/PerceptionClip_Projection"))


def test_it_is_made_once(host: Host, start: Start) -> None:
    path = host.models / "once.safetensors"
    host.run(start("once", seed=1))
    first = written(path)
    assert host.run(start("once", seed=1)).succeeded and written(path) == first  # nothing has run
    assert "reused" not in host.run(start("once")).text("text") and written(path) > first
    second = written(path)
    host.free(models=False)  # the CLIP is forgotten as a result
    again = host.run(start("once"))
    assert "reused" in again.text("text") and written(path) == second
    assert all(sentence in again.text("text") for sentence in load(path).metadata.metrics["verdict"])
    assert again.picture("starter").shape[1] == 1024
    path.unlink()
    path.with_suffix(".pth").unlink()
    assert host.run(start("once")).succeeded and written(path) > second


def test_a_file_that_is_no_checkpoint_is_replaced(host: Host, start: Start) -> None:
    (host.models / "damaged.safetensors").write_bytes(b"no checkpoint")
    assert host.run(start("damaged")).succeeded
    assert load(host.models / "damaged.safetensors").metadata.dataset["samples"] == 300


def test_a_linked_dataset_that_is_too_small_is_named(host: Host, collect: Callable[..., Graph]) -> None:
    graph = collect(dataset="too few")
    train = {"dataset": "", "size": "small", "epochs": 2, "name": "never", "seed": 0, "path": ["writer", 1]}
    graph["train"] = entry("PerceptionClip_TrainProjection", **train)
    assert "the dataset has only 1 sample;" in host.run(graph).message
    assert not (host.models / "never.safetensors").exists()
