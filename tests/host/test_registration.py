"""What a ComfyUI that has the pack says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .server import PACK, Host

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
        {"perception": "PERCEPTION", "face_count": "INT"},
    ),
    "PerceptionClip_FacePerceptionVideo": (
        "Face Perception Video",
        {"video": "VIDEO", **PERCEIVING},
        {
            "perception": "PERCEPTION",
            "face_count": "INT",
            "frame_count": "INT",
            "frame_rate": "FLOAT",
        },
    ),
    "PerceptionClip_DrawPerception": (
        "Draw Perception",
        {"perception": "PERCEPTION", "image": "IMAGE", "video": "VIDEO", "tracks": "BOOLEAN", "dense_mesh": "BOOLEAN"},
        {"image": "IMAGE", "video": "VIDEO"},
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
            "match_norm": "BOOLEAN",
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
    "PerceptionClip_FaceActions": (
        "Face Actions",
        {
            "perception": "PERCEPTION",
            "action": "COMBO",
            "frame": "INT",
            "track": "INT",
            "smoothing": "FLOAT",
            "missing": "COMBO",
        },
        dict.fromkeys(("value", "values", "gaze_yaw", "gaze_pitch", "yaw", "pitch", "roll"), "FLOAT")
        | {"json": "STRING", "chart": "IMAGE"},
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


def test_a_start_loads_nothing_and_writes_nothing(host: Host, tmp_path: Path) -> None:
    fresh = Host(host.checkout, host.python, tmp_path)
    before = {path for path in fresh.pack.rglob("*") if "__pycache__" not in path.parts}
    fresh.start()
    fresh.stop()
    log = fresh.log.read_text(errors="replace")
    assert [line for line in log.splitlines() if line.endswith(f"custom_nodes/{PACK}")]
    assert "Perception CLIP: loaded" not in log
    assert {path for path in fresh.pack.rglob("*") if "__pycache__" not in path.parts} == before
    assert not fresh.models.exists() and not fresh.datasets.parent.exists()


@pytest.mark.parametrize("node", NODES)
def test_help_page_is_served(host: Host, node: str) -> None:
    page = host.read(f"/extensions/{PACK}/docs/{node}/en.md").decode()
    assert page.startswith(f"# {NODES[node][0]}\n")
