"""What a ComfyUI that has the pack says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .server import PACK, ROOT, Host

PERCEIVING = {
    "detector": "COMBO",
    "max_faces": "INT",
    "order": "COMBO",
    "min_confidence": "FLOAT",
    "missing": "COMBO",
    "face_index": "INT",
    "smoothing": "FLOAT",
    "landmarker": "COMBO",
    "emotion_model": "COMBO",
    "neutral": "PERCEPTION",
    "dense_mesh": "BOOLEAN",
}
NODES = {
    "PerceptionClip_PerceptionArithmetic": (
        "Perception Arithmetic",
        dict.fromkeys(("a", "b", "c"), "PERCEPTION") | {"strength": "FLOAT"},
        {"perception": "PERCEPTION"},
    ),
    "PerceptionClip_JoinPerceptions": (
        "Join Perceptions",
        {"first": "PERCEPTION", "second": "PERCEPTION"},
        {"perception": "PERCEPTION"},
    ),
    "PerceptionClip_PerceptionSchedule": (
        "Perception Schedule",
        {"perception": "PERCEPTION", "frames": "INT", "easing": "COMBO"},
        {"perception": "PERCEPTION"},
    ),
    "PerceptionClip_FacePerception": (
        "Face Perception (1441D)",
        {"image": "IMAGE", **PERCEIVING, "face_landmarks": "FACE_LANDMARKS"},
        {"perception": "PERCEPTION", "overlay": "IMAGE", "face_count": "INT"},
    ),
    "PerceptionClip_FacePerceptionVideo": (
        "Face Perception Video",
        {"video": "VIDEO", **PERCEIVING},
        {
            "perception": "PERCEPTION",
            "overlay": "VIDEO",
            "face_count": "INT",
            "frame_count": "INT",
            "frame_rate": "FLOAT",
        },
    ),
    "PerceptionClip_InspectProjection": (
        "Inspect Projection",
        {
            "perception": "PERCEPTION",
            "checkpoint": "COMBO",
            "prompts": "INT",
            "checkpoint_name": "STRING",
            "conditioning": "CONDITIONING",
            "clip": "CLIP",
        },
        {"text": "STRING", "picture": "IMAGE"},
    ),
    "PerceptionClip_Projection": (
        "Perception→CLIP Projection",
        {
            "perception": "PERCEPTION",
            "conditioning": "CONDITIONING",
            "checkpoint": "COMBO",
            "mode": "COMBO",
            "strength": "FLOAT",
            "start_percent": "FLOAT",
            "end_percent": "FLOAT",
            "faces": "COMBO",
            "checkpoint_name": "STRING",
            "normalise": "BOOLEAN",
            "clip_l_only": "BOOLEAN",
            "clip": "CLIP",
        },
        {"conditioning": "CONDITIONING"},
    ),
    "PerceptionClip_DatasetWriter": (
        "Dataset Writer",
        {
            "perception": "PERCEPTION",
            "clip": "CLIP",
            "prompt": "STRING",
            "dataset": "STRING",
            "group": "STRING",
            "prompts": "COMBO",
            "label": "STRING",
            "split": "COMBO",
            "source": "STRING",
        },
        {"samples": "INT", "path": "STRING"},
    ),
    "PerceptionClip_DatasetInfo": (
        "Dataset Info",
        {"dataset": "COMBO", "path": "STRING"},
        {"samples": "INT", "text": "STRING", "faces": "IMAGE"},
    ),
    "PerceptionClip_TrainProjection": (
        "Train Projection",
        {
            "dataset": "COMBO",
            "size": "COMBO",
            "epochs": "INT",
            "name": "STRING",
            "seed": "INT",
            "init": "COMBO",
            "path": "STRING",
            "val_split": "FLOAT",
        },
        {"checkpoint": "STRING", "report": "IMAGE", "text": "STRING"},
    ),
    "PerceptionClip_StarterProjection": (
        "Starter Projection",
        {"clip": "CLIP", "name": "STRING", "seed": "INT", "samples": "INT"},
        {"checkpoint": "STRING", "report": "IMAGE", "text": "STRING"},
    ),
    "PerceptionClip_PerceptionInfo": (
        "Perception Info",
        {"perception": "PERCEPTION", "face": "INT", "missing": "COMBO"},
        {"text": "STRING"}
        | dict.fromkeys(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), "FLOAT")
        | dict.fromkeys(("yaw", "pitch", "roll"), "FLOAT")
        | dict.fromkeys(("x", "y", "width", "height"), "INT")
        | {"score": "FLOAT", "frame": "INT", "track": "INT", "face_count": "INT"},
    ),
    "PerceptionClip_EditPerception": (
        "Edit Perception",
        {"perception": "PERCEPTION"}
        | dict.fromkeys(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "strength"), "FLOAT")
        | {"mix_with": "PERCEPTION", "mix": "FLOAT"},
        {"perception": "PERCEPTION"},
    ),
    "PerceptionClip_SavePerception": (
        "Save Perception",
        {"perception": "PERCEPTION", "name": "STRING", "overwrite": "BOOLEAN"},
        {"name": "STRING", "path": "STRING"},
    ),
    "PerceptionClip_LoadPerception": (
        "Load Perception",
        {"name": "COMBO"},
        {"perception": "PERCEPTION", "face_count": "INT"},
    ),
}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
NUMBERS = {"INT", "FLOAT"}


def inputs_of(info: dict) -> dict[str, list]:
    """An /object_info entry's inputs in the node's order: name → [type, options]."""
    return {
        name: info["input"][kind][name]
        for kind in ("required", "optional")
        for name in info["input_order"].get(kind, [])
    }


@pytest.mark.parametrize("node", NODES)
def test_node_is_listed_with_its_final_names_and_types(host: Host, node: str) -> None:
    display_name, inputs, outputs = NODES[node]
    info = host.get(f"/object_info/{node}")[node]
    assert info["display_name"] == display_name
    assert info["category"] == "Perception CLIP"
    assert {name: spec[0] for name, spec in inputs_of(info).items()} == inputs
    assert dict(zip(info["output_name"], info["output"], strict=True)) == outputs


@pytest.mark.parametrize("node", NODES)
def test_everything_on_a_node_explains_itself(host: Host, node: str) -> None:
    info = host.get(f"/object_info/{node}")[node]
    assert info["description"]
    assert all(info["output_tooltips"])
    for name, (kind, options) in inputs_of(info).items():
        assert options["tooltip"], name
        if kind in NUMBERS:
            assert options["min"] <= options["default"] <= options["max"], name


def test_pack_imports_without_failure(host: Host) -> None:
    log = host.log.read_text(errors="replace")
    lines = [line for line in log.splitlines() if line.endswith(f"custom_nodes/{PACK}")]
    assert [line for line in lines if re.match(r"\s+\d+\.\d seconds: ", line)]
    assert not [line for line in lines if "IMPORT FAILED" in line]


def test_nothing_is_loaded_or_written_before_a_node_runs(host: Host) -> None:
    start = host.log.read_text(errors="replace").split("got prompt")[0]
    assert "Perception CLIP: loaded" not in start


@pytest.mark.parametrize("node", NODES)
def test_help_page_is_served(host: Host, node: str) -> None:
    page = host.read(f"/extensions/{PACK}/docs/{node}/en.md").decode()
    assert page.startswith(f"# {NODES[node][0]}\n")


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_workflow_is_a_template_whose_nodes_fit_their_schemas(host: Host, path: Path) -> None:
    assert path.stem in host.get("/workflow_templates")[PACK]
    workflow = json.loads(host.read(f"/api/workflow_templates/{PACK}/{path.name}"))
    known = host.get("/object_info")
    for node in workflow["nodes"]:
        if node["type"] == "MarkdownNote":  # lives in the front end
            continue
        info = known[node["type"]]
        inputs = inputs_of(info)
        sockets = {name: spec[0] for name, spec in inputs.items() if not is_widget(spec)}
        shown = {socket["name"]: socket["type"] for socket in node["inputs"]}
        assert shown.items() <= sockets.items()
        assert [name for name in sockets if name in shown] == list(shown)
        assert {name for name in sockets if name in info["input"]["required"]} <= shown.keys()
        outputs = list(zip(info["output_name"], info["output"], strict=True))
        assert [(socket["name"], socket["type"]) for socket in node["outputs"]] == outputs
        check_widgets(node, inputs)


def check_widgets(node: dict, inputs: dict[str, list]) -> None:
    """A node's widget values are of the right number and each is allowed, in the order of the schema."""
    values = list(node["widgets_values"])
    for name, spec in inputs.items():
        if not is_widget(spec):
            continue
        value, options = values.pop(0), spec[1] if len(spec) > 1 else {}
        kind = "COMBO" if isinstance(spec[0], list) else spec[0]
        choices = spec[0] if isinstance(spec[0], list) else options.get("options")
        if name not in ("checkpoint", "ckpt_name", "dataset", "image") and choices:  # those name the user's own files
            assert value in choices, (node["type"], name)
        if kind in NUMBERS:
            assert options["min"] <= value <= options["max"], (node["type"], name)
        if options.get("control_after_generate"):
            assert values.pop(0) in ("fixed", "increment", "decrement", "randomize")
        if options.get("image_upload"):
            assert values.pop(0) == "image"
    assert values == []


def is_widget(spec: list) -> bool:
    """Whether an input has a widget; one that must be linked has none."""
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    return isinstance(kind, list) or (kind in WIDGETS and not options.get("forceInput"))
