"""Face Actions in a real ComfyUI."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from .server import Graph, Host
from .test_face_perception import perceive, photo, repeated

ANGLES = ("gaze_yaw", "gaze_pitch", "yaw", "pitch", "roll")
OUTPUTS = ("value", "values", *ANGLES, "json")


def measure(graph: Graph, **widgets: Any) -> Graph:
    """Face Actions behind the graph's Face Perception, and every output shown by ComfyUI's own preview node."""
    inputs = {"perception": ["perception", 0], "action": "mouthSmile", "frame": 0, "track": 0, "smoothing": 0.0}
    shown = {
        name: {"class_type": "PreviewAny", "inputs": {"source": ["actions", index]}}
        for index, name in enumerate(OUTPUTS)
    }
    node = {"class_type": "PerceptionClip_FaceActions", "inputs": inputs | widgets}
    chart = {"class_type": "PreviewImage", "inputs": {"images": ["actions", len(OUTPUTS)]}}
    return graph | {"actions": node, "chart": chart} | shown


def test_a_smile_is_put_out_as_numbers_and_drawn(host: Host, photos: dict[str, str]) -> None:
    result = host.run(measure(perceive(photo(photos["astronaut"]))))
    value = float(result.text("value"))
    assert 0.7 < value <= 1 and float(result.text("values")) == value
    assert all(abs(float(result.text(name))) < 10 for name in ANGLES)
    assert result.text("actions") == f"picture 0, track 0: mouthSmile {value:.2f}"
    [face] = json.loads(result.text("json"))
    assert (face["frame"], face["track"], len(face["actions"])) == (0, 0, 52)
    sides = face["actions"]["mouthSmileLeft"], face["actions"]["mouthSmileRight"]
    assert sum(sides) / 2 == pytest.approx(value, abs=1e-3)
    assert face["head"].keys() == {"yaw", "pitch", "roll"} and face["gaze"].keys() == {"yaw", "pitch"}
    chart = result.picture("chart")
    assert chart.shape[1] > 600 and np.array_equal(chart, result.picture("actions"))


def test_values_has_a_number_for_each_picture(host: Host, photos: dict[str, str]) -> None:
    graph = measure(perceive(repeated(photos["grace_hopper"], 3), min_confidence=0.35), smoothing=0.5, frame=2)
    result = host.run(graph)
    values = [float(text) for text in result.output("values")["text"]]
    assert len(values) == 3 and max(values) - min(values) < 1e-3
    assert len(json.loads(result.text("json"))) == 3


@pytest.mark.parametrize("missing", ["hold", "zeros"])
@pytest.mark.parametrize(
    ("picture", "widgets", "problem"),
    [
        ("no_face", {}, "there is no face with track 0 in picture 0: 0 faces in 1 picture"),
        ("astronaut", {"track": 3}, "there is no face with track 3 in picture 0: 1 face in 1 picture"),
        ("astronaut", {"frame": 1}, "there is no picture 1: the perception has 1 picture, counted from 0"),
    ],
)
def test_without_the_face_all_numbers_are_zero(
    host: Host, photos: dict[str, str], picture: str, widgets: dict[str, int], problem: str, missing: str
) -> None:
    graph = measure(perceive(photo(photos[picture])), missing=missing, **widgets)
    result = host.run(graph)
    assert {float(result.text(name)) for name in ("value", *ANGLES)} == {0.0}
    assert result.text("actions") == f"{problem}; the numbers are 0"
    assert "set missing to hold or zeros" in host.run(measure(graph, missing="error", **widgets)).message


def test_comfyuis_own_actions_are_used(host: Host, photos: dict[str, str]) -> None:
    graph = measure(perceive(photo(photos["astronaut"])), face_landmarks=["theirs", 0])
    graph["theirs"] = {"class_type": "Probe_FaceLandmarks", "inputs": {"perception": ["perception", 0], "points": 478}}
    assert "blendshapes of face 0 of picture 0 must be a dictionary of the 52 actions" in host.run(graph).message
    graph["theirs"] = {"class_type": "PerceptionClip_ToFaceLandmarks", "inputs": {"perception": ["perception", 0]}}
    result = host.run(graph)
    assert result.text("actions").endswith("\nComfyUI's actions: 1 of 1 face")
    assert 0.7 < float(result.text("value")) <= 1


@pytest.mark.parametrize(
    ("widgets", "word"),
    [
        ({"action": "jawDrop"}, "action"),
        ({"missing": "perhaps"}, "missing"),
        ({"smoothing": 2}, "smoothing"),
        ({"track": -1}, "track"),
        ({"perception": 5}, "perception"),
        ({"face_landmarks": 5}, "face landmarks must be a dictionary"),
    ],
)
def test_wrong_inputs_are_refused_by_name(
    host: Host, photos: dict[str, str], widgets: dict[str, Any], word: str
) -> None:
    assert word in host.refusal(measure(perceive(photo(photos["no_face"])), **widgets))
