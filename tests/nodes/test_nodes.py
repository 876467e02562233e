"""The nodes' folder, without a host: it is left alone until ComfyUI asks, and one file knows ComfyUI."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest
from PIL import Image

from .schemas import Slot, schemas

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "nodes").rglob("*.py")}
HOST_MODULES = {"comfy", "comfy_execution", "execution", "folder_paths", "nodes", "server"}
DOCS = ROOT / "web" / "docs"
NODE_IDS = list(schemas())
PICTURE = re.compile(r"!\[([^]]*)\]\(([^)]*)\)")
LARGEST_PICTURE, LARGEST_WEB = 60_000, 1_500_000  # bytes
VARIABLE = "…"  # in a message, and in what a page quotes of it


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of the absolute imports anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_only_host_knows_comfyui_beyond_its_node_api() -> None:
    knowing = {name for name, tree in SOURCES.items() if imported(tree) & HOST_MODULES}
    assert knowing == {"host.py"}


def test_every_node_has_a_help_page_and_every_page_a_node() -> None:
    assert len(NODE_IDS) >= 16
    assert all(node_id.startswith("PerceptionClip_") for node_id in NODE_IDS)
    assert {path.name for path in DOCS.iterdir() if path.is_dir()} == set(NODE_IDS)


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_users_of_other_languages_get_the_english_page(node_id: str) -> None:
    other = (DOCS / f"{node_id}.md").read_text(encoding="utf-8")
    assert other == page(node_id), "run tools/make_help_pictures.py"


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_help_page_names_each_input_and_output_with_its_range(node_id: str) -> None:
    schema, text = schemas()[node_id], page(node_id)
    assert text.startswith(f"# {schema.display_name}\n")
    inputs, outputs = table(text, "Inputs"), table(text, "Outputs?")
    assert list(inputs) == [slot.name for slot in schema.inputs]
    assert list(outputs) == [slot.shown for slot in schema.outputs]
    for slot in schema.inputs:
        missing = [value for value in values_of(slot) if value not in inputs[slot.name]]
        assert not missing, f"{slot.name} may be {missing}, and its page does not say so: {inputs[slot.name]}"


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_help_page_quotes_messages_that_the_code_gives(node_id: str) -> None:
    part = section(page(node_id), "Typical mistakes")
    assert part.count("\n- **") >= 2
    headings = re.findall(r"\*\*(.*?)\*\*", " ".join(part.split()))
    for quoted in re.findall(r'"([^"]+)"', " ".join(headings)):
        words = [re.escape(piece.strip()) for piece in quoted.split(VARIABLE) if piece.strip()]
        pattern = re.compile(".*".join(words), re.DOTALL)
        assert any(pattern.search(message) for message in messages()), quoted


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_help_page_shows_a_small_picture_wherever_the_pack_is_installed(node_id: str) -> None:
    """ComfyUI's front end takes links in a page as relative to the pack's docs folder, not to the page."""
    found = PICTURE.findall(page(node_id))
    assert found
    for alternative, link in found:
        assert len(alternative) > 10
        assert re.fullmatch(r"PerceptionClip_\w+/\w+\.(png|jpg)", link)
        assert (DOCS / link).stat().st_size <= LARGEST_PICTURE
        with Image.open(DOCS / link) as picture:
            picture.load()
            assert 400 <= picture.width <= 1024


def test_web_holds_only_what_is_shown_and_little_of_it() -> None:
    linked = {link for node_id in NODE_IDS for _, link in PICTURE.findall(page(node_id))}
    files = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*") if path.is_file()}
    assert files == linked | {f"{node_id}{page}" for node_id in NODE_IDS for page in ("/en.md", ".md")}
    assert sum(path.stat().st_size for path in (ROOT / "web").rglob("*") if path.is_file()) < LARGEST_WEB


def page(node_id: str) -> str:
    return (DOCS / node_id / "en.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of the same rank."""
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def table(text: str, heading: str) -> dict[str, str]:
    """The first table below a heading: name → its row; a row may be for several names."""
    [first, *_] = re.findall(r"(?:^\|.*\n)+", section(text, heading), re.MULTILINE)
    rows = first.splitlines()[2:]
    return {name.strip(): row for row in rows for name in row.split("|")[1].split(",")}


def values_of(slot: Slot) -> list[str]:
    """What a row has to say of an input: its least and greatest value, or its choices that are the same everywhere."""
    if slot.kind in ("INT", "FLOAT"):
        ends = (slot.options["min"], slot.options["max"])
        return ["2³² − 1" if end == 2**32 - 1 else f"{end:,}".replace("-", "−") for end in map(exact, ends)]
    if slot.kind == "COMBO" and slot.name not in ("checkpoint", "dataset", "name", "emotion_model"):  # the user's files
        return list(slot.options["options"])
    return ["on", "off"] if slot.kind == "BOOLEAN" else []


def exact(value: float) -> float:
    return int(value) if value == int(value) else value


@lru_cache(maxsize=1)
def messages() -> list[str]:
    """Every text in the pack's code, with `VARIABLE` for what is filled in."""
    found = []
    for folder in ("nodes", "perception", "projection", "training"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else VARIABLE for part in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found
