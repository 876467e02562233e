"""The shipped subgraph blueprints, without a host: sound links, and the nodes, names and values of the pack."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .schemas import schemas
from .test_workflows import ROOT, WIDGETS, accepts

BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
SIGNATURES = {
    "Measure an Expression": (["target", "result"], ["match", "matches", "table", "picture"]),
    "Prompt with a Face": (["clip", "image", "checkpoint_name", "text", "checkpoint", "strength"], ["conditioning"]),
}
INPUT, OUTPUT = -10, -20  # the ids of a subgraph's two ends
each_blueprint = pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The node that stands for the subgraph, and the subgraph."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    [node], [subgraph] = workflow["nodes"], workflow["definitions"]["subgraphs"]
    return node, subgraph


def test_the_blueprints_take_and_give_what_their_names_promise() -> None:
    assert {path.stem: signature(read(path)[0]) for path in BLUEPRINTS} == SIGNATURES


def signature(node: dict[str, Any]) -> tuple[list[str], list[str]]:
    return [slot["name"] for slot in node["inputs"]], [slot["name"] for slot in node["outputs"]]


@each_blueprint
def test_the_node_stands_for_the_subgraph(path: Path) -> None:
    node, subgraph = read(path)
    assert node["type"] == subgraph["id"] and node["title"] == subgraph["name"] == path.stem
    assert subgraph["description"].endswith(".")
    for side in ("inputs", "outputs"):
        shown = [(slot["name"], slot["type"]) for slot in node[side]]
        assert shown == [(slot["name"], slot["type"]) for slot in subgraph[side]]
    ids = [node["id"], *(inner["id"] for inner in subgraph["nodes"])]
    assert len(set(ids)) == len(ids)  # the front end would number them anew


@each_blueprint
def test_links_agree_with_the_slots_at_both_ends(path: Path) -> None:
    _, subgraph = read(path)
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    ends: Counter[tuple[int, int]] = Counter()
    for link in subgraph["links"]:
        source, target = link["origin_id"], link["target_id"]
        start = (subgraph["inputs"] if source == INPUT else nodes[source]["outputs"])[link["origin_slot"]]
        end = (subgraph["outputs"] if target == OUTPUT else nodes[target]["inputs"])[link["target_slot"]]
        assert link["id"] in start["linkIds" if source == INPUT else "links"]
        assert link["id"] in end["linkIds"] if target == OUTPUT else link["id"] == end["link"]
        assert start["type"] == end["type"] == link["type"]
        ends[target, link["target_slot"]] += 1
    assert set(ends.values()) == {1}
    assert all(slot["linkIds"] for slot in subgraph["inputs"] + subgraph["outputs"])


@each_blueprint
def test_slots_and_values_fit_the_packs_nodes(path: Path) -> None:
    node, subgraph = read(path)
    promoted = []
    for inner in subgraph["nodes"]:
        schema = schemas()[inner["type"]]
        slots = {slot.name: slot for slot in schema.inputs}
        for socket in inner["inputs"]:
            assert slots[socket["name"]].kind == socket["type"], socket["name"]
            if "widget" in socket and socket["link"] is not None:
                promoted.append([str(inner["id"]), socket["name"]])
        outputs = [(output["name"], output["type"]) for output in inner["outputs"]]
        assert outputs == [(slot.shown, slot.kind) for slot in schema.outputs]
        inputs = sorted(schema.inputs, key=lambda slot: slot.optional)
        widgets = [slot for slot in inputs if slot.kind in WIDGETS and not slot.options.get("force_input")]
        for slot, value in zip(widgets, inner["widgets_values"], strict=True):
            assert accepts(slot, value), (inner["type"], slot.name, value)
        linked = {socket["name"] for socket in inner["inputs"] if socket["link"] is not None}
        assert {slot.name for slot in inputs if not slot.optional and slot.kind not in WIDGETS} <= linked
    assert node["properties"]["proxyWidgets"] == promoted
