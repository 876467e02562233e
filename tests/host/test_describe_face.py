"""Describe Face in a real ComfyUI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .server import Graph, Host, entry
from .test_emotion_prompts import three_photos
from .test_face_perception import perceive, photo

NODE = "PerceptionClip_DescribeFace"
SMILING = "a person smiling broadly, looking into the camera"
NEUTRAL = "a person with a neutral expression, looking into the camera"
WIDGETS = {"subject": "a person", "style": "sentence", "most": 4, "frame": 0, "track": 0}


def describe(graph: Graph, **widgets: Any) -> Graph:
    """Describe Face behind the graph's Face Perception, and both outputs shown by ComfyUI's own preview node."""
    shown = {name: entry("PreviewAny", source=["words", index]) for index, name in enumerate(("text", "texts"))}
    return graph | {"words": entry(NODE, **{"perception": ["perception", 0]} | WIDGETS | widgets)} | shown


def batch(photos: dict[str, str]) -> Graph:
    """astronaut, no_face and grace_hopper, perceived as one batch; a new face has a new track."""
    return three_photos(perceive(photo(photos["astronaut"])), photos)


def test_a_smile_in_words(host: Host, photos: dict[str, str]) -> None:
    graph = describe(perceive(photo(photos["astronaut"])))
    result = host.run(graph)
    assert result.text("text") == result.text("texts") == result.text("words") == SMILING
    assert host.run(describe(graph, subject="Eileen", style="phrases")).text("text") == (
        "smiling broadly, looking into the camera"
    )
    assert host.run(describe(graph, subject="Eileen", most=1)).text("text") == "Eileen smiling broadly"


def test_every_picture_has_its_words(host: Host, photos: dict[str, str]) -> None:
    graph = batch(photos)
    assert host.run(describe(graph, track=-1)).output("texts")["text"] == [SMILING, SMILING, NEUTRAL]
    alone = host.run(describe(graph, track=-1, missing="subject", frame=1))
    assert alone.output("texts")["text"] == [SMILING, "a person", NEUTRAL]
    assert alone.text("text") == "a person" and alone.text("words") == "a person\nthere is no face in picture 1"
    phrases = host.run(describe(graph, track=-1, missing="subject", style="phrases", frame=1))
    assert phrases.text("text") == ""
    held = host.run(describe(graph, track=0, frame=1))
    assert held.text("words").startswith(f"{SMILING}\nthere is no face with track 0 in picture 1")
    assert "set missing to hold or subject" in host.run(describe(graph, frame=1, missing="error")).message


def test_without_any_face_only_the_subject_is_left(host: Host, photos: dict[str, str]) -> None:
    for track in (0, -1):
        result = host.run(describe(perceive(photo(photos["no_face"])), track=track))
        assert result.text("text") == result.text("texts") == "a person"
    assert "there is no picture 5" in host.run(describe(perceive(photo(photos["astronaut"])), frame=5)).text("words")


def test_words_come_from_a_file_that_may_change(host: Host, photos: dict[str, str]) -> None:
    graph = describe(perceive(photo(photos["astronaut"])))
    host.models.mkdir(parents=True, exist_ok=True)
    path = host.models / "vocabulary.json"
    path.write_text(json.dumps({"groups": {"doing": {"phrases": {"smile": ["a", "b", "beaming"]}}}}))
    assert host.run(graph).text("text") == "a person beaming, looking into the camera"
    path.write_text("{")
    assert f"{path}: line 1 is not valid JSON" in host.run(graph).message
    path.unlink()
    assert host.run(graph).text("text") == SMILING
    (host.models / "vocabulary_zh.json").write_text(json.dumps({"groups": {"gaze": {"form": "看{}"}}}))
    assert host.run(describe(graph, vocabulary="vocabulary_zh.json")).text("text").endswith("看into the camera")
    (host.models / "vocabulary_zh.json").unlink()
    for name in ("vocabulary_zh.json", "../../secrets.json"):
        message = host.run(describe(graph, vocabulary=name)).message
        assert f"there is no vocabulary {name!r} in {host.models}" in message


@pytest.mark.parametrize(
    ("widgets", "word"),
    [({"style": "poem"}, "style"), ({"missing": "?"}, "missing"), ({"most": 0}, "most"), ({"track": -2}, "track")],
)
def test_wrong_inputs_are_refused_by_name(
    host: Host, photos: dict[str, str], widgets: dict[str, Any], word: str
) -> None:
    assert word in host.refusal(describe(perceive(photo(photos["no_face"])), **widgets))
