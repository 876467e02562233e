"""The structure of the packages: small folders, one direction of dependency, no import circles."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("common", "perception", "projection", "training", "nodes")  # each may import those before it
MOST_MODULES = 20  # in a folder


def modules() -> dict[str, Path]:
    """Dotted name inside the pack → file, of all modules and packages."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The pack's modules that one imports, wherever in its text it does so, for its types included."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
            module = ".".join(filter(None, base))
            found |= {each if (each := f"{module}.{alias.name}") in known else module for alias in node.names}
    return (found & known.keys()) - {name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports_of(name, path, known) for name, path in known.items()}


def test_the_graph_is_seen(graph: dict[str, set[str]]) -> None:
    assert len(graph) > 150 and sum(map(len, graph.values())) > 500
    assert "perception.vector" in graph["perception.pipeline"]
    assert "training.dataset.store" in graph["nodes.train.dataset_writer"]


def test_no_module_imports_itself_by_way_of_others(graph: dict[str, set[str]]) -> None:
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert (
        order.index("common.errors")
        < order.index("perception.pipeline")
        < order.index("nodes.perceive.face_perception")
    )


def test_packages_import_only_what_is_below_them(graph: dict[str, set[str]]) -> None:
    rank = {package: index for index, package in enumerate(PACKAGES)}
    upward = [
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if rank[other.split(".")[0]] > rank[name.split(".")[0]]
    ]
    assert not upward, "\n".join(upward)


def test_no_folder_is_crowded() -> None:
    folders = Counter(path.parent.relative_to(ROOT).as_posix() for path in modules().values())
    assert not {folder: count for folder, count in folders.items() if count > MOST_MODULES}
