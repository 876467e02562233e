"""The shipped workflows, without a host: sound links, a layout that can be read, a note and a thumbnail each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .schemas import Slot, schemas

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
NAMES = {path.stem for path in WORKFLOWS}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
TITLE_BAR = 30
SLOT = 20  # pixels from one slot to the next
LARGEST_THUMBNAILS = 1_000_000  # bytes of all together
CROSSINGS = 28  # of links, at most
LARGEST = (2078, 1292)  # graph units, which the front end opens at 57 % in a window of 1600 x 1000 pixels
MODEL_FOLDERS = {
    "CheckpointLoaderSimple": "checkpoints",
    "UNETLoader": "diffusion_models",
    "CLIPLoader": "text_encoders",
    "VAELoader": "vae",
}

Box = tuple[float, float, float, float]  # left, top, right, bottom
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def nodes_of(path: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    workflow = json.loads(path.read_text(encoding="utf-8"))
    return workflow, {node["id"]: node for node in workflow["nodes"]}


@each_workflow
def test_links_agree_with_the_sockets_at_both_ends(path: Path) -> None:
    workflow, nodes = nodes_of(path)
    for link, source, out, target, into, kind in workflow["links"]:
        output, input_ = nodes[source]["outputs"][out], nodes[target]["inputs"][into]
        assert link in output["links"] and input_["link"] == link
        assert kind == input_["type"] == output["type"]
        assert nodes[source]["order"] < nodes[target]["order"]
    ends = [input_["link"] for node in nodes.values() for input_ in node["inputs"] if input_["link"] is not None]
    assert sorted(ends) == [link[0] for link in workflow["links"]]
    assert workflow["last_node_id"] == max(nodes) and workflow["last_link_id"] == len(workflow["links"])


@each_workflow
def test_widgets_and_outputs_fit_the_packs_nodes(path: Path) -> None:
    """`tests/host/test_workflows.py` also checks ComfyUI's own nodes."""
    _, nodes = nodes_of(path)
    for node in nodes.values():
        if schema := schemas().get(node["type"]):
            inputs = sorted(schema.inputs, key=lambda slot: slot.optional)  # required ones come first, as on the node
            widgets = [slot for slot in inputs if slot.kind in WIDGETS and not slot.options.get("force_input")]
            for slot, value in zip(widgets, node["widgets_values"], strict=True):
                assert accepts(slot, value), (node["type"], slot.name, value)
            outputs = [(output["name"], output["type"]) for output in node["outputs"]]
            assert outputs == [(slot.shown, slot.kind) for slot in schema.outputs]


def accepts(slot: Slot, value: Any) -> bool:
    if slot.kind == "COMBO":
        return value in slot.options["options"]
    if slot.kind in ("INT", "FLOAT"):
        return type(value) in (int, float) and slot.options["min"] <= value <= slot.options["max"]
    return type(value) is (bool if slot.kind == "BOOLEAN" else str)


@each_workflow
def test_layout_reads_from_left_to_right_and_down_without_overlap(path: Path) -> None:
    workflow, nodes = nodes_of(path)
    for _, source, _, target, _, _ in workflow["links"]:
        start, end = box_of(nodes[source]), box_of(nodes[target])
        below = start[0] == end[0] and start[3] < end[1]  # in the same column
        assert start[2] < end[0] or below, (nodes[source]["type"], nodes[target]["type"])
    no_overlap([box_of(node) for node in nodes.values()])
    groups = [
        (*group["bounding"][:2], *np.add(group["bounding"][:2], group["bounding"][2:])) for group in groups_of(workflow)
    ]
    no_overlap(groups)
    for node in nodes.values():
        around = [group for group in groups if inside(box_of(node), group)]
        assert len(around) == (0 if node["type"] == "MarkdownNote" else 1), node["type"]


@each_workflow
def test_it_opens_large_enough_to_be_read(path: Path) -> None:
    boxes = np.array([box_of(node) for node in nodes_of(path)[1].values()])
    assert (boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0) <= LARGEST).all()


@each_workflow
def test_groups_are_numbered_from_left_to_right(path: Path) -> None:
    groups = groups_of(nodes_of(path)[0])
    assert [group["title"].split(" · ")[0] for group in groups] == [str(number) for number in range(1, len(groups) + 1)]
    for one, other in pairwise(group["bounding"] for group in groups):
        assert one[0] < other[0] or (one[0] - other[0] < 100 and one[1] < other[1]) or one[0] == other[0]


def groups_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return workflow["groups"]  # type: ignore[no-any-return]


def box_of(node: dict[str, Any]) -> Box:
    (left, top), (width, height) = node["pos"], node["size"]
    return left, top - TITLE_BAR, left + width, top + height


def no_overlap(boxes: list[Box]) -> None:
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


def inside(one: Box, other: Box) -> bool:
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] and one[3] <= other[3]


@each_workflow
def test_links_are_easy_to_follow(path: Path) -> None:
    """None runs behind a node that it does not belong to, and few of them cross."""
    workflow, nodes = nodes_of(path)
    curves = {tuple(link): curve(link, nodes) for link in workflow["links"]}
    for (_, source, _, target, _, kind), points in curves.items():
        for number, node in nodes.items():
            if number not in (source, target):
                left, top, right, bottom = box_of(node)
                hidden = (points > (left, top)).all(axis=1) & (points < (right, bottom)).all(axis=1)
                assert not hidden.any(), (kind, nodes[source]["type"], nodes[target]["type"], "behind", node["type"])
    crossings = sum(cross(one, other) for one, other in combinations(curves.values(), 2))
    assert crossings <= CROSSINGS, crossings


def curve(link: list[Any], nodes: dict[int, dict[str, Any]]) -> np.ndarray:
    """Points (64, 2) on a link as the front end draws it: a spline that leaves and enters its sockets level."""
    _, source, out, target, into, _ = link
    start = np.array([box_of(nodes[source])[2], nodes[source]["pos"][1] + (out + 0.7) * SLOT])
    end = np.array([nodes[target]["pos"][0], nodes[target]["pos"][1] + (into + 0.7) * SLOT])
    reach = np.array([np.hypot(*(end - start)) / 4, 0])
    t = np.linspace(0, 1, 64)[:, None]
    points = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * (start + reach)
    return points + 3 * (1 - t) * t**2 * (end - reach) + t**3 * end  # type: ignore[no-any-return]


def cross(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two lines of straight pieces cross, apart from where they begin and end."""
    a, b = one[:-1, None], one[1:, None]  # (63, 1, 2)
    c, d = other[None, :-1], other[None, 1:]  # (1, 63, 2)
    return bool(((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)).any())


def side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    """On which side of the line from a to b a point is: above 0, below 0, or 0 on it."""
    along, away = b - a, point - a
    return along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0]  # type: ignore[no-any-return]


@each_workflow
def test_every_workflow_says_what_to_do_and_where_its_model_is(path: Path) -> None:
    _, nodes = nodes_of(path)
    [note] = [node for node in nodes.values() if node["type"] == "MarkdownNote"]
    [text] = note["widgets_values"]
    lines = text.splitlines()
    assert lines[0].startswith("## ") and len(text) > 300
    assert [line[0] for line in lines if line[1:2] == "."] == [str(number) for number in range(1, 1 + steps(lines))]
    assert 3 <= steps(lines) <= 5
    loaders = [node for node in nodes.values() if node["type"] in MODEL_FOLDERS]
    assert loaders
    for loader in loaders:
        [model] = loader["properties"]["models"]
        assert loader["widgets_values"][0] == model["name"] and model["directory"] == MODEL_FOLDERS[loader["type"]]
        assert model["url"].startswith("https://huggingface.co/")
        assert "/resolve/main/" in model["url"] and model["url"].endswith(f"/{model['name']}?download=true")
    assert set(referred(text)) <= NAMES


def steps(lines: list[str]) -> int:
    return sum(line[1:3] == ". " for line in lines)


def referred(text: str) -> Iterator[str]:
    """The other templates that a note names."""
    return (word.strip("*.,():") for word in text.split() if word.strip("*.,():") in NAMES or "_to_" in word)


def test_every_workflow_has_a_thumbnail_and_they_are_distinct_and_small() -> None:
    files = sorted((ROOT / "workflows").glob("*.jpg"))
    assert {path.stem for path in files} == NAMES
    assert sum(path.stat().st_size for path in files) < LARGEST_THUMBNAILS
    assert {(Image.open(path).format, Image.open(path).size) for path in files} == {("JPEG", (640, 640))}
    pictures = [np.asarray(Image.open(path).convert("L").resize((32, 32)), dtype=float) for path in files]
    assert min(picture.std() for picture in pictures) > 10  # none is blank
    for one, other in combinations(range(len(files)), 2):
        assert np.abs(pictures[one] - pictures[other]).mean() > 8, (files[one].stem, files[other].stem)
