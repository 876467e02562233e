"""Workflows in docs/ that need another pack: they agree with its nodes as its source declared them in 2025.

https://github.com/cubiq/ComfyUI_IPAdapter_plus, IPAdapterPlus.py. The pack itself is not needed here, and it is not
run: what changes in it later is not noticed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import test_workflows as templates
from .test_workflows import ROOT

WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.json"))
CHOICES = {
    "preset": ("FACEID", "FACEID PLUS V2", "FACEID PORTRAIT (style transfer)"),
    "provider": ("CPU", "CUDA", "ROCM"),
    "weight_type": ("linear", "ease in", "ease out", "weak input", "style transfer"),
    "combine_embeds": ("concat", "add", "subtract", "average", "norm average"),
    "embeds_scaling": ("V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty"),
}
# Node → links it requires, widgets in order with their ranges or choices, outputs.
IPADAPTER = {
    "IPAdapterUnifiedLoaderFaceID": (
        {"model": "MODEL"},
        {"preset": CHOICES["preset"], "lora_strength": (0.0, 1.0), "provider": CHOICES["provider"]},
        [("MODEL", "MODEL"), ("ipadapter", "IPADAPTER")],
    ),
    "IPAdapterFaceID": (
        {"model": "MODEL", "ipadapter": "IPADAPTER", "image": "IMAGE"},
        {
            "weight": (-1.0, 3.0),
            "weight_faceidv2": (-1.0, 5.0),
            "weight_type": CHOICES["weight_type"],
            "combine_embeds": CHOICES["combine_embeds"],
            "start_at": (0.0, 1.0),
            "end_at": (0.0, 1.0),
            "embeds_scaling": CHOICES["embeds_scaling"],
        },
        [("MODEL", "MODEL"), ("face_image", "IMAGE")],
    ),
}
COMFYUI = {"MarkdownNote", "LoadImage", "CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler"}
COMFYUI |= {"VAEDecode", "SaveImage"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_agrees_with_the_nodes_of_the_other_pack(path: Path) -> None:
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
    assert {node["type"] for node in nodes} == COMFYUI | IPADAPTER.keys() | {
        f"PerceptionClip_{name}" for name in ("FacePerception", "StarterProjection", "TextEncode")
    }
    for node in nodes:
        if node["type"] in IPADAPTER:
            links, widgets, outputs = IPADAPTER[node["type"]]
            linked = {socket["name"]: socket["type"] for socket in node["inputs"] if socket["link"] is not None}
            assert linked == links
            assert [(socket["name"], socket["type"]) for socket in node["outputs"]] == outputs
            for value, allowed in zip(node["widgets_values"], widgets.values(), strict=True):
                if isinstance(value, str):
                    assert value in allowed
                else:
                    assert allowed[0] <= value <= allowed[1]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_is_laid_out_like_a_template_and_says_what_it_needs(path: Path) -> None:
    templates.test_links_agree_with_the_sockets_at_both_ends(path)
    templates.test_widgets_and_outputs_fit_the_packs_nodes(path)
    templates.test_layout_reads_from_left_to_right_and_down_without_overlap(path)
    templates.test_groups_are_numbered_from_left_to_right(path)
    templates.test_links_are_easy_to_follow(path)
    [note] = [node for node in json.loads(path.read_text())["nodes"] if node["type"] == "MarkdownNote"]
    text = note["widgets_values"][0]
    assert "needs ComfyUI_IPAdapter_plus" in text.splitlines()[0]
    assert all(word in text for word in ("insightface", "ip-adapter-faceid-plusv2_sd15.bin", "non-commercial"))
    assert f"docs/workflows/{path.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
