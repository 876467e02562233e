"""The nodes' names and explanations in other languages: complete, and of nodes and inputs that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .schemas import schemas

LOCALES = Path(__file__).resolve().parents[2] / "locales"
LANGUAGES = ("en", "ja", "zh")
TRANSLATED = ("ja", "zh")  # English explanations stay in the schema, which is used where a text is missing
KANA, HAN = re.compile(r"[\u3040-\u30ff]"), re.compile(r"[\u4e00-\u9fff]")
SPECIAL = re.compile(r"[{}|@]")  # vue-i18n, which ComfyUI's front end uses, would not show these as they are


def load(language: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), f"a key stands twice: {[key for key, _ in pairs]}"
        return dict(pairs)

    text = (LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text, object_pairs_hook=once)
    return loaded


def texts(node: dict[str, Any]) -> Iterator[str]:
    """All that a node's entry says."""
    for value in node.values():
        if isinstance(value, str):
            yield value
        else:
            yield from texts(value)


def test_there_is_one_file_per_language() -> None:
    assert {path.relative_to(LOCALES).as_posix() for path in LOCALES.rglob("*.json")} == {
        f"{language}/nodeDefs.json" for language in LANGUAGES
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_input_and_output_has_a_name_and_nothing_else_has(language: str) -> None:
    found = load(language)
    assert list(found) == list(schemas())
    for node_id, schema in schemas().items():
        node = found[node_id]
        assert set(node) - {"description"} == {"display_name", "inputs", "outputs"}
        assert list(node["inputs"]) == [slot.name for slot in schema.inputs]
        assert list(node["outputs"]) == [str(number) for number in range(len(schema.outputs))]
        for slots in (node["inputs"], node["outputs"]):
            assert all(slot["name"] and slot.keys() <= {"name", "tooltip"} for slot in slots.values())
        for which in ("inputs", "outputs"):  # two that are called the same could not be told apart
            names = [slot["name"] for slot in node[which].values()]
            assert len(set(names)) == len(names), (node_id, names)


def test_names_in_english_are_those_of_the_schema() -> None:
    for node_id, schema in schemas().items():
        node = load("en")[node_id]
        assert node["display_name"] == schema.display_name
        assert [slot["name"] for slot in node["inputs"].values()] == [slot.name for slot in schema.inputs]
        assert [slot["name"] for slot in node["outputs"].values()] == [slot.shown for slot in schema.outputs]


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_explains_nodes_and_inputs_in_its_script(language: str) -> None:
    for node_id, node in load(language).items():
        assert HAN.search(node["display_name"])
        for text in [node["description"], *(one["tooltip"] for one in node["inputs"].values())]:
            assert bool(KANA.search(text)) == (language == "ja"), (node_id, text)
            assert language == "ja" or HAN.search(text), (node_id, text)


@pytest.mark.parametrize("language", TRANSLATED)
def test_translations_keep_the_numbers_and_choices(language: str) -> None:
    for node_id, schema in schemas().items():
        for slot in schema.inputs:
            text = load(language)[node_id]["inputs"][slot.name]["tooltip"]
            for word in re.findall(r"\d[\d.,]*\d|\d", slot.options["tooltip"]):
                assert word in text, (node_id, slot.name, word)
            said = [choice for choice in slot.options.get("options", []) if f"{choice}: " in slot.options["tooltip"]]
            assert all(choice in text for choice in said), (node_id, slot.name, said)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_shown_as_they_are(language: str) -> None:
    for node in load(language).values():
        for text in texts(node):
            assert text == text.strip()
            assert not SPECIAL.search(text), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_thing_has_one_name_in_a_language(language: str) -> None:
    """Inputs that stand for the same on several nodes are called the same on all."""
    names: dict[str, set[str]] = {}
    for node in load(language).values():
        for name, slot in node["inputs"].items():
            names.setdefault(name, set()).add(slot["name"])
    different = {name: found for name, found in names.items() if len(found) > 1}
    assert different.keys() <= {"missing", "neutral", "faces", "prompts", "subject"}, different  # two things each
