"""Edit Perception in a real ComfyUI."""

from __future__ import annotations

from typing import Any

import pytest

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo
from .test_perception_info import AXES, EMOTIONS, inform, values


def edit(graph: Graph, **inputs: Any) -> Graph:
    """Edit Perception behind the graph's Face Perception, and Perception Info behind it."""
    sliders = dict.fromkeys(EMOTIONS, 0.0)
    node = sliders | {"perception": ["perception", 0], "strength": 1.0} | inputs
    return inform(graph | {"edit": entry("PerceptionClip_EditPerception", **node)}, perception=["edit", 0])


def second(name: str) -> Graph:
    """Another photo and its faces, as the nodes `other` and `other_picture`."""
    nodes = perceive(photo(name))
    nodes["perception"]["inputs"]["image"] = ["other_picture", 0]
    return {"other_picture": nodes["picture"], "other": nodes["perception"]}


def test_every_slider_raises_its_emotion(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["grace_hopper"]))
    before = values(host, inform(graph))
    for emotion in EMOTIONS:
        after = values(host, edit(graph, **{emotion: 1.5}))
        assert after[emotion] > before[emotion] + 0.05
        assert [after[axis] for axis in AXES] == pytest.approx([before[axis] for axis in AXES], abs=0.2)
        assert all(after[name] == before[name] for name in ("frame", "track", "score"))
    text = host.run(edit(graph, surprise=2)).text("edit")
    assert text.startswith("1 face; the first was neutral (") and " and is now surprise (" in text


def test_actions_are_edited_and_the_head_turns(host: Host, photos: dict[str, str]) -> None:
    """The sliders of actions are optional: the other tests leave them out, as graphs of older versions do."""
    graph = perceive(photo(photos["grace_hopper"]))
    before = values(host, edit(graph))
    turned = values(host, edit(graph, head_yaw=20.0, head_pitch=-10.0, head_roll=15.0))
    assert [turned[axis] - before[axis] for axis in AXES] == pytest.approx([20.0, -10.0, 15.0], abs=0.2)
    smiling = values(host, edit(graph, smile_left=0.8, smile_right=0.8))
    assert smiling["happy"] > before["happy"] + 0.1
    assert [smiling[axis] for axis in AXES] == pytest.approx([before[axis] for axis in AXES], abs=0.2)
    wink = edit(graph, eye_closed_left=0.8, strength=1.0)
    wink["actions"] = entry(
        "PerceptionClip_FaceActions", perception=["edit", 0], action="eyeBlinkLeft", frame=0, track=0, smoothing=0.0
    )
    assert "eyeBlinkLeft 0." in host.run(wink).text("actions")


def test_nothing_to_do_changes_nothing(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["astronaut"]))
    before = values(host, inform(graph))
    assert values(host, edit(graph)) == before
    assert values(host, edit(graph, happy=2, angry=-1, strength=0)) == before
    assert values(host, edit(graph | second(photos["grace_hopper"]), mix_with=["other", 0], mix=0)) == before


def test_faces_are_mixed(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["astronaut"])) | second(photos["grace_hopper"])
    first, other = (values(host, inform(graph, perception=[node, 0])) for node in ("perception", "other"))
    half = values(host, edit(graph, mix_with=["other", 0]))  # the default of mix is 0.5
    for emotion in EMOTIONS:
        assert half[emotion] == pytest.approx((first[emotion] + other[emotion]) / 2, abs=1e-5)
    whole = values(host, edit(graph, mix_with=["other", 0], mix=1))
    assert whole["neutral"] == pytest.approx(other["neutral"], abs=1e-5)
    assert [whole[axis] for axis in AXES[:2]] == pytest.approx([first[axis] for axis in AXES[:2]], abs=0.2)


def test_no_face_passes_with_a_word(host: Host, photos: dict[str, str]) -> None:
    nobody = host.run(edit(perceive(photo(photos["no_face"])), happy=1))
    assert nobody.text("edit") == "0 faces"
    graph = perceive(photo(photos["astronaut"])) | second(photos["no_face"])
    alone = edit(graph, mix_with=["other", 0], mix=1)
    assert "no face in mix_with, so nothing was mixed" in host.run(alone).text("edit")
    assert values(host, alone) == values(host, inform(graph))
