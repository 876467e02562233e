"""The shipped workflows in a real ComfyUI: each becomes a valid prompt, and those that can run become pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .server import PACK, ROOT, Graph, Host, Result
from .test_face_perception_video import put_video
from .test_face_regions import side_by_side

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
FRONT_END_NODES = {"MarkdownNote"}
PREFIX = "PerceptionClip_"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "WEBCAM"}
RANGES = {"INT": int, "FLOAT": (int, float)}
# Inputs that name files of the user's.
OWN_FILES = {"checkpoint", "ckpt_name", "clip_name", "dataset", "file", "image", "unet_name", "vae_name"}
AFTER_GENERATE = ("fixed", "increment", "decrement", "randomize")

Schemas = dict[str, dict[str, Any]]
Small = Callable[..., Graph]
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def schemas(host: Host) -> Schemas:
    return host.get("/object_info")  # type: ignore[no-any-return]


def inputs_of(schema: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each input's type and options, in the node's order; old drop-downs are COMBO with options, too."""
    found = {}
    for kind in ("required", "optional"):
        for name in schema["input_order"].get(kind, []):
            declared, *options = schema["input"][kind][name]
            more = options[0] if options else {}
            found[name] = ("COMBO", more | {"options": declared}) if isinstance(declared, list) else (declared, more)
    return found


def has_widget(kind: str, options: dict[str, Any]) -> bool:
    return kind in WIDGETS and not options.get("forceInput")


def prompt_of(workflow: dict[str, Any], schemas: Schemas) -> Graph:
    """What the front end would queue: widget values by their place among the node's widgets, then the links.

    Some widgets are the front end's own, and their values are left out: what happens to a seed after a run, the button
    that uploads a file, the button that takes a webcam's picture. Widgets that newer versions of ComfyUI have added to
    nodes of their own have their defaults.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph: Graph = {}
    for node in workflow["nodes"]:
        if node["type"] in FRONT_END_NODES:
            continue
        values, inputs, buttons = list(node["widgets_values"]), {}, 0
        for name, (kind, options) in inputs_of(schemas[node["type"]]).items():
            if has_widget(kind, options):
                added = not values and not node["type"].startswith(PREFIX)
                inputs[name] = options["default"] if added else values.pop(0)
                if options.get("control_after_generate"):
                    assert values.pop(0) in AFTER_GENERATE
            buttons += bool(options.get("image_upload") or options.get("video_upload") or kind == "WEBCAM")
        assert len(values) == buttons, (node["type"], values)
        linked = {socket["name"]: sources[socket["link"]] for socket in node["inputs"] if socket["link"] is not None}
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs | linked}
    return graph


def faults(graph: Graph, schemas: Schemas) -> Iterator[str]:
    """What ComfyUI would refuse, and what it would let pass although it is wrong."""
    for number, node in graph.items():
        kind, schema = node["class_type"], schemas[node["class_type"]]
        known = inputs_of(schema)
        yield from (f"{kind} has no input {name}" for name in node["inputs"].keys() - known.keys())
        required = set(schema["input_order"].get("required", []))
        yield from (f"{kind} {number} lacks {name}" for name in required - node["inputs"].keys())
        for name, value in node["inputs"].items():
            if name in known and not fits(name, value, *known[name], graph=graph, schemas=schemas):
                yield f"{kind} cannot take {value!r} for {name}"


def fits(name: str, value: Any, kind: str, options: dict[str, Any], *, graph: Graph, schemas: Schemas) -> bool:
    if isinstance(value, list):
        source, slot = value
        return bool(schemas[graph[source]["class_type"]]["output"][slot] == kind)
    if kind == "COMBO":
        return isinstance(value, str) and (name in OWN_FILES or value in options["options"])
    if kind in RANGES:
        right = isinstance(value, RANGES[kind]) and not isinstance(value, bool)  # type: ignore[arg-type]
        return right and bool(options["min"] <= value <= options["max"])
    return isinstance(value, bool if kind == "BOOLEAN" else str)


def loaded(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@each_workflow
def test_it_is_offered_as_a_template_with_its_thumbnail(host: Host, path: Path) -> None:
    assert path.stem in host.get("/workflow_templates")[PACK]
    assert host.get(f"/api/workflow_templates/{PACK}/{path.name}") == loaded(path)
    thumbnail = host.read(f"/api/workflow_templates/{PACK}/{path.stem}.jpg")
    assert thumbnail == path.with_suffix(".jpg").read_bytes()


@each_workflow
def test_it_becomes_a_valid_prompt(path: Path, schemas: Schemas) -> None:
    graph = prompt_of(loaded(path), schemas)
    assert list(faults(graph, schemas)) == []
    for node in graph.values():
        if node["class_type"] == "PerceptionClip_EmotionPrompts":  # its texts are copies of the node's defaults
            texts = {
                name: options["default"]
                for name, (kind, options) in inputs_of(schemas[node["class_type"]]).items()
                if kind == "STRING"
            }
            assert texts.items() <= node["inputs"].items()


@each_workflow
def test_its_sockets_are_the_nodes(path: Path, schemas: Schemas) -> None:
    """Those that it lists; the front end adds those that are not linked."""
    for node in loaded(path)["nodes"]:
        if node["type"] in FRONT_END_NODES:
            continue
        schema = schemas[node["type"]]
        named = list(zip(schema["output_name"], schema["output"], strict=True))
        listed = [(socket["name"], socket["type"]) for socket in node["outputs"]]
        assert listed == (named if node["type"].startswith(PREFIX) else named[: len(listed)])
        known = {name: kind for name, (kind, options) in inputs_of(schema).items() if not has_widget(kind, options)}
        shown = {socket["name"]: socket["type"] for socket in node["inputs"] if "widget" not in socket}
        assert shown.items() <= known.items()
        assert [name for name in known if name in shown] == list(shown)


def test_faults_are_found(schemas: Schemas) -> None:
    graph = prompt_of(loaded(ROOT / "workflows" / "emotion_prompts.json"), schemas)
    [emotions] = [node for node in graph.values() if node["class_type"] == "PerceptionClip_EmotionPrompts"]
    emotions["inputs"] |= {"strength": 9.0, "faces": "all", "top_k": "7", "clip": emotions["inputs"]["perception"]}
    emotions["inputs"]["mode"] = emotions["inputs"].pop("temperature")
    found = "\n".join(faults(graph, schemas))
    assert all(name in found for name in ("strength", "faces", "top_k", "clip", "no input mode", "lacks temperature"))
    assert len(found.splitlines()) == 6


@pytest.fixture
def small(schemas: Schemas, weights: str, photos: dict[str, str]) -> Small:
    """A workflow as the front end queues it, on real photos, with random weights, 64 × 64 and few steps."""

    def make(name: str, steps: int = 1) -> Graph:
        graph = prompt_of(loaded(ROOT / "workflows" / f"{name}.json"), schemas)
        pictures = iter([photos["astronaut"], photos["grace_hopper"]])
        for node in graph.values():
            inputs = node["inputs"]
            if node["class_type"] in ("LoadImage", "WebcamCapture"):
                inputs["image"] = next(pictures)
            elif node["class_type"] == "PerceptionClip_StarterProjection":
                inputs |= {"name": "of a workflow", "samples": 300}
            for widget, value in (("ckpt_name", weights), ("steps", steps)):
                if widget in inputs:
                    inputs[widget] = value
            if node["class_type"] == "EmptyLatentImage":
                inputs |= {"width": 64, "height": 64}
            if node["class_type"] == "PerceptionClip_CropFaces":
                inputs["crop_size"] = 64
        return graph

    return make


def ran(host: Host, graph: Graph) -> tuple[Result, list[np.ndarray]]:
    """The run and its pictures."""
    result = host.run(graph)
    [end] = [number for number, node in graph.items() if node["class_type"] in ("SaveImage", "PreviewImage")]
    shown = range(len(result.output(end)["images"]))
    return result, [result.picture(end, index).astype(int) for index in shown]


def node_of(graph: Graph, kind: str) -> str:
    """The number of the only node of that kind."""
    [number] = [number for number, node in graph.items() if node["class_type"] == f"PerceptionClip_{kind}"]
    return number


STEERING = {"emotion_prompts": "EmotionPrompts", "webcam": "EmotionPrompts", "face_to_expression": "TextEncode"}


@pytest.mark.parametrize("name", STEERING)
def test_it_runs_to_a_picture_that_the_face_steers(host: Host, small: Small, name: str) -> None:
    graph = small(name, steps=2)  # the first step is over before faces start to act
    steering = node_of(graph, STEERING[name])
    result, [steered] = ran(host, graph)
    assert steered.shape == (64, 64, 3) and steered.std() > 0
    if name == "face_to_expression":
        assert "of a workflow.safetensors, trained with comfyui-clip:" in result.text(steering)
        assert "first of 1 face: shifts the subject “person” (1 token) by " in result.text(steering)
    graph[steering]["inputs"]["strength"] = 0.0
    _, [plain] = ran(host, graph)
    assert not np.array_equal(steered, plain)


@pytest.mark.parametrize("name", ["change_expression", "neutral_face", "expression_transfer"])
def test_only_the_face_of_a_picture_is_redrawn(host: Host, small: Small, name: str, astronaut: np.ndarray) -> None:
    graph = small(name, steps=2)
    steering = node_of(graph, "TextEncode")
    result, [changed] = ran(host, graph)
    assert result.text(node_of(graph, "PasteFaces")) == "1 face pasted into 1 picture"
    assert "shifts the subject “person” (1 token) by " in result.text(steering)
    assert changed.shape == astronaut.shape
    assert 0.02 < (changed != astronaut).any(axis=2).mean() < 0.06
    graph[steering]["inputs"]["strength"] = 0.0
    _, [plain] = ran(host, graph)
    assert not np.array_equal(changed, plain)


def test_a_picture_without_a_face_is_not_redrawn(host: Host, small: Small, photos: dict[str, str]) -> None:
    graph = small("change_expression")
    [picture] = [node["inputs"] for node in graph.values() if node["class_type"] == "LoadImage"]
    picture["image"] = photos["no_face"]
    result, [same] = ran(host, graph)
    assert result.text(node_of(graph, "PasteFaces")) == "no face: the pictures pass through unchanged"
    graph[node_of(graph, "PasteFaces")] = {"class_type": "LoadImage", "inputs": dict(picture)}
    assert np.array_equal(same, ran(host, graph)[1][0])


def test_the_switch_differs_from_either_expression(host: Host, small: Small) -> None:
    graph = small("expression_switch", steps=2)
    early, late = (graph[node_of(graph, kind)]["inputs"] for kind in ("TextEncode", "Projection"))
    pictures = []
    for switch in (0.4, 1.0, 0.0):
        early["end_percent"] = late["start_percent"] = switch
        result, shown = ran(host, graph)
        pictures += shown
        late_note = result.text(node_of(graph, "Projection"))  # late, the prompt is plain again
        assert "cannot be recognized" not in late_note or switch == 1.0
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])


def test_two_faces_become_a_row_from_one_to_the_other(host: Host, small: Small) -> None:
    """From the same noise: with no face in it, the row is one picture over and over."""
    graph = small("blend_two_faces")
    _, row = ran(host, graph)
    assert len(row) == 4
    steps = [np.abs(one - row[0]).mean() for one in row]
    assert 0 < steps[1] < steps[3]
    graph[node_of(graph, "EmotionPrompts")]["inputs"]["strength"] = 0.0
    _, same = ran(host, graph)
    assert max(np.abs(one - same[0]).max() for one in same) <= 1


def test_two_people_are_steered_in_place(
    host: Host, small: Small, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> None:
    graph = small("two_people", steps=2)
    for node in graph.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = host.put_picture("both.png", side_by_side(astronaut, grace_hopper))
        elif node["class_type"] == "ImageScaleToTotalPixels":
            node["inputs"]["megapixels"] = 0.01
    steering = node_of(graph, "TextEncode")
    result, [steered] = ran(host, graph)
    assert "2 faces in place (mean lengths): shifts the subject “people” (1 token) by " in result.text(steering)
    graph[steering]["inputs"]["strength"] = 0.0
    _, [plain] = ran(host, graph)
    assert steered.shape == plain.shape and not np.array_equal(steered, plain)


def test_a_sweep_is_measured(host: Host, small: Small) -> None:
    graph = small("find_strength")
    result = host.run(graph)
    chart = node_of(graph, "SweepChart")
    swept = result.text(node_of(graph, "StrengthSweep"))
    assert swept == "strengths 0, 0.5, 1, 1.5, 2\nacts on the subject “person”"
    assert "recommended strength 0: no effect" in result.text(chart)  # random weights draw no faces
    assert result.text(chart).count("no face") >= 5 and result.picture(chart).shape[1] >= 640


@pytest.mark.slow
def test_a_video_becomes_a_video(host: Host, small: Small, astronaut: np.ndarray) -> None:
    put_video(host, "talking.mp4", [np.roll(astronaut, shift, axis=1) for shift in range(0, 60, 3)])
    graph = small("expression_video")
    [video] = [node for node in graph.values() if node["class_type"] == "LoadVideo"]
    video["inputs"]["file"] = "talking.mp4"
    result = host.run(graph)
    [end] = [number for number, node in graph.items() if node["class_type"] == "SaveVideo"]
    assert result.output(end)["images"][0]["filename"].endswith(".mp4")
    assert "20 key faces over 16 frames" in result.text(node_of(graph, "PerceptionSchedule"))
