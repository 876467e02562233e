"""Face Perception in a real ComfyUI."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from .server import Graph, Host
from .websocket import listen, text_on_node


def perceive(source: Graph, image: str = "picture", **widgets: Any) -> Graph:
    node = {"max_faces": 10, "min_confidence": 0.5, "missing": "skip", "image": [image, 0]} | widgets
    return source | {"perception": {"class_type": "PerceptionClip_FacePerception", "inputs": node}}


def photo(name: str) -> Graph:
    return {"picture": {"class_type": "LoadImage", "inputs": {"image": name}}}


def pictures(**inputs: Any) -> Graph:
    inputs = {"count": 1, "size": 64, "channels": 3, "value": "0.5"} | inputs
    return {"picture": {"class_type": "Probe_Pictures", "inputs": inputs}}


def repeated(name: str, count: int) -> Graph:
    small = {"image": ["photo", 0], "upscale_method": "area", "width": 128, "height": 128, "crop": "disabled"}
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": name}},
        "small": {"class_type": "ImageScale", "inputs": small},
        "picture": {"class_type": "RepeatImageBatch", "inputs": {"image": ["small", 0], "amount": count}},
    }


def test_a_face_is_found_and_drawn(host: Host, photos: dict[str, str], astronaut: np.ndarray) -> None:
    result = host.run(perceive(photo(photos["astronaut"])))
    assert result.text("perception").startswith("1 face in 1 picture")
    overlay = result.picture("perception")
    assert overlay.shape == astronaut.shape
    changed = (overlay != astronaut).any(axis=2).mean()
    assert 0.005 < changed < 0.5


def test_preview_of_a_batch_is_limited(host: Host, photos: dict[str, str]) -> None:
    result = host.run(perceive(repeated(photos["astronaut"], 20)))
    assert result.text("perception").startswith("20 faces in 20 pictures")
    assert len(result.output("perception")["images"]) == 16


@pytest.mark.parametrize(("picture", "size"), [("no_face", 96), ("one_pixel", 1)])
def test_no_face_passes_with_a_word(host: Host, photos: dict[str, str], picture: str, size: int) -> None:
    result = host.run(perceive(photo(photos[picture])))
    assert result.text("perception") == "no face in 1 picture"
    assert result.picture("perception").shape == (size, size, 3)


def test_no_face_is_an_error_if_asked(host: Host, photos: dict[str, str]) -> None:
    result = host.run(perceive(photo(photos["no_face"]), missing="error"))
    assert "no face in 1 picture" in result.message
    assert "set missing to skip" in result.message


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_broken_pixels_are_named(host: Host, value: str) -> None:
    assert "picture 0 holds NaN or infinite pixels" in host.run(perceive(pictures(value=value))).message


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures_are_taken(host: Host, channels: int) -> None:
    assert host.run(perceive(pictures(channels=channels))).text("perception") == "no face in 1 picture"


def test_an_empty_batch_is_no_crash(host: Host) -> None:
    assert host.run(perceive(pictures(count=0))).text("perception") == "no face in no picture"


@pytest.mark.parametrize(
    ("widgets", "word"),
    [
        ({"max_faces": 0}, "max_faces"),
        ({"max_faces": "many"}, "max_faces"),
        ({"min_confidence": 2}, "min_confidence"),
        ({"min_confidence": float("nan")}, "min_confidence"),
        ({"missing": "perhaps"}, "missing"),
    ],
)
def test_wrong_widgets_are_refused_by_name(host: Host, widgets: dict[str, Any], word: str) -> None:
    answer = host.post("/prompt", {"prompt": perceive(pictures(), **widgets)})
    said = str(answer) if "error" in answer else host.wait(answer["prompt_id"]).message
    assert word in said


def test_wrong_link_is_refused(host: Host) -> None:
    graph = perceive(pictures()) | {
        "next": {
            "class_type": "PerceptionClip_FacePerception",
            "inputs": {"max_faces": 1, "min_confidence": 0.5, "missing": "skip", "image": ["perception", 0]},
        }
    }
    answer = host.post("/prompt", {"prompt": graph})
    assert "mismatch" in str(answer["node_errors"]["next"])


def test_text_is_put_on_the_node(host: Host, photos: dict[str, str]) -> None:
    with listen(host.port, "a-browser") as payloads:
        host.queue(perceive(photo(photos["grace_hopper"]), min_confidence=0.45), client="a-browser")
        shown = [text for payload in payloads if (text := text_on_node(payload))]
    assert [(node, text.splitlines()[0][:6]) for node, text in shown] == [("perception", "1 face")]


def test_models_are_loaded_once(host: Host, photos: dict[str, str]) -> None:
    host.run(perceive(photo(photos["astronaut"]), min_confidence=0.55))
    before = host.loads()
    host.post("/free", {"free_memory": True})  # ComfyUI forgets its own results, so the nodes run again
    host.run(perceive(photo(photos["grace_hopper"]), min_confidence=0.55))
    assert before and host.loads() == before


def test_cancelling_stops_within_a_chunk_and_the_server_lives(host: Host, photos: dict[str, str]) -> None:
    with listen(host.port, "another-browser", silence=30) as payloads:
        prompt = host.queue(perceive(repeated(photos["astronaut"], 2048)), client="another-browser")
        next(payload for payload in payloads if b'"progress"' in payload and b'"perception"' in payload)
    started = time.monotonic()
    host.post("/interrupt", {})
    result = host.wait(prompt)
    assert time.monotonic() - started < 2
    assert "execution_interrupted" in result.events
    assert "execution_error" not in result.events
    assert host.run(perceive(photo(photos["astronaut"]))).succeeded
