"""What a ComfyUI that has the pack lists of it, and what its start leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from .server import PACK, ROOT, Host

NODES = sorted(path.name for path in (ROOT / "web" / "docs").iterdir() if path.is_dir())
TASKS = ("perceive", "edit", "regions", "steer", "measure", "train")


def test_comfyui_lists_every_node(host: Host) -> None:
    listed = {name: info["category"] for name, info in host.get("/object_info").items() if name in NODES}
    assert sorted(listed) == NODES
    assert set(listed.values()) == {f"Perception CLIP/{task}" for task in TASKS}


@pytest.mark.parametrize("node", NODES)
def test_everything_on_a_node_explains_itself(host: Host, node: str) -> None:
    info = host.get(f"/object_info/{node}")[node]
    assert info["description"] and all(info["output_tooltips"])
    for name, (kind, options) in (info["input"].get("required", {}) | info["input"].get("optional", {})).items():
        assert options["tooltip"], name
        if kind in ("INT", "FLOAT"):
            assert options["min"] <= options["default"] <= options["max"], name
    page = host.read(f"/extensions/{PACK}/docs/{node}/en.md").decode()
    assert page.startswith(f"# {info['display_name']}\n")


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
