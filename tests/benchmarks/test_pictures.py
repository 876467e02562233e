"""The benchmark of generated pictures, with photos in place of a ComfyUI: what it writes, and that it continues."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = ("pictures", "pictures_report", "pictures_server", "inputs")
WHERE = ["end", "words"]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


class Photos:
    """Answers like a ComfyUI whose pictures are photos: calm at strength 0, smiling where a face acts on words."""

    def __init__(self, calm: np.ndarray, smiling: np.ndarray, checkpoint: Path) -> None:
        self.calm, self.smiling, self.checkpoint = calm, smiling, checkpoint
        self.system = {"comfyui_version": "0.0", "pytorch_version": "0.0"}
        self.nodes = ("PerceptionClip_Projection",)
        self.graphs: list[Any] = []
        self.fails_after = 1000

    def choices(self, node: str, name: str) -> list[str]:
        names = {"ckpt_name": ["model.safetensors"], "checkpoint": ["my.safetensors"], "where": WHERE}
        return names.get(name, [])

    def default(self, node: str, name: str) -> str:
        return f"{name} face"

    def node(self, kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    def upload(self, path: Path) -> str:
        return path.name

    def file(self, kind: str, name: str) -> Path | None:
        return self.checkpoint if kind == "checkpoints" else None

    def picture(self, graph: Any, node: str) -> Image.Image:
        if len(self.graphs) == self.fails_after:
            raise RuntimeError("KSampler: out of memory")
        self.graphs.append(graph)
        steered = graph.get("steered", {"inputs": {}})["inputs"]
        smiles = steered.get("where") == "words" and steered["strength"] >= 1
        return Image.fromarray(self.smiling if smiles else self.calm)


@pytest.fixture
def server(tmp_path: Path, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Photos:
    generator = torch.Generator().manual_seed(0)
    save_file({"weight": torch.randn(600, 600, generator=generator)}, tmp_path / "model.safetensors")
    (tmp_path / "faces").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "faces" / "smile.png")
    return Photos(grace_hopper[:512], astronaut, tmp_path / "model.safetensors")


def run(
    modules: dict[str, ModuleType], server: Photos, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str
) -> dict[str, Any]:
    options = ("--checkpoint", "model.safetensors", "--projection", "my.safetensors", "--seeds", "2", "--start", "0")
    places = ("--faces", str(folder / "faces"), "--out", str(folder / "out"), "--strengths", "0.5", "1")
    (folder / "prompts.txt").write_text("a woman\n")
    monkeypatch.setattr(
        sys, "argv", ["pictures.py", *options, *places, "--prompts", str(folder / "prompts.txt"), *more]
    )
    monkeypatch.setattr(modules["pictures"], "Server", lambda _: server)
    modules["pictures"].main()
    return json.loads((folder / "out" / "results.json").read_text())  # type: ignore[no-any-return]


def test_a_run_is_measured_and_continues(
    modules: dict[str, ModuleType], server: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fails_after = 5
    with pytest.raises(RuntimeError, match="out of memory"):
        run(modules, server, tmp_path, monkeypatch)
    assert not (tmp_path / "out" / "results.json").exists()
    server.fails_after = 1000
    results = run(modules, server, tmp_path, monkeypatch)
    # For each of two seeds: one without a face, two places and one rival at two strengths, and the words.
    assert len(server.graphs) == len(results["pictures"]) == 2 * (1 + 2 * 2 + 2 + 1)
    rows = {(row["method"], row["where"], row["strength"]): row for row in results["rows"]}
    reached, unmoved = rows["projection", "words", 1], rows["projection", "end", 1]
    assert reached["gain"][0] == pytest.approx(1, abs=0.05) and reached["match"][0] > 0.95
    assert reached["hit rate"] == [1, 1, 1] and unmoved["hit rate"] == [0, 0, 0]
    assert abs(unmoved["gain"][0]) < 0.01 and unmoved["outside"] == [0, 0, 0] and reached["outside"][0] > 0.1
    steps = {(row["method"], row["where"]): row for row in results["monotonicity"]}
    assert steps["projection", "words"]["steps"] == 4 and steps["projection", "words"]["rising"] >= 0.5
    assert results["run"]["random_weights"] is True and len(results["run"]["sha256"]["checkpoint"]) == 64
    assert set(results["run"]["measured_with"]) == {"landmarker", "emotions"}
    assert results["run"]["where"] == WHERE and results["run"]["versions"]["comfyui"] == "0.0"
    text = (tmp_path / "out" / "results.md").read_text()
    assert "weights are random" in text and "| projection | words | 0 | 1 | 2 | 0% | 1.0" in text
    with Image.open(tmp_path / "out" / "contact_sheet.jpg") as sheet:
        assert sheet.width == 230 + 160 * 4 and sheet.height == 60 + 160 * 4

    more = run(modules, server, tmp_path, monkeypatch, "--seeds", "3")
    assert len(more["pictures"]) == 24 and len(server.graphs) == 24
    with pytest.raises(SystemExit, match=r"other settings \(steps\)"):
        run(modules, server, tmp_path, monkeypatch, "--steps", "7")
    with pytest.raises(SystemExit, match="no checkpoint named other"):
        run(modules, server, tmp_path, monkeypatch, "--checkpoint", "other.safetensors")


@pytest.mark.parametrize(
    ("queues", "history", "message"),
    [
        ([["1"], ["1"]], {"status": {"messages": []}, "outputs": {}}, "was interrupted"),
        ([["1"], []], None, "removed from ComfyUI's queue"),
    ],
)
def test_a_picture_that_a_user_cancels_is_reported(
    modules: dict[str, ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    queues: list[list[str]],
    history: dict[str, Any] | None,
    message: str,
) -> None:
    server = object.__new__(modules["pictures_server"].Server)
    later = iter(queues)

    def get(path: str) -> dict[str, Any]:
        if path == "/queue":
            return {"queue_running": [], "queue_pending": [[0, prompt, {}] for prompt in next(later)]}
        return {} if history is None else {"1": history}

    monkeypatch.setattr(server, "_get", get)
    monkeypatch.setattr(server, "_post", lambda *_: {"prompt_id": "1"})
    with pytest.raises(RuntimeError, match=message):
        server.picture({}, "picture")


def test_random_weights_are_known_by_their_distribution(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    random_weights = modules["pictures_server"].random_weights
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(8, 500, 500, generator=generator)
    heavy = (
        normal * torch.randn(8, 500, 1, generator=generator).exp()
    )  # rows of different scales, as training makes them
    for name, weights, expected in (
        ("normal", normal * 0.02, True),
        ("uniform", torch.rand(8, 500, 500, generator=generator) - 0.5, True),
        ("trained", heavy, False),
    ):
        path = tmp_path / f"{name}.safetensors"
        save_file({f"layer {index}": layer.half().contiguous() for index, layer in enumerate(weights)}, path)
        assert random_weights(path) is expected
    assert random_weights(None) is None and random_weights(tmp_path / "model.ckpt") is None


def test_intervals_are_those_of_independent_prompts_and_seeds(modules: dict[str, ModuleType]) -> None:
    report = modules["pictures_report"]
    values = np.random.default_rng(0).normal(0.5, 0.2, 40)
    pictures = [
        report.Picture("a", seed, "projection", face, "end", 0.0, 1.0, Path("x"), 1, gain=float(values[seed]))
        for seed in range(40)
        for face in ("one", "two", "three")  # the same number three times is not three times the evidence
    ]
    mean, low, high = report.interval(pictures, report.gain_of)
    half = 1.96 * values.std() / np.sqrt(40)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.012), pytest.approx(mean + half, abs=0.012))
    nobody = [report.Picture("a", 0, "projection", "one", "end", 0.0, 1.0, Path("x"), 0)]
    assert np.isnan(report.interval(nobody, report.gain_of)).all() and report.spread((np.nan,) * 3) == "–"
