"""Face Control Picture in a real ComfyUI: a photo's face and its edited face, as pictures and as key points."""

from __future__ import annotations

import json
from typing import Any

from .server import Graph, Host, entry
from .test_edit_perception import edit
from .test_face_perception import perceive, photo


def drawn(graph: Graph, **inputs: Any) -> Graph:
    """Control pictures, and the key points as text."""
    inputs = {"perception": ["perception", 0], "kind": "mediapipe_face", "width": 0, "height": 0} | inputs
    return graph | {
        "control": entry("PerceptionClip_FaceControlPicture", **inputs),
        "shown": entry("PreviewImage", images=["control", 0]),
        "points": entry("PreviewAny", source=["control", 1]),
    }


def test_an_edited_expression_moves_picture_and_key_points(host: Host, photos: dict[str, str]) -> None:
    graph = edit(perceive(photo(photos["astronaut"])), surprise=1.5)
    results = [host.run(drawn(graph, perception=[source, 0])) for source in ("perception", "edit")]
    assert [result.text("control") for result in results] == ["1 face in 1 picture, 512 × 512"] * 2
    before, after = (result.picture("shown") for result in results)
    assert before.shape == after.shape == (512, 512, 3)
    colors = {tuple(color) for color in before[before.any(axis=2)].tolist()}
    assert len(colors) == 8 and {(10, 180, 10), (250, 200, 10)} < colors
    assert 0.001 < (before != after).any(axis=2).mean() < 0.1
    gaps = []
    for result in results:
        [frame] = json.loads(result.text("points"))
        assert (frame["canvas_width"], frame["canvas_height"]) == (512, 512)
        points = frame["people"][0]["face_keypoints_2d"]
        gaps.append(points[66 * 3 + 1] - points[62 * 3 + 1])  # between the lips
    assert gaps[1] > gaps[0] + 5


def test_without_a_face_the_picture_is_black(host: Host, photos: dict[str, str]) -> None:
    result = host.run(drawn(perceive(photo(photos["no_face"])), kind="lines", width=256))
    assert result.text("control").splitlines() == [
        "0 faces in 1 picture, 256 × 256",
        "1 picture without a face: black",
        "⚠ the size is assumed, as no picture has a face; set width and height",
    ]
    picture = result.picture("shown")
    assert picture.shape == (256, 256, 3) and not picture.any()
    assert json.loads(result.text("points"))[0]["people"] == []
    assert host.refuses_choice(drawn(perceive(photo(photos["astronaut"])), kind="canny"), "kind", "canny")
