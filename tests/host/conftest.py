"""Tests in a real ComfyUI: `COMFYUI_PATH`, else ~/ComfyUI; skipped, with a line that says so, without one.

Those of test_newer_host.py use a second one if there is one: `COMFYUI_NEW_PATH`, else ~/ComfyUI-new.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .server import ROOT, Graph, Host

FOLDER = Path(__file__).parent
RANDOM_WEIGHTS = "random_sd15.safetensors"
Collect = Callable[..., Graph]

MAKE_WEIGHTS = ROOT.parent / "shared" / "tools" / "make_random_sd15.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.host)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failed test shows the end of the server's log."""
    report: Any = yield
    server = getattr(item, "funcargs", {}).get("host")
    if report.failed and isinstance(server, Host):
        report.sections.append(("ComfyUI's log", server.tail()))
    return report  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One ComfyUI for all tests, with the pack linked into its custom_nodes."""
    server = find_host(tmp_path_factory.mktemp("comfyui"))
    server.has_weights = link_weights(server)
    server.start()
    yield server
    server.stop()


def find_host(base: Path) -> Host:
    """The ComfyUI at hand, with `base` as its folder; not started yet. Skips where there is none."""
    checkout = Path(os.environ.get("COMFYUI_PATH", "~/ComfyUI")).expanduser()
    if not (checkout / "main.py").is_file():
        pytest.skip(f"no ComfyUI in {checkout}: set COMFYUI_PATH to a checkout to run these tests")
    python = os.environ.get("COMFYUI_PYTHON")
    return Host(checkout, Path(python) if python else python_of(checkout), base)


def find_newer_host(base: Path) -> Host:
    """The newer ComfyUI if there is one, or else the one that all tests use."""
    checkout = Path(os.environ.get("COMFYUI_NEW_PATH", "~/ComfyUI-new")).expanduser()
    if not (checkout / "main.py").is_file():
        return find_host(base)
    return Host(checkout, python_of(checkout), base)


def python_of(checkout: Path) -> Path:
    own = checkout / ".venv" / "bin" / "python"
    return own if own.is_file() else Path(sys.executable)


def link_weights(server: Host) -> bool:
    """Put the random-weight SD1.5 into the host's checkpoints; False where there is none and none can be made."""
    weights = server.checkout / "models" / "checkpoints" / RANDOM_WEIGHTS
    if not weights.is_file():
        if not MAKE_WEIGHTS.is_file():
            return False
        subprocess.run(
            [server.python, MAKE_WEIGHTS, weights], check=True, env={**os.environ, "COMFYUI_PATH": str(server.checkout)}
        )
    (server.base / "models" / "checkpoints" / RANDOM_WEIGHTS).symlink_to(weights)
    return True


@pytest.fixture
def weights(host: Host) -> str:
    """The name of an SD1.5 checkpoint that the host can sample with."""
    if not host.has_weights:
        pytest.skip(f"no {RANDOM_WEIGHTS} in the checkout's models/checkpoints, so nothing can be sampled")
    return RANDOM_WEIGHTS


@pytest.fixture(scope="session")
def photos(host: Host, astronaut: np.ndarray, grace_hopper: np.ndarray) -> dict[str, str]:
    """Pictures in the host's input folder, by what they show."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    return {
        "astronaut": host.put_picture("astronaut.png", astronaut),
        "grace_hopper": host.put_picture("grace_hopper.png", grace_hopper),
        "no_face": host.put_picture("no_face.png", noise),
        "one_pixel": host.put_picture("one_pixel.png", np.full((1, 1, 3), 128, dtype=np.uint8)),
    }


@pytest.fixture(scope="session")
def checkpoint(host: Host) -> str:
    """The name of a projection checkpoint, trained by the command line in the host's own Python."""
    folder = host.models / "made"
    host.training(*("starter", "--text-encoder", "random", "--out_dir", folder, "--samples", 700, "--epochs", 5))
    return "made/best_model.safetensors"


@pytest.fixture(scope="session")
def emotion_classifier(host: Host) -> str:
    """The name of an image classifier in the host's models/emotion/ that always answers "disgust"."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    labels = ["happy", "Disgusted", "sadness", "fear", "anger", "surprised", "neutral"]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = ViTConfig(image_size=32, patch_size=16, id2label=dict(enumerate(labels)), **sizes)
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.eye(7)[1] * 5)
    folder = host.base / "models" / "emotion" / "always_disgusted"
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    processor = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": size, "do_rescale": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder.name


@pytest.fixture(scope="session")
def graphs() -> Callable[[str], Graph]:
    """A fresh copy of a graph under graphs/, by name."""
    loaded = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "graphs").glob("*.json")}
    return lambda name: copy.deepcopy(loaded[name])


@pytest.fixture
def collect(graphs: Callable[[str], Graph], weights: str, photos: dict[str, str]) -> Collect:
    """The shipped graph that collects a dataset, with a photo and changed widgets of the writer, and without its
    Dataset Info.
    """

    def make(photo: str = "astronaut", **widgets: object) -> Graph:
        graph = graphs("collect_dataset")
        del graph["info"]
        graph["model"]["inputs"]["ckpt_name"] = weights
        graph["photo"]["inputs"]["image"] = photos[photo]
        graph["writer"]["inputs"] |= {"label": ""} | widgets
        return graph

    return make
