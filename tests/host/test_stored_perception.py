"""Save Perception and Load Perception in a real ComfyUI."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo, repeated
from .test_perception_info import inform, values
from .test_projection import Payload

LISTED = "/object_info/PerceptionClip_LoadPerception"


def folder(host: Host) -> Path:
    return host.base / "user" / "__perception_clip" / "perceptions"


def save(graph: Graph, name: str, overwrite: bool = False) -> Graph:
    """Save Perception behind the graph's Face Perception."""
    node = {"perception": ["perception", 0], "name": name, "overwrite": overwrite}
    return graph | {
        "save": entry("PerceptionClip_SavePerception", **node),
        "name": entry("PreviewAny", source=["save", 0]),
        "path": entry("PreviewAny", source=["save", 1]),
    }


def load(name: Any) -> Graph:
    """Load Perception, and Perception Info behind it."""
    nodes = inform({"load": entry("PerceptionClip_LoadPerception", name=name)})
    nodes["info"]["inputs"]["perception"] = ["load", 0]
    return nodes | {"count": entry("PreviewAny", source=["load", 1])}


def test_faces_come_back_as_they_were(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(repeated(photos["astronaut"], 3))
    saved, path = host.run(save(graph, "round trip")), folder(host) / "round trip.safetensors"
    assert saved.text("save") == f"3 faces saved as round trip\n{path}"
    assert (saved.text("name"), saved.text("path")) == ("round trip", str(path))
    loaded = host.run(load("round trip"))
    assert loaded.text("load").startswith("3 faces in 3 pictures\ncreated with ")
    assert "face-expression-bundled" in loaded.text("load")
    assert loaded.text("count") == "3"
    assert values(host, load("round trip")) == values(host, inform(graph))


def test_a_taken_name_gets_a_number_and_nothing_is_lost(host: Host, photos: dict[str, str]) -> None:
    first = perceive(photo(photos["astronaut"]))
    host.run(save(first, "taken"))
    content = (folder(host) / "taken.safetensors").read_bytes()
    assert host.run(save(perceive(photo(photos["grace_hopper"])), "taken")).text("name") == "taken_00001"
    assert host.run(save(perceive(photo(photos["no_face"])), "taken")).text("name") == "taken_00002"
    assert (folder(host) / "taken.safetensors").read_bytes() == content
    assert values(host, load("taken_00001"))["neutral"] > 0.4
    assert host.run(load("taken_00002")).text("load").startswith("0 faces in 1 picture")


def test_overwrite_replaces_and_the_new_file_is_used_without_restart(host: Host, photos: dict[str, str]) -> None:
    assert "'again'" not in str(host.get(LISTED))
    host.run(save(perceive(photo(photos["astronaut"])), "again", overwrite=True))
    assert "'again'" in str(host.get(LISTED))
    assert values(host, load("again"))["happy"] > 0.8
    text = host.run(save(perceive(photo(photos["grace_hopper"])), "again", overwrite=True)).text("save")
    assert text.startswith("1 face saved as again, replacing the old file\n")
    assert values(host, load("again"))["happy"] < 0.2
    assert [path.stem for path in folder(host).glob("again*")] == ["again"]


@pytest.mark.parametrize("name", ["absent", "../../../etc/passwd", "nothing saved yet"])
def test_a_missing_file_comes_with_its_folder_and_the_way_to_make_one(host: Host, name: str) -> None:
    message = host.run(load(name)).message
    assert f"there are no saved faces named {name!r}" in message
    assert str(folder(host)) in message
    assert "Save Perception" in message


def test_a_strangers_file_is_refused_and_not_run(host: Host, photos: dict[str, str], tmp_path: Path) -> None:
    host.run(save(perceive(photo(photos["astronaut"])), "stranger"))
    path, proof = folder(host) / "stranger.safetensors", tmp_path / "code-has-run"
    good = path.read_bytes()
    for content in (pickle.dumps(Payload(proof)), good[:1000], b""):
        path.write_bytes(content)
        message = host.run(load("stranger")).message
        assert str(path) in message and "not a readable safetensors file" in message
    assert not proof.exists()
    path.write_bytes(good)
    assert host.run(load("stranger")).succeeded
