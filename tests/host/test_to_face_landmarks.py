"""Perception to Face Landmarks in a real ComfyUI: from faces to ComfyUI's format and back."""

from __future__ import annotations

from typing import Any

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo
from .test_perception_info import EMOTIONS, inform, values


def there_and_back(picture: str, **inputs: Any) -> Graph:
    """Faces as ComfyUI's face landmarks, and perceived from those again as `again`."""
    graph = perceive(photo(picture))
    landmarks = entry("PerceptionClip_ToFaceLandmarks", perception=["perception", 0], **inputs)
    again = entry("PerceptionClip_FacePerception", image=["picture", 0], face_landmarks=["landmarks", 0])
    return graph | {"landmarks": landmarks, "again": again}


def test_a_face_comes_back_as_it_was(host: Host, photos: dict[str, str]) -> None:
    graph = there_and_back(photos["astronaut"])
    first, again = inform(graph), inform(graph)
    again["info"]["inputs"]["perception"] = ["again", 0]
    one, other = values(host, first), values(host, again)
    assert all(abs(one[name] - other[name]) < 2e-3 for name in EMOTIONS)
    result = host.run(graph)
    assert result.text("again") == result.text("perception")
    assert result.text("landmarks") == "1 face in 1 picture"


def test_without_a_face_the_size_comes_from_the_picture(host: Host, photos: dict[str, str]) -> None:
    lines = host.run(there_and_back(photos["no_face"])).message
    assert "picture 0 is 96×96, but the face landmarks are for pictures of 512×512" in lines
    result = host.run(there_and_back(photos["no_face"], image=["picture", 0]))
    assert result.text("landmarks") == "0 faces in 1 picture"
    assert result.text("again").startswith("0 faces in 1 picture")
    wrong = there_and_back(photos["astronaut"], image=["other", 0]) | {"other": entry("LoadImage", image="no_face.png")}
    assert "of one size, here 96×96, but a face is from a picture of 512×512" in host.run(wrong).message
