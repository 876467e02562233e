"""A workflow described once, and written twice: as the front end's file, and as a prompt for ComfyUI's API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

FRONT_END_ONLY = {"capture", "control_after_generate", "note", "upload"}  # widgets that no prompt carries
NO_PROMPT = {"MarkdownNote"}  # node types that live in the front end alone

PADDING, TITLE_BAR, GROUP_TITLE = 20, 30, 40  # pixels of the canvas
GROUP_COLOR = "#3f789e"

Socket = tuple[str, str]  # name, type
Link = tuple[int, int, int, int, int, str]  # link, from node, from slot, to node, to slot, type


@dataclass(frozen=True)
class NodeType:
    """The sockets of a node type in the node's order. Inputs that a workflow does not link are left out of its file:
    the front end adds them.
    """

    inputs: tuple[Socket, ...] = ()
    outputs: tuple[Socket, ...] = ()


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
    types: dict[str, NodeType]
    nodes: tuple[Node, ...]
    groups: dict[str, tuple[str, ...]]

    def id_of(self, name: str) -> int:
        return 1 + [node.name for node in self.nodes].index(name)

    def inputs_of(self, node: Node) -> list[Socket]:
        """The node's linked inputs. Raises ValueError for a link to an input that there is not."""
        sockets = [socket for socket in self.types[node.type].inputs if socket[0] in node.links]
        if len(sockets) != len(node.links):
            raise ValueError(f"{node.name} in {self.name} has not all of these inputs: {', '.join(node.links)}")
        return sockets

    def slot_of(self, name: str, output: str) -> int:
        """Which output that is, from 0."""
        kind = self.nodes[self.id_of(name) - 1].type
        return [socket for socket, _ in self.types[kind].outputs].index(output)

    def links(self) -> Iterator[Link]:
        """All links, as the front end lists them."""
        number = 0
        for node in self.nodes:
            for slot, (socket, kind) in enumerate(self.inputs_of(node)):
                number += 1
                source, output = node.links[socket]
                yield number, self.id_of(source), self.slot_of(source, output), self.id_of(node.name), slot, kind


def front_end_graph(workflow: Workflow) -> dict[str, Any]:
    """The workflow in the front end's format, version 0.4."""
    links = list(workflow.links())
    return {
        "last_node_id": len(workflow.nodes),
        "last_link_id": len(links),
        "nodes": [_front_end_node(workflow, node, links) for node in workflow.nodes],
        "links": [list(link) for link in links],
        "groups": [
            {
                "id": number,
                "title": title,
                "bounding": _bounding(workflow, members),
                "color": GROUP_COLOR,
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
            | {key: [source, workflow.slot_of(source, output)] for key, (source, output) in node.links.items()},
        }
        for node in workflow.nodes
        if node.type not in NO_PROMPT
    }


def _front_end_node(workflow: Workflow, node: Node, links: list[Link]) -> dict[str, Any]:
    number = workflow.id_of(node.name)
    properties: dict[str, Any] = {"Node name for S&R": node.type}
    if node.models:
        properties["models"] = list(node.models)
    return {
        "id": number,
        "type": node.type,
        "pos": list(node.position),
        "size": list(node.size),
        "flags": {},
        "order": number - 1,
        "mode": 0,
        **({"title": node.title} if node.title else {}),
        "inputs": [
            {"name": name, "type": kind, "link": _into(links, number, slot)}
            for slot, (name, kind) in enumerate(workflow.inputs_of(node))
        ],
        "outputs": [
            {"name": name, "type": kind, "links": _out_of(links, number, slot), "slot_index": slot}
            for slot, (name, kind) in enumerate(workflow.types[node.type].outputs)
        ],
        "properties": properties,
        "widgets_values": list(node.widgets.values()),
    }


def _into(links: list[Link], node: int, slot: int) -> int:
    return next(link[0] for link in links if link[3:5] == (node, slot))


def _out_of(links: list[Link], node: int, slot: int) -> list[int]:
    return [link[0] for link in links if link[1:3] == (node, slot)]


def _bounding(workflow: Workflow, members: tuple[str, ...]) -> list[int]:
    """Left, top, width and height of a group around its nodes."""
    nodes = [workflow.nodes[workflow.id_of(name) - 1] for name in members]
    left = min(node.position[0] for node in nodes) - PADDING
    top = min(node.position[1] for node in nodes) - TITLE_BAR - GROUP_TITLE - PADDING
    right = max(node.position[0] + node.size[0] for node in nodes) + PADDING
    bottom = max(node.position[1] + node.size[1] for node in nodes) + PADDING
    return [left, top, right - left, bottom - top]
