"""The nodes' folder, without a host: it is left alone until ComfyUI asks, and one file knows ComfyUI."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "nodes").glob("*.py")}
HOST_MODULES = {"comfy", "comfy_execution", "execution", "folder_paths", "nodes", "server"}
NODE_IDS = [
    node_id
    for path in (ROOT / "nodes").glob("*.py")
    for node_id in re.findall(r'node_id="(\w+)"', path.read_text(encoding="utf-8"))
]


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of the absolute imports anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_root_import_leaves_nodes_and_torch_alone() -> None:
    code = "import sys, perception_clip; print([m for m in sys.modules if m == 'torch' or '.nodes' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_host_knows_comfyui_beyond_its_node_api() -> None:
    knowing = {name for name, tree in SOURCES.items() if imported(tree) & HOST_MODULES}
    assert knowing == {"host.py"}


def test_every_node_has_a_help_page() -> None:
    assert len(NODE_IDS) == len(set(NODE_IDS)) >= 3
    for node_id in NODE_IDS:
        assert node_id.startswith("PerceptionClip_")
        page = (ROOT / "web" / "docs" / node_id / "en.md").read_text(encoding="utf-8")
        assert all(f"## {part}" in page for part in ("Inputs", "Output", "Typical mistakes"))
    assert {path.name for path in (ROOT / "web" / "docs").iterdir()} == set(NODE_IDS)
