"""What newer versions of ComfyUI offer: notes that outlast a run, blueprints, their own nodes for faces, boxes, poses.

These run in `COMFYUI_NEW_PATH` if there is one. They are also a short test of the pack there: that it is listed, that a
template runs. What the ComfyUI at hand does not offer is skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.landmarks.comfyui_export import face_landmarks
from perception_clip.perception.pipeline import PerceptionPipeline

from . import conftest as hosts
from .core_landmarker import write_model
from .server import FROM_LINK, PACK, ROOT, Graph, Host, entry
from .test_edit_perception import edit
from .test_face_control_picture import drawn
from .test_face_perception import perceive, photo
from .test_face_regions import regions
from .test_registration import NODES
from .test_workflows import loaded, prompt_of
from .websocket import listen, text_on_node

BLUEPRINTS = {path.stem: path for path in (ROOT / "subgraphs").glob("*.json")}
BEGINNING = "-10"  # the id of a subgraph's inputs
START_SECONDS = 5.0  # of importing the pack, on a busy machine
PHOTO, MODEL = "astronaut.png", "face_landmarker.safetensors"


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Iterator[Host]:
    """The newer ComfyUI, with a photo."""
    server = hosts.find_newer_host(tmp_path_factory.mktemp("newer"))
    server.has_weights = hosts.link_weights(server)
    server.put_picture(PHOTO, astronaut)
    (server.base / "models" / "detection").mkdir()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def nodes(newer: Host) -> dict[str, Any]:
    return newer.get("/object_info")  # type: ignore[no-any-return]


def need(newer: Host, nodes: dict[str, Any], *names: str) -> None:
    """Skip a test if ComfyUI lacks one of its own nodes."""
    if missing := [name for name in names if name not in nodes]:
        pytest.skip(f"the ComfyUI in {newer.checkout} has no node {', '.join(missing)}")


def test_the_pack_is_listed_without_a_complaint(newer: Host, nodes: dict[str, Any]) -> None:
    assert sorted(name for name in nodes if name.startswith("PerceptionClip_")) == NODES
    log = newer.tail(100_000)
    [seconds] = re.findall(rf"([\d.]+) seconds: \S+/{PACK}\n", log)
    assert float(seconds) < START_SECONDS
    assert [line for line in log.splitlines() if "warn" in line.lower() and PACK in line] == []


def test_a_template_runs_to_a_picture(newer: Host, nodes: dict[str, Any]) -> None:
    if not newer.has_weights:
        pytest.skip(f"no {hosts.RANDOM_WEIGHTS} in {newer.checkout}, so nothing can be sampled")
    graph = prompt_of(loaded(ROOT / "workflows" / "emotion_prompts.json"), nodes)
    changes = {"image": PHOTO, "ckpt_name": hosts.RANDOM_WEIGHTS, "steps": 2, "width": 64, "height": 64}
    for node in graph.values():
        widgets = {name for name, value in node["inputs"].items() if not isinstance(value, list)}
        node["inputs"] |= {name: value for name, value in changes.items() if name in widgets}
    [end] = [number for number, node in graph.items() if node["class_type"] == "SaveImage"]
    assert newer.run(graph).picture(end).shape == (64, 64, 3)


def test_a_run_from_the_cache_shows_its_notes_again(newer: Host, nodes: dict[str, Any]) -> None:
    """To a page that was loaded since: of nodes that are no outputs, too."""
    if not nodes["PerceptionClip_FacePerception"].get("has_intermediate_output"):
        pytest.skip(f"the ComfyUI in {newer.checkout} sends messages of nodes only when they run")
    graph = edit(perceive(photo(PHOTO)), surprise=1.5)
    heard = []
    for page in ("before the reload", "after it"):
        with listen(newer.port, page.replace(" ", "-")) as payloads:
            prompt = newer.queue(graph, client=page.replace(" ", "-"))
            result = newer.wait(prompt)
            heard.append(dict(told for payload in payloads if (told := text_on_node(payload))))
    [cached] = [data["nodes"] for event, data in result.entry["status"]["messages"] if event == "execution_cached"]
    assert {"perception", "edit"} < set(cached)
    assert heard[0] == heard[1] and heard[1].keys() == {"perception", "edit", "info"}


@pytest.fixture(scope="module")
def blueprints(newer: Host) -> dict[str, str]:
    """The pack's blueprints as ComfyUI offers them: their ids by name."""
    try:
        offered = newer.get("/global_subgraphs")
    except OSError:
        pytest.skip(f"the ComfyUI in {newer.checkout} knows no blueprints")
    ours = {id: one for id, one in offered.items() if one["info"]["node_pack"].endswith(PACK)}
    return {one["name"]: id for id, one in ours.items()}


def test_blueprints_are_offered(newer: Host, blueprints: dict[str, str]) -> None:
    assert blueprints.keys() == BLUEPRINTS.keys()
    for name, id in blueprints.items():
        data = newer.get(f"/global_subgraphs/{id}")["data"]
        assert json.loads(data) == json.loads(BLUEPRINTS[name].read_text(encoding="utf-8"))


def inside(name: str, nodes: dict[str, Any], **given: Any) -> Graph:
    """The nodes of a blueprint with what its inputs are given; those not given are left out."""
    [subgraph] = loaded(BLUEPRINTS[name])["definitions"]["subgraphs"]
    links = [[link["id"], link["origin_id"], link["origin_slot"]] for link in subgraph["links"]]
    graph = prompt_of({"links": links, "nodes": subgraph["nodes"]}, nodes)
    for node in graph.values():
        for name, value in list(node["inputs"].items()):
            if isinstance(value, list) and value[0] == BEGINNING:
                outer = subgraph["inputs"][value[1]]["name"]
                node["inputs"].pop(name)
                node["inputs"] |= {name: given[outer]} if outer in given else {}
    return graph


def test_the_nodes_of_blueprints_run(newer: Host, nodes: dict[str, Any], blueprints: dict[str, str]) -> None:
    graph = photo(PHOTO) | inside("Measure an Expression", nodes, target=["picture", 0], result=["picture", 0])
    [compare] = [number for number, node in graph.items() if node["class_type"].endswith("CompareExpressions")]
    match = newer.run(graph | {"match": entry("PreviewAny", source=[compare, 0])}).text("match")
    assert float(match) == pytest.approx(1, abs=1e-3)
    small = entry("Probe_SmallClip", family="sd15", seed=0)
    prompt = {"clip": ["clip", 0], "image": ["picture", 0], "text": "a person", "checkpoint": FROM_LINK, "strength": 1}
    graph = photo(PHOTO) | {"clip": small} | inside("Prompt with a Face", nodes, **prompt)
    [encode] = [number for number, node in graph.items() if node["class_type"].endswith("TextEncode")]
    saving = entry("Probe_SaveConditioning", conditioning=[encode, 0], name="prompt")
    assert "No projection checkpoint is chosen" in newer.run(graph | {"saved": saving}).message


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(("part", "theirs", "alike"), [("face oval", "face_oval", 0.97), ("mouth", "lips", 0.85)])
def test_comfyui_masks_and_draws_our_landmarks(
    newer: Host, nodes: dict[str, Any], part: str, theirs: str, alike: float
) -> None:
    need(newer, nodes, "MediaPipeFaceMask", "MediaPipeFaceMeshVisualize")
    chosen = {f"regions.{name}": name == theirs for name in ("face_oval", "lips", "left_eye", "right_eye", "irises")}
    mesh = {"connections": "all", "color": "#00ff00", "thickness": 1, "point_size": 0, "image": ["picture", 0]}
    graph = regions(perceive(photo(PHOTO)), part=part) | {
        "landmarks": entry("PerceptionClip_ToFaceLandmarks", perception=["perception", 0]),
        "mask": entry("MediaPipeFaceMask", face_landmarks=["landmarks", 0], regions="custom", **chosen),
        "mask picture": entry("MaskToImage", mask=["mask", 0]),
        "theirs": entry("PreviewImage", images=["mask picture", 0]),
        "mesh": entry("MediaPipeFaceMeshVisualize", face_landmarks=["landmarks", 0], **mesh),
        "lines": entry("PreviewImage", images=["mesh", 0]),
    }
    result = newer.run(graph)
    ours, mask = (result.picture(name)[..., 0] > 127 for name in ("shown", "theirs"))
    assert overlap(ours, mask) > alike
    green = (result.picture("lines") == (0, 255, 0)).all(axis=2)
    assert (green & mask).sum() > 50 and green.sum() > 500


@pytest.fixture(scope="module")
def found(newer: Host, nodes: dict[str, Any], astronaut: np.ndarray) -> Graph:
    """A photo and what ComfyUI's own landmarker finds in it, as `theirs`."""
    need(newer, nodes, "LoadMediaPipeFaceLandmarker", "MediaPipeFaceLandmarker")
    faces = PerceptionPipeline()([astronaut])
    data = face_landmarks(faces, ActionModel.load().actions(faces.landmarks, faces.image_sizes), astronaut.shape[:2])
    write_model(newer.base / "models" / "detection" / MODEL, torch.tensor(data["frames"][0][0]["landmarks_3d"]))
    detector = {"face_detection_model": ["detector", 0], "image": ["picture", 0], "detector_variant": "short"}
    detector |= {"num_faces": 1, "min_confidence": 0.5, "missing_frame_fallback": "empty"}
    return photo(PHOTO) | {
        "detector": entry("LoadMediaPipeFaceLandmarker", model_name=MODEL),
        "theirs": entry("MediaPipeFaceLandmarker", **detector),
    }


def test_faces_that_comfyui_finds_are_perceived(newer: Host, found: Graph) -> None:
    graph = perceive(found, face_landmarks=["theirs", 0]) | {
        "own": entry("PerceptionClip_FacePerception", image=["picture", 0]),
        "back": entry("PerceptionClip_ToFaceLandmarks", perception=["perception", 0]),
        "again": entry("PerceptionClip_ToFaceLandmarks", perception=["own", 0]),
        "actions": entry("PerceptionClip_FaceActions", perception=["perception", 0], face_landmarks=["theirs", 0]),
        **{f"{name} shown": entry("Probe_Landmarks", landmarks=[name, 0]) for name in ("theirs", "back", "again")},
        "json": entry("PreviewAny", source=["actions", 7]),
    }
    graph["actions"]["inputs"] |= {"action": "mouthSmile", "frame": 0, "track": 0, "smoothing": 0.0}
    result = newer.run(graph)
    assert result.text("perception").startswith("1 face in 1 picture; the first looks happy")
    theirs, back, again = (json.loads(result.text(f"{name} shown")) for name in ("theirs", "back", "again"))
    assert result.text("actions").endswith("ComfyUI's actions: 1 of 1 face")
    [face] = json.loads(result.text("json"))
    for name, value in theirs["blendshapes"].items():
        assert face["actions"][name] == pytest.approx(value, abs=1e-3)
        assert back["blendshapes"][name] == pytest.approx(value, abs=0.15)  # read in the picture, not in the crop
    assert np.abs(np.subtract(back["landmarks_xy"], theirs["landmarks_xy"])).max() < 0.01
    matrices = np.array([back["transformation_matrix"], theirs["transformation_matrix"]])
    assert np.abs(np.diff(matrices[:, :3, :3], axis=0)).max() < 0.01  # depths are relative to all landmarks, or to 33
    assert np.ptp(np.linalg.norm(matrices[:, :3, 3], axis=1)) < 1
    assert np.abs(np.subtract(again["bbox_xyxy"], theirs["bbox_xyxy"])).max() < 25


def test_comfyui_draws_and_crops_our_boxes(newer: Host, nodes: dict[str, Any], astronaut: np.ndarray) -> None:
    need(newer, nodes, "DrawBBoxes", "CropByBBoxes")
    crop = {"image": ["picture", 0], "output_width": 128, "output_height": 128, "padding": 0, "keep_aspect": "stretch"}
    graph = regions(perceive(photo(PHOTO)), image=["picture", 0]) | {
        "framed": entry("DrawBBoxes", image=["picture", 0], bboxes=["regions", 1]),
        "frame": entry("PreviewImage", images=["framed", 0]),
        "cropped": entry("CropByBBoxes", bboxes=["regions", 1], **crop),
        "crop": entry("PreviewImage", images=["cropped", 0]),
    }
    result = newer.run(graph)
    [[box]] = json.loads(result.text("boxes"))
    left, top, right, bottom = box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
    rows, columns = np.nonzero((result.picture("frame") == (255, 0, 0)).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (top, bottom, left, right)
    part = torch.tensor(astronaut[top:bottom, left:right]).permute(2, 0, 1).float()
    small = torch.nn.functional.adaptive_avg_pool2d(part, 128).permute(1, 2, 0).numpy()
    assert np.abs(result.picture("crop") - small).max() < 1.5


def test_comfyui_draws_our_key_points(newer: Host, nodes: dict[str, Any]) -> None:
    need(newer, nodes, "SDPoseDrawKeypoints", "SDPoseFaceBBoxes")
    switches = {f"draw_{part}": True for part in ("body", "hands", "face", "feet", "head")}
    look = {"stick_width": 4, "face_point_size": 3, "score_threshold": 0.3}
    graph = drawn(perceive(photo(PHOTO)), kind="openpose_face") | {
        "dots": entry("SDPoseDrawKeypoints", keypoints=["control", 1], **switches, **look),
        "theirs": entry("PreviewImage", images=["dots", 0]),
        "their boxes": entry("SDPoseFaceBBoxes", keypoints=["control", 1], scale=1.5, force_square=True),
        "boxes": entry("Probe_Boxes", boxes=["their boxes", 0]),
    }
    result = newer.run(graph)
    ours, theirs = (result.picture(name).any(axis=2) for name in ("shown", "theirs"))
    assert ours.sum() > 500 and (ours & theirs).sum() > 0.9 * min(ours.sum(), theirs.sum())
    [[box]] = json.loads(result.text("boxes"))
    rows, columns = np.nonzero(ours)
    assert box["x"] < columns.min() and columns.max() < box["x"] + box["width"] and box["height"] > np.ptp(rows)
