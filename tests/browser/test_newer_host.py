"""What newer versions of ComfyUI and its front end offer, as a user meets it; in `COMFYUI_NEW_PATH` if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..host import conftest as hosts
from ..host.server import Host
from .conftest import serving
from .front_end import STARTED, FrontEnd

PERCEIVE, BLUEPRINT = "PerceptionClip_FacePerception", "Measure an Expression"
RUN_MILLISECONDS = 120_000

# A photo, then these nodes, each linked to the one before it.
CHAIN = """types => {
    app.graph.clear()
    const nodes = ["LoadImage", ...types].map(type => LiteGraph.createNode(type))
    nodes.forEach((node, index) => { app.graph.add(node); node.pos = [450 * index, 100] })
    nodes[0].widgets.find(one => one.name === "image").value = "example.png"
    nodes.slice(1).forEach((node, index) => nodes[index].connect(0, node, 0))
}"""

MEASURE = """() => {
    const [measure] = app.graph.nodes
    const [photo, preview] = ["LoadImage", "PreviewImage"].map(type => LiteGraph.createNode(type))
    for (const node of [photo, preview]) app.graph.add(node)
    photo.widgets.find(one => one.name === "image").value = "example.png"
    photo.connect(0, measure, 0)
    photo.connect(0, measure, 1)
    measure.connect(measure.outputs.findIndex(one => one.name === "picture"), preview, 0)
}"""

SHOWN = "app.graph.nodes.some(node => node.type === 'PreviewImage' && node.imgs?.[0].naturalWidth > 600)"


@pytest.fixture(scope="module")
def host(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    yield from serving(hosts.find_newer_host(tmp_path_factory.mktemp("newer")))


def run_to_notes(front_end: FrontEnd) -> dict[str, str]:
    """Run the graph; return the messages once all nodes of the pack have one."""
    front_end.page.evaluate("app.queuePrompt(0, 1)")
    front_end.page.wait_for_function(
        "app.graph.nodes.filter(node => node.widgets?.some(one => one.name === 'note')).length === 3",
        timeout=RUN_MILLISECONDS,
    )
    return front_end.notes()


def test_notes_come_back_when_a_reloaded_page_runs_from_the_cache(
    front_end: FrontEnd, host: Host, inputs: None
) -> None:
    if not host.get(f"/object_info/{PERCEIVE}")[PERCEIVE].get("has_intermediate_output"):
        pytest.skip(f"the ComfyUI in {host.checkout} sends messages of nodes only when they run")
    host.post("/settings/Comfy.Workflow.Persist", True)  # the page opens the graph again
    front_end.page.reload()
    front_end.page.wait_for_function(STARTED)
    edit = "PerceptionClip_EditPerception"  # which is no output: its message is sent again only by newer versions
    front_end.page.evaluate(CHAIN, [PERCEIVE, edit, "PerceptionClip_PerceptionInfo"])
    before = run_to_notes(front_end)
    assert before[PERCEIVE] == "1 face in 1 picture; the first looks happy (97%)" and before[edit]
    front_end.page.wait_for_timeout(2000)  # the graph is kept a moment after a change
    front_end.page.reload()
    front_end.page.wait_for_function(STARTED)
    front_end.page.wait_for_function("app.graph.nodes.length === 4")
    assert front_end.notes() == {}
    assert run_to_notes(front_end) == before
    [last] = host.get("/history?max_items=1").values()
    [cached] = [data["nodes"] for event, data in last["status"]["messages"] if event == "execution_cached"]
    assert len(cached) == 4
    front_end.errors.clear()  # of loading the page


def test_a_blueprint_is_found_and_runs(front_end: FrontEnd, host: Host, inputs: None) -> None:
    try:
        host.get("/global_subgraphs")
    except OSError:
        pytest.skip(f"the ComfyUI in {host.checkout} knows no blueprints")
    front_end.page.wait_for_function("app.graph.nodes.length")  # ComfyUI's own first workflow
    front_end.page.evaluate("app.graph.clear()")
    front_end.insert(BLUEPRINT)
    front_end.page.evaluate(MEASURE)
    front_end.page.evaluate("app.queuePrompt(0, 1)")
    front_end.page.wait_for_function(SHOWN, timeout=RUN_MILLISECONDS)
