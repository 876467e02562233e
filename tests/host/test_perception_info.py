"""Perception Info in a real ComfyUI."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from perception_clip.common.words import counted

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo, repeated

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
AXES = ("yaw", "pitch", "roll")
OUTPUTS = ("text", *EMOTIONS, *AXES, *("x", "y", "width", "height"), *("score", "frame", "track", "face_count"))


def inform(graph: Graph, **widgets: Any) -> Graph:
    """Perception Info behind the graph's Face Perception, and every output shown by ComfyUI's own preview node."""
    inputs = {"perception": ["perception", 0], "face": 0, "missing": "zeros"} | widgets
    shown = {name: entry("PreviewAny", source=["info", index]) for index, name in enumerate(OUTPUTS)}
    return graph | {"info": entry("PerceptionClip_PerceptionInfo", **inputs)} | shown


def values(host: Host, graph: Graph) -> dict[str, float]:
    """Every number that the node puts out."""
    result = host.run(graph)
    return {name: float(result.text(name)) for name in OUTPUTS[1:]}


def test_a_face_is_shown_and_put_out_as_numbers(host: Host, photos: dict[str, str], astronaut: np.ndarray) -> None:
    box = {name: ["info", OUTPUTS.index(name)] for name in ("x", "y", "width", "height")}
    graph = inform(perceive(photo(photos["astronaut"]))) | {
        "crop": entry("ImageCrop", image=["picture", 0], **box),
        "show": entry("PreviewImage", images=["crop", 0]),
    }
    result, numbers = host.run(graph), values(host, graph)
    assert result.text("text") == result.text("info")
    assert result.text("info").startswith("face 0 of 1 (counted from 0), picture 0, track 0\nscore")
    assert re.search(r"\nhappy +9\d\.\d%\n", result.text("info"))
    assert sum(numbers[name] for name in EMOTIONS) == pytest.approx(1, abs=1e-3)
    assert numbers["happy"] > 0.8
    assert max(abs(numbers[axis]) for axis in AXES) < 8
    assert 0.5 < numbers["score"] <= 1
    assert (numbers["frame"], numbers["track"], numbers["face_count"]) == (0, 0, 1)
    x, y, width, height = (int(numbers[name]) for name in box)
    assert 80 < width < 200 and 80 < height < 250
    assert np.array_equal(result.picture("show"), astronaut[y : y + height, x : x + width])


def test_another_face_is_chosen_and_all_are_listed(host: Host, photos: dict[str, str]) -> None:
    graph = inform(perceive(repeated(photos["astronaut"], 22)), face=21)
    numbers, text = values(host, graph), host.run(graph).text("info")
    assert (numbers["frame"], numbers["face_count"]) == (21, 22)
    assert text.startswith("face 21 of 22")
    assert text.endswith("\n… and 2 more")
    assert len(re.findall(r"^\d+: picture \d+, happy \d+%, yaw ", text, re.MULTILINE)) == 20
    assert text.endswith("\n\n" + host.run(graph).output("info")["note"][0])  # the list alone is shown on the node


@pytest.mark.parametrize(("picture", "face", "count"), [("no_face", 0, 0), ("astronaut", 1, 1)])
def test_no_such_face_gives_zeros_or_an_error(
    host: Host, photos: dict[str, str], picture: str, face: int, count: int
) -> None:
    graph = inform(perceive(photo(photos[picture])), face=face)
    numbers = values(host, graph)
    assert numbers == dict.fromkeys(OUTPUTS[1:], 0.0) | {"face_count": count}
    text = f"there is no face {face}: {counted(count, 'face')} in 1 picture"
    assert host.run(graph).text("info") == f"{text}; every number is 0"
    message = host.run(inform(graph, face=face, missing="error")).message
    assert text in message and "set missing to zeros" in message
