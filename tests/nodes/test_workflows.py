"""The shipped workflows, without a host: as built, and laid out to be read."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
TITLE_BAR = 30

Box = tuple[float, float, float, float]


def load_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_workflows", ROOT / "tools" / "build_workflows.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def nodes_of(path: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    workflow = json.loads(path.read_text(encoding="utf-8"))
    return workflow, {node["id"]: node for node in workflow["nodes"]}


def test_files_are_what_the_script_builds() -> None:
    built = load_builder().build()
    assert {path for path in built if path.parts[0] == "workflows"} == {path.relative_to(ROOT) for path in WORKFLOWS}
    for path, text in built.items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"run python tools/build_workflows.py: {path}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_links_agree_with_the_sockets_at_both_ends(path: Path) -> None:
    workflow, nodes = nodes_of(path)
    for link, source, out, target, into, kind in workflow["links"]:
        output, input_ = nodes[source]["outputs"][out], nodes[target]["inputs"][into]
        assert link in output["links"] and input_["link"] == link
        assert kind == input_["type"] == output["type"]
    ends = [input_["link"] for node in nodes.values() for input_ in node["inputs"]]
    assert sorted(ends) == [link[0] for link in workflow["links"]]
    assert workflow["last_node_id"] == max(nodes) and workflow["last_link_id"] == len(workflow["links"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_layout_reads_from_left_to_right_without_overlap(path: Path) -> None:
    workflow, nodes = nodes_of(path)
    for _, source, _, target, _, _ in workflow["links"]:
        start, end = nodes[source], nodes[target]
        below = start["pos"][1] + start["size"][1] <= end["pos"][1]
        assert start["pos"][0] + start["size"][0] < end["pos"][0] or below, (start["type"], end["type"])
    no_overlap([box(node["pos"], node["size"], TITLE_BAR) for node in nodes.values()])
    no_overlap([box(group["bounding"][:2], group["bounding"][2:], 0) for group in workflow["groups"]])


def box(position: list[float], size: list[float], title: float) -> Box:
    return position[0], position[1] - title, position[0] + size[0], position[1] + size[1]


def no_overlap(boxes: list[Box]) -> None:
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_workflow_says_what_to_do_and_where_its_model_is(path: Path) -> None:
    _, nodes = nodes_of(path)
    by_type = {node["type"]: node for node in nodes.values()}
    assert len(by_type["MarkdownNote"]["widgets_values"][0]) > 300
    loader = by_type["CheckpointLoaderSimple"]
    [model] = loader["properties"]["models"]
    assert loader["widgets_values"] == [model["name"]]
    assert model["name"] in model["url"] and model["directory"] == "checkpoints"
