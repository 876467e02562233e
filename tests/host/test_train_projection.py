"""Train Projection in a real ComfyUI: a dataset in, a judged checkpoint out; and cancelled."""

from __future__ import annotations

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

from .server import Graph, Host
from .websocket import listen, text_on_node

LISTED = "/object_info/PerceptionClip_Projection"
PREVIEW, PNG = 1, 2  # ComfyUI's binary event for a picture, and its number for the format


def train(dataset: str, name: str, **widgets: Any) -> Graph:
    """Train Projection alone, with what it puts out."""
    inputs = {"dataset": dataset, "size": "small", "epochs": 3, "name": name, "seed": 0} | widgets
    return {
        "train": {"class_type": "PerceptionClip_TrainProjection", "inputs": inputs},
        "name": {"class_type": "PreviewAny", "inputs": {"source": ["train", 0]}},
        "report": {"class_type": "PreviewImage", "inputs": {"images": ["train", 1]}},
        "text": {"class_type": "PreviewAny", "inputs": {"source": ["train", 2]}},
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
    assert made.metadata.metrics["scores"]["projection"]["centered_cosine"][0] > 0.5
    text = result.text("text")
    assert all(sentence in text for sentence in made.metadata.metrics["verdict"])
    assert "recall@1 of 7 prompts" in text and "ridge" in text
    assert result.text("train").startswith(made.metadata.metrics["verdict"][0])
    report = result.picture("report")
    assert report.shape[1] == 1024 and report.shape[0] > 500
    assert (report == result.picture("train")).all()


def test_unchanged_inputs_train_nothing_again(host: Host, dataset: str) -> None:
    path = host.models / "again.safetensors"
    host.run(train(dataset, "again"))
    first = path.stat().st_mtime_ns
    assert host.run(train(dataset, "again")).succeeded and path.stat().st_mtime_ns == first
    path.unlink()
    path.with_suffix(".pth").unlink()
    assert host.run(train(dataset, "again")).succeeded and path.is_file()
    made = path.stat().st_mtime_ns
    assert host.run(train(dataset, "again")).succeeded and path.stat().st_mtime_ns == made
    assert host.run(train(dataset, "again", seed=1)).succeeded and path.stat().st_mtime_ns > made


def test_a_grown_dataset_is_trained_on_again(host: Host) -> None:
    name = collect(host, "growing", 70)
    host.run(train(name, "grown"))
    collect(host, "growing", 105)
    host.run(train(name, "grown"))
    assert load(host.models / "grown.safetensors").metadata.dataset["samples"] > 70


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
    assert len(steps) == 8
    assert "shown.safetensors" in dict(text for payload in seen if (text := text_on_node(payload)))["train"]


def test_cancelling_stops_at_once_and_leaves_nothing(host: Host, nothing_left: None) -> None:
    name = collect(host, "many", 4000)
    graph = train(name, "never", size="large", epochs=10_000)
    with listen(host.port, "a-canceller", silence=60) as payloads:
        prompt = host.queue(graph, client="a-canceller")
        while b'"type": "progress"' not in next(payloads):
            pass
    assert not (host.models / "never.safetensors").exists()
    host.post("/interrupt", {})
    result = host.wait(prompt)
    assert "execution_interrupted" in result.events
    (host.datasets / f"{name}.db").unlink()


def test_a_cancelled_run_keeps_the_checkpoint_of_that_name(host: Host, dataset: str) -> None:
    host.run(train(dataset, "kept"))
    collect(host, "many", 4000)
    before = files(host)
    with listen(host.port, "a-keeper", silence=60) as payloads:
        prompt = host.queue(train("many", "kept", size="large", epochs=10_000), client="a-keeper")
        while b'"type": "progress"' not in next(payloads):
            pass
    host.post("/interrupt", {})
    assert "execution_interrupted" in host.wait(prompt).events
    assert files(host) == before
    (host.datasets / "many.db").unlink()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "", "a\\b", "con", ".hidden", "x" * 61])
def test_names_cannot_leave_the_folder(host: Host, dataset: str, nothing_left: None, name: str) -> None:
    assert f"{name!r} is not a valid checkpoint name" in host.run(train(dataset, name)).message


def test_a_name_that_the_packs_folder_has_is_refused(host: Host, dataset: str) -> None:
    host.run(train(dataset, "first"))
    other = host.pack / "projection" / "checkpoints" / "taken.safetensors"
    shutil.copy(host.models / "first.safetensors", other)
    message = host.run(train(dataset, "taken")).message
    other.unlink()
    assert str(other.resolve().parent) in message and "would be used instead" in message
    assert not (host.models / "taken.safetensors").exists()


@pytest.mark.parametrize("name", ["absent", "../../../etc/passwd", "no dataset yet"])
def test_a_missing_dataset_comes_with_the_way_to_make_one(host: Host, nothing_left: None, name: str) -> None:
    message = host.run(train(name, "never")).message
    assert f"there is no dataset {name!r}" in message and "Dataset Writer" in message


def test_a_missing_init_is_named(host: Host, dataset: str, nothing_left: None) -> None:
    assert "'absent.safetensors'" in host.run(train(dataset, "never", init="absent.safetensors")).message


@pytest.mark.parametrize(("samples", "prompts", "word"), [(1, 7, "1 sample;"), (70, 1, "have the same target")])
def test_what_cannot_be_trained_on_is_refused(host: Host, samples: int, prompts: int, word: str) -> None:
    name = collect(host, f"only {samples} of {prompts}", samples, prompts)
    before = files(host)
    assert word in host.run(train(name, "never")).message
    assert files(host) == before


@pytest.mark.parametrize(
    ("widgets", "word"), [({"size": "huge"}, "size"), ({"epochs": 0}, "epochs"), ({"val_split": 0.9}, "val_split")]
)
def test_wrong_inputs_are_refused_by_name(host: Host, dataset: str, widgets: dict[str, Any], word: str) -> None:
    answer = host.post("/prompt", {"prompt": train(dataset, "never", **widgets)})
    said = str(answer) if "error" in answer or answer["node_errors"] else host.wait(answer["prompt_id"]).message
    assert word in said
