"""Dataset Info in a real ComfyUI."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.perception.drawing.panels import COLORS
from perception_clip.training.dataset.opening import open_dataset
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.inspection.checks import inspect_scan
from perception_clip.training.inspection.scan import scan_dataset
from perception_clip.training.inspection.text import describe

from .conftest import Collect
from .server import FROM_LINK, Graph, Host, entry

LISTED = "/object_info/PerceptionClip_DatasetInfo"


def inform(dataset: str) -> Graph:
    """Dataset Info alone, with what it puts out."""
    return {
        "info": entry("PerceptionClip_DatasetInfo", dataset=dataset),
        "samples": entry("PreviewAny", source=["info", 0]),
        "text": entry("PreviewAny", source=["info", 1]),
        "faces": entry("PreviewImage", images=["info", 2]),
    }


@pytest.fixture
def whole(graphs: Callable[[str], Graph], collect: Collect) -> Collect:
    """The shipped graph with its Dataset Info, which is linked to the writer."""

    def make(photo: str = "astronaut", **widgets: object) -> Graph:
        return collect(photo, **widgets) | {"info": graphs("collect_dataset")["info"]} | outputs()

    return make


def outputs() -> Graph:
    return {name: node for name, node in inform("").items() if name != "info"}


def colored(picture: np.ndarray, emotion: str) -> int:
    """How many pixels are in about an emotion's color."""
    return int((abs(picture.astype(int) - COLORS[emotion]).max(axis=2) < 24).sum())


def test_it_describes_what_the_writer_has_just_written(host: Host, whole: Collect) -> None:
    first = host.run(whole(dataset="grows", label="happy"))
    path = host.datasets / "grows.db"
    assert first.text("text").startswith(f"{path}: 1 sample, ")
    assert first.text("samples") == "1"
    second = host.run(whole("grace_hopper", dataset="grows", label="neutral"))
    assert second.text("text").startswith(f"{path}: 2 samples, ")
    assert second.text("samples") == "2"
    assert colored(first.picture("info"), "happy") > 300
    assert colored(second.picture("info"), "happy") > 300 and colored(second.picture("info"), "neutral") > 300
    assert np.array_equal(second.picture("info"), second.picture("faces"))


def test_it_says_what_the_command_line_says(host: Host, collect: Collect) -> None:
    host.run(collect(dataset="alone", group="Eileen", label="happy"))
    result = host.run(inform("alone"))
    text = result.text("text")
    with open_dataset(host.datasets / "alone.db") as rows:
        assert text == describe(inspect_scan(scan_dataset(rows), host.datasets / "alone.db"))
    assert "Eileen" in text and "happy" in text
    assert result.text("info") == f"{text.splitlines()[-1]}\n\n{text}"  # the summary comes first


def test_a_dataset_is_listed_and_read_again_when_it_has_grown(host: Host, collect: Collect) -> None:
    assert "'listed'" not in str(host.get(LISTED))
    host.run(collect(dataset="listed"))
    assert "'listed'" in str(host.get(LISTED))
    assert host.run(inform("listed")).text("samples") == "1"
    with Store(host.datasets / "listed.db", create=False) as store:  # as another process, which stays open
        made_with = store.provenance
        assert made_with is not None and made_with.fingerprint is not None
        probe = torch.tensor(made_with.fingerprint)
        store.set_provenance(made_with.encoder, probe, made_with.landmarker, made_with.emotion_model)
        vector = torch.tensor(next(store.iterate()).perceptions) + 1e-4 * torch.eye(1441)[:1]
        store.append(Samples(vector, torch.tensor([[512, 512]]), ["another"], probe[None]))
        assert host.run(inform("listed")).text("samples") == "2"  # it is still in the write-ahead log
    assert host.run(inform("listed")).text("samples") == "2"


def test_an_empty_dataset_is_no_error(host: Host, whole: Collect) -> None:
    result = host.run(whole("no_face", dataset="empty"))
    assert result.text("samples") == "0"
    assert "not ready for training" in result.text("info")
    assert result.picture("faces").max() == 255  # it says so


@pytest.mark.parametrize(
    "name, problem",
    [
        ("absent", "there is no dataset 'absent'"),
        ("../../../etc/passwd", "there is no dataset '../../../etc/passwd'"),
        (FROM_LINK, "no dataset is chosen, and nothing is connected to path"),
    ],
)
def test_a_missing_dataset_comes_with_its_folder_and_the_way_to_make_one(host: Host, name: str, problem: str) -> None:
    message = host.run(inform(name)).message
    assert f"{host.datasets}: {problem}. Create one" in message
    assert "Dataset Writer" in message


def test_a_linked_path_leads_nowhere_else(host: Host, collect: Collect, tmp_path: Path) -> None:
    host.run(collect(dataset="inside"))
    outside = tmp_path / "outside.db"
    sqlite3.connect(outside).close()
    text = entry("PrimitiveString", value=str(outside))
    graph = inform("inside") | {"path": text}
    graph["info"]["inputs"]["path"] = ["path", 0]
    assert f"there is no dataset {str(outside)!r}" in host.run(graph).message
    text["inputs"]["value"] = str(host.datasets / "inside.db")
    assert host.run(graph).text("samples") == "1"
