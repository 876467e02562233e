#!/usr/bin/env python3
"""Write the example workflows, each from one description: the graph that ComfyUI's front end opens
(`workflows/`) and the same graph as a prompt for its API (`tests/host/graphs/`).

usage: python tools/build_workflows.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

# What each node type has for sockets, in the node's order: (name, type). Widgets stand in the nodes below; optional
# sockets that no workflow links are left out, and the front end adds them.
SOCKETS: dict[str, tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {
    "CheckpointLoaderSimple": ([], [("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")]),
    "CLIPTextEncode": ([("clip", "CLIP")], [("CONDITIONING", "CONDITIONING")]),
    "EmptyLatentImage": ([], [("LATENT", "LATENT")]),
    "KSampler": (
        [
            ("model", "MODEL"),
            ("positive", "CONDITIONING"),
            ("negative", "CONDITIONING"),
            ("latent_image", "LATENT"),
        ],
        [("LATENT", "LATENT")],
    ),
    "LoadImage": ([], [("IMAGE", "IMAGE"), ("MASK", "MASK")]),
    "MarkdownNote": ([], []),
    "PerceptionClip_DatasetInfo": (
        [("path", "STRING")],
        [("samples", "INT"), ("text", "STRING"), ("faces", "IMAGE")],
    ),
    "PerceptionClip_DatasetWriter": (
        [("perception", "PERCEPTION"), ("clip", "CLIP")],
        [("samples", "INT"), ("path", "STRING")],
    ),
    "PerceptionClip_FacePerception": (
        [("image", "IMAGE")],
        [("perception", "PERCEPTION"), ("overlay", "IMAGE"), ("face_count", "INT")],
    ),
    "PerceptionClip_Projection": (
        [("perception", "PERCEPTION"), ("conditioning", "CONDITIONING")],
        [("conditioning", "CONDITIONING")],
    ),
    "SaveImage": ([("images", "IMAGE")], []),
    "VAEDecode": ([("samples", "LATENT"), ("vae", "VAE")], [("IMAGE", "IMAGE")]),
}
FRONT_END_ONLY = {"control_after_generate", "upload", "note"}  # widgets that no prompt carries
NO_PROMPT = {"MarkdownNote"}

PADDING, TITLE_BAR, GROUP_TITLE = 20, 30, 40  # pixels of the canvas
GROUP_COLOUR = "#3f789e"


@dataclass(frozen=True)
class Node:
    """One node: where it stands, its widgets in the node's order, and what its inputs are linked to."""

    name: str
    type: str
    position: tuple[int, int]
    size: tuple[int, int]
    widgets: dict[str, Any] = field(default_factory=dict)
    links: dict[str, tuple[str, str]] = field(default_factory=dict)  # input: (node's name, its output)
    title: str = ""
    models: tuple[dict[str, str], ...] = ()  # files that the front end offers to download


@dataclass(frozen=True)
class Workflow:
    """Nodes in an order in which each comes after those it needs, and named groups of them."""

    name: str
    nodes: tuple[Node, ...]
    groups: dict[str, tuple[str, ...]]

    def id_of(self, name: str) -> int:
        return 1 + [node.name for node in self.nodes].index(name)

    def all_links(self) -> Iterator[tuple[int, int, int, int, int, str]]:
        """(link, from node, from slot, to node, to slot, type), as the front end lists them."""
        number = 0
        for node in self.nodes:
            for slot, (socket, kind) in enumerate(SOCKETS[node.type][0]):
                number += 1
                source, output = node.links[socket]
                outputs = [name for name, _ in SOCKETS[self.nodes[self.id_of(source) - 1].type][1]]
                yield number, self.id_of(source), outputs.index(output), self.id_of(node.name), slot, kind


def front_end_graph(workflow: Workflow) -> dict[str, Any]:
    """The workflow in the front end's format, version 0.4."""
    links = list(workflow.all_links())
    nodes = []
    for order, node in enumerate(workflow.nodes):
        number = workflow.id_of(node.name)
        inputs, outputs = SOCKETS[node.type]
        entry: dict[str, Any] = {
            "id": number,
            "type": node.type,
            "pos": list(node.position),
            "size": list(node.size),
            "flags": {},
            "order": order,
            "mode": 0,
            "inputs": [
                {"name": name, "type": kind, "link": _link_into(links, number, slot)}
                for slot, (name, kind) in enumerate(inputs)
            ],
            "outputs": [
                {"name": name, "type": kind, "links": _links_from(links, number, slot), "slot_index": slot}
                for slot, (name, kind) in enumerate(outputs)
            ],
            "properties": {"Node name for S&R": node.type},
            "widgets_values": list(node.widgets.values()),
        }
        if node.title:
            entry["title"] = node.title
        if node.models:
            entry["properties"]["models"] = list(node.models)
        nodes.append(entry)
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": [list(link) for link in links],
        "groups": [
            {
                "id": number,
                "title": title,
                "bounding": _bounding(workflow, members),
                "color": GROUP_COLOUR,
                "font_size": 24,
                "flags": {},
            }
            for number, (title, members) in enumerate(workflow.groups.items(), start=1)
        ],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def api_graph(workflow: Workflow) -> dict[str, Any]:
    """The workflow as a prompt for ComfyUI's API, its nodes under their names."""
    return {
        node.name: {
            "class_type": node.type,
            "inputs": {key: value for key, value in node.widgets.items() if key not in FRONT_END_ONLY}
            | {socket: [source, _slot(workflow, source, output)] for socket, (source, output) in node.links.items()},
        }
        for node in workflow.nodes
        if node.type not in NO_PROMPT
    }


def _slot(workflow: Workflow, name: str, output: str) -> int:
    node = workflow.nodes[workflow.id_of(name) - 1]
    return [socket for socket, _ in SOCKETS[node.type][1]].index(output)


def _link_into(links: list[tuple[int, int, int, int, int, str]], node: int, slot: int) -> int:
    return next(link[0] for link in links if (link[3], link[4]) == (node, slot))


def _links_from(links: list[tuple[int, int, int, int, int, str]], node: int, slot: int) -> list[int]:
    return [link[0] for link in links if (link[1], link[2]) == (node, slot)]


def _bounding(workflow: Workflow, members: tuple[str, ...]) -> list[int]:
    nodes = [workflow.nodes[workflow.id_of(name) - 1] for name in members]
    left = min(node.position[0] for node in nodes) - PADDING
    top = min(node.position[1] for node in nodes) - TITLE_BAR - GROUP_TITLE - PADDING
    right = max(node.position[0] + node.size[0] for node in nodes) + PADDING
    bottom = max(node.position[1] + node.size[1] for node in nodes) + PADDING
    return [left, top, right - left, bottom - top]


SD15 = "v1-5-pruned-emaonly-fp16.safetensors"
SD15_FILE = {
    "name": SD15,
    "url": f"https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/{SD15}?download=true",
    "directory": "checkpoints",
}


def note(text: str) -> Node:
    """What to do, left of everything."""
    return Node("note", "MarkdownNote", (-460, 0), (420, 560), {"note": text}, title="Read me")


def model(position: tuple[int, int]) -> Node:
    """Stable Diffusion 1.5, with the link by which the front end offers to download it."""
    return Node("model", "CheckpointLoaderSimple", position, (320, 100), {"ckpt_name": SD15}, models=(SD15_FILE,))


FACE_TO_EXPRESSION_NOTE = """\
## A face steers the picture

1. **Choose a photo with a face** in *Load Image* (the picture that ComfyUI brings along shows none).
2. Choose a **Stable Diffusion 1.5** checkpoint.
3. The first time only, **make a projection checkpoint** for it, without any data of your own. Open a terminal in
   this pack's folder and run, with ComfyUI's Python:

   ```
   python -m training starter --text-encoder PATH/TO/YOUR_SD15.safetensors
   ```

   Then press **R** here, and choose `best_model.safetensors` in *Perception→CLIP Projection*.
4. **Queue.** The seed is fixed: change the photo, and only the expression changes.

*strength* 0 gives the picture without the face; 2 exaggerates; negative values turn the expression away.
"""

COLLECT_DATASET_NOTE = """\
## Collect your own faces for training

1. **Choose a photo with a face** in *Load Image*, and a **Stable Diffusion 1.5** checkpoint (only its CLIP is used).
2. Say in the **prompt** what the face expresses, in varied words. Name the person in **group**. For several faces,
   write a line for each and set **prompts** to *one line per face*.
3. **Queue**, then the next photo. Every face is kept once, however often you queue. *Dataset Writer* shows the newest
   faces, *Dataset Info* what the dataset holds.
4. With some hundred faces, train. Open a terminal in this pack's folder and run, with ComfyUI's Python:

   ```
   python -m training export DATASET.db --out training_data.npz
   python -m training train --data training_data.npz
   ```

   The node shows where `DATASET.db` lies. Then press **R** in *face_to_expression*.

Faces are personal data: ask the people whose faces you collect. The dataset stays on this machine, in ComfyUI's
`user/__perception_clip/datasets`.
"""

PHOTO = Node("photo", "LoadImage", (0, 0), (320, 330), {"image": "example.png", "upload": "image"})
PERCEPTION = Node(
    "perception",
    "PerceptionClip_FacePerception",
    (360, 0),
    (340, 500),
    {
        "detector": "far",
        "max_faces": 10,
        "order": "largest",
        "min_confidence": 0.5,
        "missing": "skip",
        "face_index": -1,
        "smoothing": 0.0,
        "landmarker": "bundled",
        "emotion_model": "bundled",
        "dense_mesh": False,
    },
    {"image": ("photo", "IMAGE")},
)

FACE_TO_EXPRESSION = Workflow(
    name="face_to_expression",
    nodes=(
        note(FACE_TO_EXPRESSION_NOTE),
        PHOTO,
        model((0, 640)),
        Node(
            "latent",
            "EmptyLatentImage",
            (760, 1000),
            (320, 110),
            {"width": 512, "height": 512, "batch_size": 1},
        ),
        PERCEPTION,
        Node(
            "positive",
            "CLIPTextEncode",
            (360, 760),
            (340, 130),
            {"text": "portrait photo of a person, detailed face, soft light"},
            {"clip": ("model", "CLIP")},
            title="Prompt",
        ),
        Node(
            "negative",
            "CLIPTextEncode",
            (360, 940),
            (340, 110),
            {"text": "blurry, deformed, text"},
            {"clip": ("model", "CLIP")},
            title="What to avoid",
        ),
        Node(
            "projection",
            "PerceptionClip_Projection",
            (760, 0),
            (340, 340),
            {
                "checkpoint": "best_model.safetensors",
                "mode": "steer",
                "strength": 1.0,
                "start_percent": 0.0,
                "end_percent": 1.0,
                "faces": "first",
            },
            {"perception": ("perception", "perception"), "conditioning": ("positive", "CONDITIONING")},
        ),
        Node(
            "sampler",
            "KSampler",
            (1160, 680),
            (320, 270),
            {
                "seed": 42,
                "control_after_generate": "fixed",
                "steps": 20,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
            {
                "model": ("model", "MODEL"),
                "positive": ("projection", "conditioning"),
                "negative": ("negative", "CONDITIONING"),
                "latent_image": ("latent", "LATENT"),
            },
        ),
        Node(
            "decode",
            "VAEDecode",
            (1540, 560),
            (220, 50),
            links={"samples": ("sampler", "LATENT"), "vae": ("model", "VAE")},
        ),
        Node(
            "save",
            "SaveImage",
            (1820, 560),
            (420, 520),
            {"filename_prefix": "face_to_expression"},
            {"images": ("decode", "IMAGE")},
        ),
    ),
    groups={
        "1 · A face": ("photo", "perception"),
        "2 · A model and a prompt": ("model", "latent", "positive", "negative"),
        "3 · The face steers the prompt": ("projection",),
        "4 · The picture": ("sampler", "decode", "save"),
    },
)

COLLECT_DATASET = Workflow(
    name="collect_dataset",
    nodes=(
        note(COLLECT_DATASET_NOTE),
        PHOTO,
        model((360, 760)),
        replace(PERCEPTION, size=(340, 620)),
        Node(
            "writer",
            "PerceptionClip_DatasetWriter",
            (760, 0),
            (460, 900),
            {
                "prompt": "a smiling woman, friendly and relaxed",
                "dataset": "my_faces",
                "group": "",
                "prompts": "one for all faces",
                "label": "happy",
                "split": "none",
                "source": "",
            },
            {"perception": ("perception", "perception"), "clip": ("model", "CLIP")},
        ),
        Node(
            "info",
            "PerceptionClip_DatasetInfo",
            (1280, 0),
            (520, 900),
            {"dataset": "my_faces"},
            {"path": ("writer", "path")},
        ),
    ),
    groups={
        "1 · A face": ("photo", "perception"),
        "2 · The text encoder": ("model",),
        "3 · Into the dataset": ("writer",),
        "4 · What it holds": ("info",),
    },
)

WORKFLOWS = (FACE_TO_EXPRESSION, COLLECT_DATASET)


def build() -> dict[Path, str]:
    """Every file's path, relative to the repository, and its text."""
    files = {}
    for workflow in WORKFLOWS:
        for folder, graph in (("workflows", front_end_graph(workflow)), ("tests/host/graphs", api_graph(workflow))):
            text = json.dumps(graph, indent=2, ensure_ascii=False) + "\n"
            files[Path(folder, f"{workflow.name}.json")] = text
    return files


if __name__ == "__main__":
    for path, text in build().items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)
