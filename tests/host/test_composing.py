"""Join Perceptions, Perception Schedule and Perception Arithmetic in a real ComfyUI."""

from __future__ import annotations

from typing import Any

import pytest

from .server import Graph, Host, entry
from .test_edit_perception import edit, second
from .test_face_perception import perceive, photo, repeated
from .test_perception_info import AXES, EMOTIONS, inform, values


def two_faces(photos: dict[str, str]) -> Graph:
    """The faces of the astronaut and, as `other`, of Grace Hopper."""
    return perceive(photo(photos["astronaut"])) | second(photos["grace_hopper"])


def compose(graph: Graph, node: str, **inputs: Any) -> Graph:
    """The pack's node of that name behind the graph, as `composed`."""
    return graph | {"composed": entry(f"PerceptionClip_{node}", **inputs)}


def join(graph: Graph) -> Graph:
    joined = compose(graph, "JoinPerceptions", first=["perception", 0], second=["other", 0])
    return joined | {"joined": joined.pop("composed")}


def schedule(graph: Graph, source: str, **widgets: Any) -> Graph:
    inputs = {"perception": [source, 0], "frames": 16, "easing": "linear"} | widgets
    return compose(graph, "PerceptionSchedule", **inputs)


def add(graph: Graph, **inputs: Any) -> Graph:
    inputs = {"a": ["perception", 0], "b": ["other", 0], "c": ["perception", 0], "strength": 1.0} | inputs
    return compose(graph, "PerceptionArithmetic", **inputs)


def told(graph: Graph, node: str = "composed", face: int = 0) -> Graph:
    return inform(graph, perception=[node, 0], face=face)


def test_two_photos_are_joined_and_spread(host: Host, photos: dict[str, str]) -> None:
    graph = join(two_faces(photos))
    first, last = (values(host, told(two_faces(photos), node)) for node in ("perception", "other"))
    second_joined = values(host, told(graph, "joined", face=1))
    assert second_joined == last | {"frame": 1, "track": 1, "face_count": 2}

    spread = schedule(graph, "joined", frames=5)
    result = host.run(told(spread))
    assert result.text("joined") == "1 face in 1 picture, then 1 face in 1 picture"
    assert result.text("composed") == "2 key faces over 5 frames: linear"
    frames = [values(host, told(spread, face=frame)) for frame in range(5)]
    assert frames[0] == first | {"face_count": 5}
    assert frames[4] == last | {"face_count": 5, "frame": 4}
    for share, frame in zip((0.25, 0.5, 0.75), frames[1:4], strict=True):
        for emotion in EMOTIONS:
            assert frame[emotion] == pytest.approx((1 - share) * first[emotion] + share * last[emotion], abs=1e-5)
    held = schedule(graph, "joined", frames=5, easing="hold")
    assert [values(host, told(held, face=frame))["happy"] for frame in (2, 3)] == [first["happy"], last["happy"]]


def test_a_smile_is_carried_from_one_photo_to_another(host: Host, photos: dict[str, str]) -> None:
    """b is the astronaut, c the same face made less happy by Edit Perception, a is Grace Hopper."""
    sober = edit(two_faces(photos), happy=-1)
    before = values(host, told(sober, "other"))
    inputs = {"a": ["other", 0], "b": ["perception", 0], "c": ["edit", 0]}
    assert values(host, told(add(sober, **inputs, strength=0))) == before
    felt = [values(host, told(add(sober, **inputs, strength=strength))) for strength in (0.5, 1.0, 2.0)]
    happy = [before["happy"], *(one["happy"] for one in felt)]
    assert happy == sorted(happy) and happy[-1] > happy[0] + 0.5
    assert [felt[1][axis] for axis in AXES] == pytest.approx([before[axis] for axis in AXES], abs=0.2)
    text = host.run(told(add(sober, **inputs))).text("composed")
    assert text.startswith("1 face; the first was neutral (") and " and is now happy (" in text


def test_no_face_passes_with_a_word(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["astronaut"])) | second(photos["no_face"])
    before = values(host, told(graph, "perception"))
    assert host.run(told(add(graph))).text("composed") == "no face in b, so nothing was added"
    assert values(host, told(add(graph))) == before
    nobody = add(graph, a=["other", 0], b=["perception", 0])
    assert host.run(told(nobody)).text("composed") == "no face in a, so nothing was added"
    assert host.run(told(schedule(graph, "other"))).text("composed") == "no face: 16 frames left empty"
    assert values(host, told(schedule(graph, "other")))["face_count"] == 0
    joined = host.run(told(join(graph), "joined"))
    assert joined.text("joined") == "1 face in 1 picture, then 0 faces in 1 picture"
    crowded = schedule(perceive(repeated(photos["astronaut"], 3)), "perception", frames=2)
    text = host.run(told(crowded)).text("composed")
    assert text.endswith("\nmore key faces than frames: some are skipped")
