"""What a user meets in the front end: the pack's templates, each node's help, and a first picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ..host.server import ROOT, Host
from .conftest import PACK
from .front_end import FrontEnd

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
HELP = sorted((ROOT / "web" / "docs").glob("*/en.md"))
RUN_MILLISECONDS = 600_000
PICTURES_SHOWN = "[...document.querySelectorAll('.node-help-content img')].every(one => one.naturalWidth > 0)"
LIVE = "WebcamCapture"  # the camera sets its widgets


def open_workflow(front_end: FrontEnd, path: Path) -> dict[str, dict[str, Any]]:
    """Load a template, and close the offer of its models after a look at it; return its nodes by id."""
    front_end.open_template(PACK, path.stem)
    nodes = {str(node["id"]): node for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]}
    models = [model for node in nodes.values() for model in node["properties"].get("models", [])]
    if models:
        expected = {f"{model['directory']} / {model['name']}" for model in models}
        assert set(front_end.offered_models()) == expected
        front_end.close_dialog()
    return nodes


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_template_is_on_the_canvas_as_in_its_file(
    front_end: FrontEnd, inputs: None, path: Path, screenshots: Path | None
) -> None:
    nodes = open_workflow(front_end, path)
    assert front_end.dialogs() == [] and front_end.toasts() == []
    shown = front_end.nodes()
    assert [id for id, node in shown.items() if not node["known"]] == []
    assert {id: node["type"] for id, node in shown.items()} == {id: node["type"] for id, node in nodes.items()}
    for id, node in nodes.items():
        assert shown[id]["title"] == node.get("title", shown[id]["title"])
        if node["type"] != LIVE:
            assert shown[id]["values"] == node.get("widgets_values", []), node["type"]
    if screenshots is not None:
        front_end.screenshot(screenshots / f"{path.stem}.png")


def test_every_node_has_its_help_page(front_end: FrontEnd, host: Host) -> None:
    ours = {name for name in host.get("/object_info") if name.startswith("PerceptionClip_")}
    assert ours == {path.parent.name for path in HELP}
    help_page = front_end.page.locator(".node-help-content")
    for path in HELP:
        front_end.open_help(path.parent.name)
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        help_page.get_by_role("heading", name=headings[0], exact=True).wait_for()
        assert help_page.locator("h1, h2, h3").all_inner_texts() == headings, path
        front_end.page.wait_for_function(PICTURES_SHOWN)
        assert front_end.errors == []  # no 404 of a page or of a picture in it


def test_users_of_other_languages_get_names_in_theirs_and_help_in_english(front_end: FrontEnd) -> None:
    names = json.loads((ROOT / "locales" / "ja" / "nodeDefs.json").read_text(encoding="utf-8"))
    front_end.start(language="ja")
    for node in ("PerceptionClip_FacePerception", "PerceptionClip_Projection"):
        front_end.open_help(node)
        assert [shown["title"] for shown in front_end.nodes().values()] == [names[node]["display_name"]]
        heading = (
            (ROOT / "web" / "docs" / node / "en.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        )
        front_end.page.locator(".node-help-content").get_by_role("heading", name=heading, exact=True).wait_for()
        front_end.page.wait_for_function(PICTURES_SHOWN)
        missing = f"404 {front_end.host.url}/extensions/{PACK}/docs/{node}/ja.md"
        assert front_end.errors == [missing]  # where the front end looks first
        front_end.errors.clear()


def test_perceptions_have_a_color_of_their_own_in_every_palette(front_end: FrontEnd) -> None:
    for palette in ("dark", "light", "nord"):
        front_end.start(palette=palette)
        colors = front_end.colors()
        assert colors["PERCEPTION"] == "#2EC4B6"
        assert list(colors.values()).count("#2EC4B6") == 1 and len(colors) > 10
        assert front_end.color_by_vue("PERCEPTION") == "#2EC4B6"
    front_end.choose_palette("github")
    assert front_end.colors()["PERCEPTION"] == "#2EC4B6"


def test_what_a_node_says_stays_on_it_and_is_no_markup(front_end: FrontEnd) -> None:
    front_end.add("PerceptionClip_Projection")
    for note in ("<img src='nowhere.png'>", "another & another"):
        front_end.page.evaluate("note => app.graph.nodes[0].onExecuted({text: ['a table'], note: [note]})", note)
        front_end.page.wait_for_timeout(200)
        assert front_end.notes() == {"PerceptionClip_Projection": note}
        assert front_end.page.locator("img[src='nowhere.png']").count() == 0
    [node] = front_end.page.evaluate("app.graph.serialize().nodes")
    assert note not in node["widgets_values"]
    prompt = front_end.page.evaluate("app.graphToPrompt().then(prompt => prompt.output)")
    assert "note" not in next(iter(prompt.values()))["inputs"]


def test_a_graph_that_was_saved_without_where_still_steers_all_tokens(front_end: FrontEnd) -> None:
    front_end.add("PerceptionClip_Projection")
    [shown] = front_end.nodes().values()
    assert shown["values"][-1] == "end"
    graph = front_end.page.evaluate("app.graph.serialize()")
    graph["nodes"][0].pop("widgets_values_named", None)  # newer front ends write the values with their names, too
    graph["nodes"][0]["widgets_values"].pop()
    front_end.page.evaluate("graph => app.loadGraphData(graph)", graph)
    [shown] = front_end.nodes().values()
    assert shown["values"][-1] == "all"


def run_to_a_picture(front_end: FrontEnd, weights: str) -> None:
    """Choose the checkpoint, run what is on the canvas, small and in two steps, and wait for the picture."""
    front_end.set("CheckpointLoaderSimple", "ckpt_name", weights)
    front_end.set("EmptyLatentImage", "width", 128)
    front_end.set("EmptyLatentImage", "height", 128)
    front_end.set("KSampler", "steps", 2)
    front_end.run()
    front_end.page.wait_for_function(
        "app.graph.nodes.some(node => node.type === 'SaveImage' && node.imgs?.[0].naturalWidth === 128)",
        timeout=RUN_MILLISECONDS,
    )
    assert front_end.dialogs() == [] and front_end.toasts() == []


def test_the_first_picture_needs_three_steps_and_no_training_of_ones_own(
    front_end: FrontEnd, inputs: None, weights: str, screenshots: Path | None
) -> None:
    """The README's three steps, with nothing trained before. The photo is chosen already."""
    open_workflow(front_end, ROOT / "workflows" / "face_to_expression.json")
    run_to_a_picture(front_end, weights)
    used, does, *_ = front_end.notes()["PerceptionClip_TextEncode"].splitlines()
    assert used.startswith("starter.safetensors, trained with comfyui-clip:")
    assert does.startswith("first of 1 face: shifts the subject “person” (1 token) by ")
    if screenshots is not None:
        front_end.screenshot(screenshots / "face_to_expression_run.png")
    starter = front_end.notes()["PerceptionClip_StarterProjection"]
    assert starter.startswith("Ready. Right for unseen synthetic faces: emotion ") and len(starter.splitlines()) == 1
    assert front_end.cut_off() == []


def test_a_photo_becomes_a_picture_without_training(
    front_end: FrontEnd, inputs: None, weights: str, screenshots: Path | None
) -> None:
    nodes = open_workflow(front_end, ROOT / "workflows" / "emotion_prompts.json")
    run_to_a_picture(front_end, weights)
    notes = front_end.notes()
    assert notes["PerceptionClip_FacePerception"] == "1 face in 1 picture; the first looks happy (97%)"
    assert notes["PerceptionClip_EmotionPrompts"].startswith("first of 1 face: happy 97%")
    assert front_end.cut_off() == []
    if screenshots is not None:
        front_end.screenshot(screenshots / "emotion_prompts_run.png")
    for id, node in front_end.nodes().items():
        assert node["size"] == nodes[id]["size"], f"{node['type']} grows when it has run, over what lies below it"
