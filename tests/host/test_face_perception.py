"""Face Perception in a real ComfyUI."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .server import Graph, Host, entry


def perceive(source: Graph, image: str = "picture", **widgets: Any) -> Graph:
    node = {"max_faces": 10, "min_confidence": 0.5, "missing": "skip", "image": [image, 0]} | widgets
    return source | {"perception": entry("PerceptionClip_FacePerception", **node)}


def photo(name: str) -> Graph:
    return {"picture": entry("LoadImage", image=name)}


def pictures(**inputs: Any) -> Graph:
    inputs = {"count": 1, "size": 64, "channels": 3, "value": "0.5"} | inputs
    return {"picture": entry("Probe_Pictures", **inputs)}


def repeated(name: str, count: int) -> Graph:
    small = {"image": ["photo", 0], "upscale_method": "area", "width": 128, "height": 128, "crop": "disabled"}
    return {
        "photo": entry("LoadImage", image=name),
        "small": entry("ImageScale", **small),
        "picture": entry("RepeatImageBatch", image=["small", 0], amount=count),
    }


def test_a_face_is_found_and_shown(host: Host, photos: dict[str, str], astronaut: np.ndarray) -> None:
    result = host.run(perceive(photo(photos["astronaut"])))
    assert result.text("perception").startswith("1 face in 1 picture")
    shown = result.picture("perception")
    assert shown.shape == astronaut.shape
    changed = (shown != astronaut).any(axis=2).mean()
    assert 0.005 < changed < 0.5


def test_comfyui_manages_the_networks(host: Host, photos: dict[str, str]) -> None:
    probe: Graph = {"held": entry("Probe_LoadedModels", after=["perception", 0])}
    host.post("/free", {"unload_models": True})  # what other tests have used
    alone: Graph = {"held": entry("Probe_LoadedModels")}
    host.run(alone)  # ComfyUI frees memory between two runs
    for confidence in (0.31, 0.32, 0.33):  # one set of networks, whatever is asked of it
        result = host.run(perceive(photo(photos["astronaut"]), min_confidence=confidence) | probe)
        assert json.loads(result.text("held")).count("FaceLandmarkNetworks") == 1
    host.post("/free", {"unload_models": True})
    host.run(alone)
    assert "FaceLandmarkNetworks" not in json.loads(host.run(alone).text("held"))
    result = host.run(perceive(photo(photos["astronaut"]), min_confidence=0.34) | probe)
    assert result.text("perception").startswith("1 face in 1 picture")
    assert json.loads(result.text("held")).count("FaceLandmarkNetworks") == 1


def test_preview_of_a_batch_is_limited(host: Host, photos: dict[str, str]) -> None:
    result = host.run(perceive(repeated(photos["astronaut"], 20)))
    assert result.text("perception").startswith("20 faces in 20 pictures")
    assert len(result.output("perception")["images"]) == 16


def test_pictures_without_a_face(host: Host, photos: dict[str, str]) -> None:
    for name, size in (("no_face", 96), ("one_pixel", 1)):
        result = host.run(perceive(photo(photos[name])))
        assert result.text("perception") == "0 faces in 1 picture"
        assert result.picture("perception").shape == (size, size, 3)
    for channels in (1, 4):  # gray, transparent
        assert host.run(perceive(pictures(channels=channels))).text("perception") == "0 faces in 1 picture"
    assert host.run(perceive(pictures(count=0))).text("perception") == "0 faces in 0 pictures"
    result = host.run(perceive(photo(photos["no_face"]), missing="previous"))
    assert result.text("perception") == "0 faces in 1 picture\nthere is no face to fill in from"
    message = host.run(perceive(photo(photos["no_face"]), missing="error")).message
    assert "no face in 1 of 1 picture (counted from 0: 0)" in message and "set missing to another option" in message


def models_read(host: Host) -> list[str]:
    """The log's lines of models read from their files, without those of models put onto the device again."""
    return [line for line in host.loads() if "Perception CLIP: loaded" in line]


def test_models_are_loaded_once(host: Host, photos: dict[str, str]) -> None:
    host.run(perceive(photo(photos["astronaut"]), min_confidence=0.55))
    before = models_read(host)
    host.free()  # so the nodes run again
    host.run(perceive(photo(photos["grace_hopper"]), min_confidence=0.55))
    assert before and models_read(host) == before


def side_by_side(host: Host, astronaut: np.ndarray, grace_hopper: np.ndarray) -> str:
    """Her face, 92 pixels wide, on the left; his, 187 pixels wide, on the right and lower."""
    picture = np.full((400, 640, 3), 127, dtype=np.uint8)
    picture[:300, :300] = astronaut[:300, 72:372]
    picture[100:, 300:600] = grace_hopper[100:400, 100:400]
    return host.put_picture("pair.png", picture)


@pytest.mark.parametrize("detector", ["fast", "standard", "thorough"])
def test_every_detector_finds_the_face(host: Host, photos: dict[str, str], detector: str) -> None:
    result = host.run(perceive(photo(photos["astronaut"]), detector=detector))
    assert result.text("perception").startswith("1 face in 1 picture; the first looks happy")


def test_order_limit_and_index_choose_the_face(host: Host, astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    """He is the largest."""
    source = photo(side_by_side(host, astronaut, grace_hopper))
    for widgets, is_his in (
        ({"max_faces": 1}, True),
        ({"max_faces": 1, "order": "left to right"}, False),
        ({"face_index": 0, "order": "left to right"}, False),
        ({"face_index": 1, "order": "left to right"}, True),
    ):
        graph = perceive(source, **widgets) | {
            "info": entry("PerceptionClip_PerceptionInfo", perception=["perception", 0], face=0, missing="error"),
            "x": entry("PreviewAny", source=["info", 11]),
        }
        result = host.run(graph)
        assert result.text("perception").startswith("1 face in 1 picture")
        assert (int(result.text("x")) >= 300) == is_his, widgets


def with_gap(names: dict[str, str]) -> Graph:
    """Her photo, a picture without a face, and her photo again, as a batch of three."""
    return {
        "face": entry("LoadImage", image=names["astronaut"]),
        "wall": pictures(size=512)["picture"],
        "two": entry("ImageBatch", image1=["face", 0], image2=["wall", 0]),
        "picture": entry("ImageBatch", image1=["two", 0], image2=["face", 0]),
    }


@pytest.mark.parametrize(("missing", "faces"), [("skip", 2), ("interpolate", 3), ("error", None)])
def test_missing_faces_are_treated_as_chosen(
    host: Host, photos: dict[str, str], missing: str, faces: int | None
) -> None:
    graph = perceive(with_gap(photos), missing=missing) | {"count": entry("PreviewAny", source=["perception", 1])}
    result = host.run(graph)
    if faces is None:
        assert "no face in 1 of 3 pictures (counted from 0: 1)" in result.message
    else:
        assert result.text("count") == str(faces)
        assert "no face in 1 picture (counted from 0): 1" in result.text("perception")
        assert (f"filled in: {missing}" in result.text("perception")) == (missing != "skip")


@pytest.mark.parametrize("emotion_model", ["bundled (picture)", "bundled (landmarks)"])
def test_a_neutral_face_is_a_reference(host: Host, photos: dict[str, str], emotion_model: str) -> None:
    graph = perceive(photo(photos["grace_hopper"]), emotion_model=emotion_model)
    graph["relative"] = copy_of(graph["perception"], neutral=["perception", 0])
    result = host.run(graph)
    plain, relative = (re.search(r"looks neutral \((\d+)%\)", result.text(node)) for node in ("perception", "relative"))
    assert plain and relative and int(relative[1]) > int(plain[1])
    graph["wall"] = pictures()["picture"]
    graph["nobody"] = copy_of(graph["perception"], image=["wall", 0])
    graph["relative"] = copy_of(graph["perception"], neutral=["nobody", 0])
    assert "neutral contains no face" in host.run(graph).message


def test_a_neutral_face_is_read_as_the_face_is(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["grace_hopper"]), emotion_model="bundled (picture)", neutral=["other", 0])
    graph["other"] = perceive(photo(photos["grace_hopper"]), emotion_model="bundled (landmarks)")["perception"]
    message = host.run(graph).message
    assert "the emotions of neutral come from expression-model-bundled/" in message
    assert "set emotion_model to bundled (picture)" in message


def copy_of(node: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {**node, "inputs": {**node["inputs"], **inputs}}


def test_comfyuis_own_face_landmarks_are_taken(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["astronaut"]))
    graph["theirs"] = entry("Probe_FaceLandmarks", perception=["perception", 0], points=478)
    graph["again"] = copy_of(graph["perception"], face_landmarks=["theirs", 0])
    result = host.run(graph)
    assert result.text("again") == result.text("perception")  # the same landmarks: the same emotion and probability
    graph["theirs"]["inputs"]["points"] = 468
    assert "478" in host.run(graph).message
    graph["theirs"]["inputs"]["points"] = 478
    graph["again"]["inputs"]["image"] = ["wall", 0]
    graph["wall"] = pictures(count=2, size=512)["picture"]
    assert "face_landmarks are for 1 picture, but image has 2" in host.run(graph).message


def test_mediapipe_needs_its_file_and_its_package(host: Host, photos: dict[str, str], shared_data: Path) -> None:
    task = host.base / "models" / "mediapipe" / "face_landmarker.task"
    task.parent.mkdir(exist_ok=True)
    graph = perceive(photo(photos["grace_hopper"]), landmarker="mediapipe")
    message = host.run(graph).message
    assert task.name in message and "https://" in message and str(task.parent) in message
    task.write_bytes(b"not a task")
    assert "not a Face Landmarker bundle" in host.run(graph).message
    task.unlink()
    newer = host.base / "models" / "detection" / task.name  # where newer versions of ComfyUI keep theirs
    newer.parent.mkdir(exist_ok=True)
    newer.write_bytes(b"not a task either")
    assert f"{newer} is not a Face Landmarker bundle" in host.run(graph).message
    newer.unlink()
    shutil.copy(shared_data / task.name, task)
    result = host.run(graph)
    task.unlink()
    if host.has_package("mediapipe"):
        assert result.text("perception").startswith("1 face in 1 picture")
    else:
        assert 'pip install "mediapipe' in result.message


def test_emotion_models(host: Host, photos: dict[str, str], emotion_classifier: str) -> None:
    options = host.get("/object_info/PerceptionClip_FacePerception")["PerceptionClip_FacePerception"]
    listed = options["input"]["optional"]["emotion_model"][1]["options"]
    assert listed[:2] == ["bundled (picture)", "bundled (landmarks)"]
    assert emotion_classifier in listed and "trpakov/vit-face-expression" in listed
    result = host.run(perceive(photo(photos["astronaut"]), emotion_model=emotion_classifier))
    assert result.text("perception").startswith("1 face in 1 picture; the first looks disgust")
    message = host.run(perceive(photo(photos["astronaut"]), emotion_model="nobody/has-this")).message
    assert "nobody/has-this" in message
    for elsewhere in ("/etc", "../models", str(host.base / "models" / "emotion" / emotion_classifier)):
        message = host.run(perceive(photo(photos["astronaut"]), emotion_model=elsewhere)).message
        assert "is neither a folder in" in message
    refused = perceive(photo(photos["astronaut"]), emotion_model=emotion_classifier, neutral=["other", 0])
    refused["other"] = perceive(photo(photos["astronaut"]))["perception"]
    assert "neutral works only with the bundled emotion models" in host.run(refused).message
