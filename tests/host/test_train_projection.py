"""Train Projection in a real ComfyUI: a dataset in, an evaluated checkpoint out; and cancelled."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.projection.checkpoint import load
from perception_clip.training.dataset.npz import content_hash
from perception_clip.training.dataset.opening import open_for_training
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store

from .server import Graph, Host, entry
from .websocket import listen, text_on_node

LISTED = "/object_info/PerceptionClip_Projection"
PREVIEW, PNG = 1, 2  # ComfyUI's binary event for a picture, and its number for the format


def train(dataset: str, name: str, **widgets: Any) -> Graph:
    """Train Projection alone, with what it puts out."""
    inputs = {"dataset": dataset, "size": "small", "epochs": 3, "name": name, "seed": 0} | widgets
    return {
        "train": entry("PerceptionClip_TrainProjection", **inputs),
        "name": entry("PreviewAny", source=["train", 0]),
        "report": entry("PreviewImage", images=["train", 1]),
        "text": entry("PreviewAny", source=["train", 2]),
    }


def collect(host: Host, name: str, samples: int, prompts: int = len(EMOTIONS)) -> str:
    """A dataset of sampled faces in the host, with a prompt for each emotion and five faces to a group."""
    expression, generator = ExpressionModel.load(), torch.Generator().manual_seed(0)
    emotions = torch.arange(samples) % len(EMOTIONS)
    landmarks, sizes = expression.sample(emotions, torch.ones(samples), generator)
    targets = torch.randn(len(EMOTIONS), 768, generator=torch.Generator().manual_seed(1))
    numbers = (emotions % prompts).tolist()
    with Store(host.datasets / f"{name}.db") as store:
        store.set_provenance("an encoder", targets[0], "sampled", expression.identity)
        store.append(
            Samples(
                pack(landmarks, expression.probabilities(landmarks, sizes)),
                sizes,
                [f"a person looking {EMOTIONS[number]}" for number in numbers],
                targets[numbers],
                groups=[f"person {row // 5}" for row in range(samples)],
            )
        )
    return name


@pytest.fixture(scope="module")
def dataset(host: Host) -> str:
    return collect(host, "sampled", 350)


@pytest.fixture
def nothing_left(host: Host) -> Iterator[None]:
    """Nothing is added to the models and the datasets, and nothing half-written is left of the former."""
    before = files(host)
    yield
    assert files(host) == before


def files(host: Host) -> list[tuple[Path, int]]:
    folders = host.models, host.datasets, host.pack / "projection" / "checkpoints"
    return sorted((path, path.stat().st_mtime_ns) for folder in folders for path in folder.rglob("*"))


def test_a_checkpoint_appears_without_a_restart(host: Host, dataset: str) -> None:
    assert "'appears.safetensors'" not in str(host.get(LISTED))
    before = {path for path, _ in files(host)}
    result = host.run(train(dataset, "appears"))
    assert result.text("name") == "appears.safetensors"
    assert "'appears.safetensors'" in str(host.get(LISTED))
    path = host.models / "appears.safetensors"
    assert {path for path, _ in files(host)} - before == {path, path.with_suffix(".pth")}
    made = load(path)
    assert made.metadata.dataset["sha256"] == content_hash(open_for_training(host.datasets / f"{dataset}.db"))
    assert made.metadata.encoder == "an encoder" and made.metadata.dataset["samples"] == 350
    assert not made.has_subject
    assert "the dataset has no subject vectors: the projection steers at the end of the text only" in result.text(
        "train"
    )
    assert made.metadata.metrics["scores"]["projection"]["centered_cosine"][0] > 0.5
    text = result.text("text")
    assert all(sentence in text for sentence in made.metadata.metrics["verdict"])
    assert "recall@1 of 7 prompts" in text and "ridge" in text
    assert result.text("train").startswith(made.metadata.metrics["verdict"][0])
    report = result.picture("report")
    assert report.shape[1] == 1024 and report.shape[0] > 500
    assert (report == result.picture("train")).all()


def test_it_trains_again_only_when_something_has_changed(host: Host) -> None:
    name, path = collect(host, "growing", 70), host.models / "again.safetensors"

    def written(**widgets: Any) -> int:
        result = host.run(train(name, "again", **widgets))
        assert result.succeeded, result.message
        return path.stat().st_mtime_ns

    first = written()
    assert written() == first
    path.unlink()
    path.with_suffix(".pth").unlink()
    second = written()
    assert second > first and written() == second
    third = written(seed=1)
    assert third > second
    collect(host, "growing", 105)
    assert written(seed=1) > third and load(path).metadata.dataset["samples"] > 70


def test_training_continues_from_a_checkpoint_and_says_what_was_added(host: Host, dataset: str) -> None:
    host.run(train(dataset, "start", epochs=1))
    result = host.run(train(dataset, "further", init="start.safetensors", size="large"))
    assert "before" in result.text("text") and "the initial checkpoint" in result.text("text")
    made, start = (load(host.models / f"{name}.safetensors") for name in ("further", "start"))
    assert made.network.architecture == start.network.architecture
    assert "before" in made.metadata.metrics["scores"]


def test_progress_comes_with_the_learning_curves(host: Host, dataset: str) -> None:
    seen: list[bytes] = []
    with listen(host.port, "a-trainer", silence=60) as payloads:
        host.queue(train(dataset, "shown", epochs=8), client="a-trainer")
        while not seen or b'"type": "execution_success"' not in seen[-1]:
            seen.append(next(payloads))
    pictures = [payload[8:] for payload in seen if payload[:8] == struct.pack(">II", PREVIEW, PNG)]
    assert pictures and all(picture.startswith(b"\x89PNG") for picture in pictures)
    steps = [payload for payload in seen if b'"type": "progress"' in payload and b'"max": 8' in payload]
    values = [json.loads(step)["data"]["value"] for step in steps]  # newer versions of ComfyUI leave some out
    assert values == sorted(set(values)) and values[-1] == 8
    assert "shown.safetensors" in dict(text for payload in seen if (text := text_on_node(payload)))["train"]


def test_a_cancelled_run_leaves_nothing_and_keeps_the_checkpoint_of_that_name(host: Host, dataset: str) -> None:
    host.run(train(dataset, "kept"))
    collect(host, "many", 4000)
    before = files(host)
    for name in ("never", "kept"):
        with listen(host.port, name, silence=60) as payloads:
            prompt = host.queue(train("many", name, size="large", epochs=10_000), client=name)
            while b'"type": "progress"' not in next(payloads):
                pass
        host.post("/interrupt", {})
        assert "execution_interrupted" in host.wait(prompt).events
        assert files(host) == before
    (host.datasets / "many.db").unlink()


def test_a_name_that_the_packs_folder_has_is_refused(host: Host, dataset: str) -> None:
    host.run(train(dataset, "first"))
    other = host.pack / "projection" / "checkpoints" / "taken.safetensors"
    shutil.copy(host.models / "first.safetensors", other)
    message = host.run(train(dataset, "taken")).message
    other.unlink()
    assert str(other.resolve().parent) in message and "would be used instead" in message
    assert not (host.models / "taken.safetensors").exists()


def test_a_missing_dataset_or_init_is_named_with_the_remedy(host: Host, dataset: str, nothing_left: None) -> None:
    message = host.run(train("absent", "never")).message
    assert "there is no dataset 'absent'" in message and "Dataset Writer" in message
    assert "'absent.safetensors'" in host.run(train(dataset, "never", init="absent.safetensors")).message


@pytest.mark.parametrize(("samples", "prompts", "word"), [(1, 7, "1 sample;"), (70, 1, "have the same target")])
def test_what_cannot_be_trained_on_is_refused(host: Host, samples: int, prompts: int, word: str) -> None:
    name = collect(host, f"only {samples} of {prompts}", samples, prompts)
    assert word in host.run(train(name, "never")).message
    assert not (host.models / "never.safetensors").exists()
