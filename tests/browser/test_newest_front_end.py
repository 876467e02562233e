"""The pack's templates in the newest front end, on the canvas and as nodes drawn by Vue."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..host import conftest as hosts
from ..host.server import ROOT, RUN_SECONDS, Host
from .conftest import PACK
from .front_end import STARTED

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

VERSIONS = "web_custom_versions/Comfy-Org_ComfyUI_frontend"  # where ComfyUI keeps front ends that it downloads
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
# Models, and a video of one's own.
CHOSEN_BY_USERS = {"CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "VAELoader", "LoadVideo"}
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False}
WRONG = "app.graph.nodes.filter(node => node.has_errors).map(node => node.type)"
PICTURES = """() => {
    const drawn = [...document.querySelectorAll("[data-node-id] img")]
    const pictures = drawn.length ? drawn : app.graph.nodes.flatMap(node => node.imgs ?? [])
    return pictures.map(one => [one.naturalWidth, one.naturalHeight])
}"""

TRAIN_ALONE = """weights => {
    const kept = ["CheckpointLoaderSimple", "PerceptionClip_StarterProjection"]
    for (const node of [...app.graph.nodes]) if (!kept.includes(node.type)) app.graph.remove(node)
    const widgets = app.graph.nodes.flatMap(node => node.widgets)
    widgets.find(one => one.name === "ckpt_name").value = weights
    widgets.find(one => one.name === "samples").value = 700
    return app.queuePrompt(0, 1)
}"""


@pytest.fixture(scope="module")
def host(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A ComfyUI with the newest of the front ends that lie in its folder for them."""
    server = hosts.find_host(tmp_path_factory.mktemp("comfyui"))
    versions = [path for path in (server.checkout / VERSIONS).glob("*") if (path / "index.html").is_file()]
    if not versions:
        pytest.skip(f"no front end in {server.checkout / VERSIONS}: unpack static/ of comfyui-frontend-package there")
    server.front_end = max(versions, key=lambda path: [int(part) for part in path.name.split(".")])
    server.pack = server.pack.rename(server.pack.with_name(PACK))
    server.has_weights = hosts.link_weights(server)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["canvas", "vue"])
def page(request: pytest.FixtureRequest, browser: BrowserContext, host: Host, inputs: None) -> Iterator[Page]:
    for name, value in {**SETTINGS, "Comfy.VueNodes.Enabled": request.param == "vue"}.items():
        host.post(f"/settings/{name}", value)
    page = browser.new_page()
    page.goto(host.url)
    page.wait_for_function(STARTED)
    yield page
    page.close()


def load(page: Page, workflow: dict[str, Any]) -> None:
    page.evaluate("workflow => app.loadGraphData(workflow, true, true, 'template')", workflow)
    page.wait_for_timeout(1000)  # the search for missing models follows


def test_templates_ask_for_nothing_but_what_users_choose(page: Page) -> None:
    for path in WORKFLOWS:
        load(page, json.loads(path.read_text(encoding="utf-8")))
        assert set(page.evaluate(WRONG)) <= CHOSEN_BY_USERS, path.stem


def test_a_training_shows_one_picture(page: Page, host: Host, weights: str) -> None:
    """Nodes drawn by Vue would keep the last live picture beside the result."""
    workflow = json.loads((ROOT / "workflows" / "face_to_expression.json").read_text(encoding="utf-8"))
    load(page, workflow)
    page.evaluate(TRAIN_ALONE, weights)
    deadline = time.monotonic() + RUN_SECONDS
    while host.get("/queue") != {"queue_running": [], "queue_pending": []}:
        assert time.monotonic() < deadline
        page.wait_for_timeout(500)
    page.wait_for_function(f"({PICTURES})().flat().every(side => side > 600) && ({PICTURES})().length")
    assert len(page.evaluate(PICTURES)) == 1
