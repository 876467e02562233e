"""Perception Info in a real ComfyUI."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from perception_clip.common.words import counted

from .server import Graph, Host
from .test_face_perception import perceive, photo, repeated
from .websocket import listen, text_on_node

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
OUTPUTS = ("text", *EMOTIONS, *("yaw", "pitch", "roll", "x", "y", "width", "height"))
OUTPUTS += ("score", "frame", "track", "face_count")


def inform(graph: Graph, **widgets: Any) -> Graph:
    """Perception Info behind the graph's Face Perception, and every output shown by ComfyUI's own preview node."""
    inputs = {"perception": ["perception", 0], "face": 0, "missing": "zeros"} | widgets
    shown = {
        name: {"class_type": "PreviewAny", "inputs": {"source": ["info", index]}} for index, name in enumerate(OUTPUTS)
    }
    return graph | {"info": {"class_type": "PerceptionClip_PerceptionInfo", "inputs": inputs}} | shown


def values(host: Host, graph: Graph) -> dict[str, float]:
    """Every number that the node puts out."""
    result = host.run(graph)
    return {name: float(result.text(name)) for name in OUTPUTS[1:]}


def test_a_face_is_shown_and_put_out_as_numbers(host: Host, photos: dict[str, str]) -> None:
    graph = inform(perceive(photo(photos["astronaut"])))
    result, numbers = host.run(graph), values(host, graph)
    assert result.text("text") == result.text("info")
    assert result.text("info").startswith("face 0 of 1 (counted from 0), picture 0, track 0\nscore")
    assert re.search(r"\nhappy +8\d\.\d%\n", result.text("info"))
    assert sum(numbers[name] for name in EMOTIONS) == pytest.approx(1, abs=1e-3)
    assert numbers["happy"] > 0.8
    assert max(abs(numbers[axis]) for axis in ("yaw", "pitch", "roll")) < 8
    assert 0.5 < numbers["score"] <= 1
    assert (numbers["frame"], numbers["track"], numbers["face_count"]) == (0, 0, 1)


def test_the_box_fits_image_crop(host: Host, photos: dict[str, str], astronaut: np.ndarray) -> None:
    box = {name: ["info", OUTPUTS.index(name)] for name in ("x", "y", "width", "height")}
    graph = inform(perceive(photo(photos["astronaut"]))) | {
        "crop": {"class_type": "ImageCrop", "inputs": {"image": ["picture", 0]} | box},
        "show": {"class_type": "PreviewImage", "inputs": {"images": ["crop", 0]}},
    }
    numbers, crop = values(host, graph), host.run(graph).picture("show")
    x, y, width, height = (int(numbers[name]) for name in box)
    assert 80 < width < 200 and 80 < height < 250
    assert np.array_equal(crop, astronaut[y : y + height, x : x + width])


def test_another_face_is_chosen_and_all_are_listed(host: Host, photos: dict[str, str]) -> None:
    graph = inform(perceive(repeated(photos["astronaut"], 22)), face=21)
    numbers, text = values(host, graph), host.run(graph).text("info")
    assert (numbers["frame"], numbers["face_count"]) == (21, 22)
    assert text.startswith("face 21 of 22")
    assert text.endswith("\n… and 2 more")
    assert len(re.findall(r"^\d+: picture \d+, happy \d+%, yaw ", text, re.MULTILINE)) == 20


@pytest.mark.parametrize(("picture", "face", "count"), [("no_face", 0, 0), ("astronaut", 1, 1)])
def test_no_such_face_gives_zeros_with_a_word(
    host: Host, photos: dict[str, str], picture: str, face: int, count: int
) -> None:
    graph = inform(perceive(photo(photos[picture])), face=face)
    numbers = values(host, graph)
    assert numbers == dict.fromkeys(OUTPUTS[1:], 0.0) | {"face_count": count}
    assert host.run(graph).text("info") == (
        f"there is no face {face}: {counted(count, 'face')} in 1 picture; every number is 0"
    )


def test_no_such_face_is_an_error_if_asked(host: Host, photos: dict[str, str]) -> None:
    message = host.run(inform(perceive(photo(photos["no_face"])), missing="error")).message
    assert "there is no face 0: 0 faces in 1 picture" in message
    assert "set missing to zeros" in message


def test_a_line_for_each_face_is_put_on_the_node(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["grace_hopper"]), min_confidence=0.35)
    graph["info"] = inform({})["info"]
    with listen(host.port, "a-reader", silence=30) as payloads:
        host.queue(graph, client="a-reader")
        texts = (text for payload in payloads if (text := text_on_node(payload)))
        shown = next(text for node, text in texts if node == "info")
    assert shown.startswith("0: picture 0, neutral") and "yaw" in shown


@pytest.mark.parametrize(
    ("widgets", "word"),
    [
        ({"face": -1}, "face"),
        ({"face": "first"}, "face"),
        ({"missing": "perhaps"}, "missing"),
        ({"perception": 5}, "perception"),
    ],
)
def test_wrong_inputs_are_refused_by_name(
    host: Host, photos: dict[str, str], widgets: dict[str, Any], word: str
) -> None:
    graph = perceive(photo(photos["no_face"]))
    graph["info"] = inform({}, **widgets)["info"]
    answer = host.post("/prompt", {"prompt": graph})
    said = str(answer) if "error" in answer or answer["node_errors"] else host.wait(answer["prompt_id"]).message
    assert word in said
