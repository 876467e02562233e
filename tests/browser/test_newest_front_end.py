"""The pack's templates in the newest front end, on the canvas and as nodes drawn by Vue."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ..host import conftest as hosts
from ..host.server import ROOT, RUN_SECONDS, Host
from .conftest import PACK
from .front_end import STARTED
from .messages import PICTURES as PICTURES_OF_MESSAGES
from .messages import messages_of

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

VERSIONS = "web_custom_versions/Comfy-Org_ComfyUI_frontend"  # where ComfyUI keeps front ends that it downloads
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
LEGIBLE = 0.571  # below it the canvas draws no text: letters of 14 pixels would be smaller than 8
# Models, and a video of one's own.
CHOSEN_BY_USERS = {"CheckpointLoaderSimple", "UNETLoader", "CLIPLoader", "VAELoader", "LoadVideo"}
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.Persist": False}
WRONG = "app.graph.nodes.filter(node => node.has_errors).map(node => node.type)"
PICTURES = """() => {
    const drawn = [...document.querySelectorAll("[data-node-id] img")]
    const pictures = drawn.length ? drawn : app.graph.nodes.flatMap(node => node.imgs ?? [])
    return pictures.map(one => [one.naturalWidth, one.naturalHeight])
}"""

# Where nodes are drawn, in graph units with their titles: by id left, top, right, bottom. Vue's are elements.
BOXES = """() => Object.fromEntries(app.graph.nodes.map(node => {
    const drawn = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect()
    const title = LiteGraph.NODE_TITLE_HEIGHT
    const [width, height] = drawn ? [drawn.width, drawn.height].map(side => side / app.canvas.ds.scale)
        : [node.size[0], node.size[1] + title]
    const [left, top] = [node.pos[0], node.pos[1] - title]
    return [node.id, [left, top, left + width, top + height]]
}))"""

SHOW = """messages => messages.forEach(
    detail => app.api.dispatchEvent(new CustomEvent("executed", { detail }))
)"""

OPEN = "([workflow, name]) => app.loadGraphData(workflow, true, true, name, { openSource: 'template' })"

RUN_WITH = """weights => {
    app.graph.nodes.flatMap(node => node.widgets ?? []).find(one => one.name === "ckpt_name").value = weights
    return app.queuePrompt(0, 1)
}"""

NEW_SIZES = """() => Object.keys(LiteGraph.registered_node_types).filter(type => type.startsWith("PerceptionClip_"))
    .map(type => [type.slice("PerceptionClip_".length), ...LiteGraph.createNode(type).size])"""

SAVED_SIZE = """() => {
    const node = LiteGraph.createNode("PerceptionClip_JoinPerceptions")
    node.configure({ ...node.serialize(), size: [280, 150] })
    return [...node.size]
}"""

OFFERED = """() => Object.keys(
    document.getElementById("vue-app").__vue_app__.config.globalProperties.$pinia._s.get("nodeDef").allNodeDefsByName
).filter(name => name.startsWith("SubgraphBlueprint."))"""

MEASURE = """async () => {
    const [measure] = app.graph.nodes
    const [photo, preview] = ["LoadImage", "PreviewImage"].map(type => LiteGraph.createNode(type))
    app.graph.add(photo)
    app.graph.add(preview)
    photo.widgets.find(one => one.name === "image").value = "example.png"
    photo.connect(0, measure, 0)
    photo.connect(0, measure, 1)
    measure.connect(measure.outputs.findIndex(one => one.name === "picture"), preview, 0)
    await app.queuePrompt(0, 1)
    return preview.id
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


def load(page: Page, path: Path) -> dict[str, Any]:
    """Open a workflow as the template browser does; return it."""
    workflow: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    page.evaluate(OPEN, [workflow, path.stem])
    page.wait_for_timeout(1000)  # the search for missing models follows
    return workflow


def test_templates_open_legible_and_have_room_for_a_run(page: Page, host: Host) -> None:
    for name in PICTURES_OF_MESSAGES:
        width, height = map(int, name.removesuffix(".png").split("x"))
        host.put_picture(name, np.full((height, width, 3), 128, dtype=np.uint8))
    for path in WORKFLOWS:
        workflow = load(page, path)
        assert set(page.evaluate(WRONG)) <= CHOSEN_BY_USERS, path.stem
        assert page.evaluate("app.canvas.ds.scale") >= LEGIBLE, path.stem
        assert crowded(page, workflow) == [], path.stem
        messages = messages_of(workflow)
        page.evaluate(SHOW, messages)
        videos = sum(node["type"] == "SaveVideo" for node in workflow["nodes"])  # whose picture is no video
        expected = sum("images" in message["output"] for message in messages) - videos
        expected += sum(node["type"] == "LoadImage" for node in workflow["nodes"])
        page.wait_for_function(f"({PICTURES})().filter(([width]) => width).length >= {expected}")
        page.wait_for_timeout(200)  # nodes grow once the pictures are there
        assert page.get_by_text("Video failed to load").count() <= videos, path.stem
        assert crowded(page, workflow) == [], path.stem


def crowded(page: Page, workflow: dict[str, Any]) -> list[str]:
    """Return the pairs that overlap: two nodes, two groups, or a node and a group of which it is only partly inside."""
    types = {str(node["id"]): node["type"] for node in workflow["nodes"]}
    nodes = [(types[id], box) for id, box in page.evaluate(BOXES).items()]
    groups = [(group["title"], corners(*group["bounding"])) for group in workflow["groups"]]
    pairs = [pair for kind in (nodes, groups) for pair in combinations(kind, 2) if overlap(pair[0][1], pair[1][1])]
    pairs += [
        (node, group)
        for node, group in product(nodes, groups)
        if overlap(node[1], group[1]) and not inside(node[1], group[1])
    ]
    return [f"{one}, {other}" for (one, _), (other, _) in pairs]


def corners(left: float, top: float, width: float, height: float) -> list[float]:
    return [left, top, left + width, top + height]


def overlap(one: list[float], other: list[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(one: list[float], other: list[float]) -> bool:
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] and one[3] <= other[3]


def test_after_a_run_nodes_are_still_in_their_groups(page: Page, host: Host, weights: str) -> None:
    workflow = load(page, ROOT / "workflows" / "collect_dataset.json")
    page.evaluate(RUN_WITH, weights)
    wait_until_idle(page, host)
    page.wait_for_function(f"({PICTURES})().length === 4")  # the photo, the face, the sample, and the dataset's faces
    assert crowded(page, workflow) == []


def test_a_new_node_has_room_for_its_title_and_labels(page: Page) -> None:
    sizes = {type: (width, height) for type, width, height in page.evaluate(NEW_SIZES)}
    assert len(sizes) >= 25 and min(width for width, _ in sizes.values()) >= 300
    assert sizes["EmotionPrompts"][0] >= 520 and sizes["TextEncode"][1] >= 400
    saved = page.evaluate(SAVED_SIZE)
    assert saved == [280, 150]  # smaller than new: a saved graph keeps its sizes


def test_subgraph_blueprints_are_offered_and_one_runs(page: Page, host: Host) -> None:
    """The host of these tests knows no blueprints, so the page is served what a newer one would."""
    files = {path.stem: path.read_text(encoding="utf-8") for path in BLUEPRINTS}
    entry = {"source": "custom_node", "info": {"node_pack": PACK}}
    served = {name: entry | {"name": name, "data": data} for name, data in files.items()}
    page.route("**/global_subgraphs", lambda route: route.fulfill(json=served))
    page.reload()
    page.wait_for_function(STARTED)
    page.wait_for_function(f"({OFFERED})().length === {len(files)}")
    load(page, ROOT / "subgraphs" / "Measure an Expression.json")
    preview = str(page.evaluate(MEASURE))
    wait_until_idle(page, host)
    [last] = host.get("/history?max_items=1").values()
    assert last["status"]["status_str"] == "success" and len(last["outputs"][preview]["images"]) == 1


def wait_until_idle(page: Page, host: Host) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while host.get("/queue") != {"queue_running": [], "queue_pending": []}:
        assert time.monotonic() < deadline
        page.wait_for_timeout(200)


def test_a_training_shows_one_picture(page: Page, host: Host, weights: str) -> None:
    """Nodes drawn by Vue would keep the last live picture beside the result."""
    load(page, ROOT / "workflows" / "face_to_expression.json")
    page.evaluate(TRAIN_ALONE, weights)
    wait_until_idle(page, host)
    page.wait_for_function(f"({PICTURES})().flat().every(side => side > 600) && ({PICTURES})().length")
    assert len(page.evaluate(PICTURES)) == 1
