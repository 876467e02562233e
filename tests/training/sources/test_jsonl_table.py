from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.training.sources.items import SourceError, SourceItem
from perception_clip.training.sources.media import PictureFile
from perception_clip.training.sources.tables import LONGEST_ROW, list_jsonl

from .trees import touch, write


def test_jsonl(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    path = write(
        tmp_path / "list.jsonl",
        '\ufeff{"path": "a.png", "prompt": ["a grin", " a wide grin ", "", null, "a grin"], "group": "anna"}\r\n'
        "\n"
        '{"Path": "a.png", "prompt": "лицо", "split": "test", "intensity": 0.50, "age": 31, "beard": true, "x": null}\n'
        '{"path": "a.png", "label": "happy", "take": 123456789012345678901234567890}',
    )
    listing = list_jsonl(path)
    assert listing.skipped == []
    picture = PictureFile(tmp_path / "a.png")
    assert listing.items == [
        SourceItem(picture, "a.png", "anna", ("a grin", "a wide grin")),
        SourceItem(
            picture, "a.png", "a.png", ("лицо",), split="test",
            columns={"intensity": "0.50", "age": "31", "beard": "true"},
        ),
        SourceItem(picture, "a.png", "a.png", label="happy", columns={"take": "123456789012345678901234567890"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "it is not valid JSON (it ends too early)"),
        ('{"path": oops}', "it is not valid JSON (at 'oops}', column 10)"),
        ('{"path": "a.png", "prompt": NaN}', r"it is not valid JSON \(NaN is not a JSON number\)"),
        ("[" * 100_000, "it is not valid JSON (it is nested too deeply)"),
        ('["a.png", "x"]', "it is not a JSON object"),
        ('{"path": ["a.png"], "prompt": "x"}', "the value of 'path' is not text"),
        ('{"path": "a.png", "prompt": {"en": "x"}}', "the value of 'prompt' is not text"),
        ('{"path": "a.png", "prompt": ["x", ["y"]]}', "the value of 'prompt' is not text"),
        ('{"path": "a.png", "prompt": "x", "Prompt": "y"}', "the key 'prompt' appears twice"),
        ('{"path": "a.png", "prompt": []}', "the prompt is empty"),
        ('{"path": "a.png"}', "it has no prompt and no label; its keys are: path"),
        ('{"prompt": "x", "photo": "a.png"}', "it has no path; its keys are: prompt, photo"),
        ('{"path": "", "prompt": "x"}', "the path is empty"),
        ('{"path": "a.png", "prompt": "\\ud800"}', r"it contains half a character"),
        ('{"path": "a\\u0000.png", "prompt": "x"}', "it contains a NUL character"),
    ],
)
def test_lines_that_cannot_be_used_are_named(tmp_path: Path, line: str, reason: str) -> None:
    touch(tmp_path / "a.png")
    path = write(tmp_path / "list.jsonl", f'{{"path": "a.png", "prompt": "fine"}}\n{line}\n')
    listing = list_jsonl(path)
    assert [item.prompts for item in listing.items] == [("fine",)]
    ((which, why),) = listing.skipped
    assert which == "list.jsonl line 2" and why.startswith(reason.replace("\\", ""))


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no line can be used. a.jsonl line 1: it is not a JSON object"):
        list_jsonl(write(tmp_path / "a.jsonl", '"path"'))
    with pytest.raises(SourceError, match="no line can be used. a.jsonl: it has no rows"):
        list_jsonl(write(tmp_path / "a.jsonl", "\n\n"))
    with pytest.raises(SourceError, match="not UTF-8 text"):
        list_jsonl(write(tmp_path / "a.jsonl", '{"path": "радость.png"}', encoding="cp1251"))
    with pytest.raises(SourceError, match=r"no entry can be used. a.jsonl entry 1: the file .*no.png does not exist"):
        list_jsonl(write(tmp_path / "a.jsonl", '[{"path": "no.png", "prompt": "p"},\n{"prompt": "p"}]'))
    with pytest.raises(SourceError, match="line 2 is longer than 1048576 characters"):
        list_jsonl(write(tmp_path / "a.jsonl", "\n" + " " * (LONGEST_ROW + 1)))


def test_an_array_and_other_names_of_keys(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    rows = [{"file_name": "a.png", "text": ["a grin", "a smile"], "speaker": 3}, {"image": "a.png", "emotion": "sad"}]
    for text in (json.dumps(rows), "\n \n" + json.dumps(rows, indent=1), "\n".join(map(json.dumps, rows))):
        listing = list_jsonl(write(tmp_path / "list.json", text))
        assert [(item.prompts, item.label, item.group) for item in listing.items] == [
            (("a grin", "a smile"), "", f"{tmp_path.parent.name}/3"),
            ((), "sad", "a.png"),
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_text_of_other_programs(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path / "ä.png")
    rows = [{"path": "ä.png", "prompt": "a grin"}, {"path": "ä.png", "prompt": "fröhlich"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    for text in ("\n".join(lines), f"[{', '.join(lines)}]"):
        listing = list_jsonl(write(tmp_path / "list.json", text, encoding=encoding))
        assert [item.prompts for item in listing.items] == [("a grin",), ("fröhlich",)]
        assert any("Windows-1252" in note for note in listing.notes) == (encoding == "cp1252")


@pytest.mark.parametrize("indent", [None, 1])
def test_one_object_is_no_list(tmp_path: Path, indent: int | None) -> None:
    touch(tmp_path / "a.png")
    row = {"path": "a.png", "prompt": "x"}
    for content in ({"data": [row]}, {"a": row}):
        with pytest.raises(SourceError, match=r"the file is one JSON object, but must be a list of objects"):
            list_jsonl(write(tmp_path / "l.json", json.dumps(content, indent=indent)))


def test_prompts_in_the_plural_and_the_place_of_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    (item,) = list_jsonl(write(tmp_path / "l.jsonl", '{"path": "a.png", "prompts": ["a grin", "a smile"]}')).items
    assert item.prompts == ("a grin", "a smile")
    with pytest.raises(SourceError, match=r"l\.json line 3: it is not valid JSON \(at 'oops\]', column 1\)"):
        list_jsonl(write(tmp_path / "l.json", '[\n{"path": "a.png", "prompt": "x"},\noops]'))


def test_lists_and_objects_without_a_role_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    row = {"path": "a.png", "label": "sad", "tags": ["a", "b"], "box": {"x": 1}, "age": 31}
    listing = list_jsonl(write(tmp_path / "l.jsonl", f"{json.dumps(row)}\n{json.dumps({**row, 'tags': 'a'})}\n"))
    assert [item.columns for item in listing.items] == [{"age": "31"}, {"tags": "a", "age": "31"}]
    assert (listing.notes, listing.skipped) == (["lists and objects are ignored: tags, box"], [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ROW = st.fixed_dictionaries({"path": st.just("a.png") | JSON, "prompt": JSON}, optional={"label": JSON, "split": JSON})


@settings(max_examples=60)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(alphabet='{}[]":,\\u0d8 \nnulltrue"path"prompt.', max_size=200).map(str.encode),
        st.lists(ROW | JSON, max_size=4).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    )
)
def test_any_bytes_are_listed_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "jsonl"
    touch(folder / "a.png")
    path = folder / "list.jsonl"
    path.write_bytes(content)
    try:
        listing = list_jsonl(path)
    except SourceError as error:
        assert str(path) in str(error)
    else:
        assert listing.items
        for item in listing.items:
            assert item.prompts or item.label
            assert item.media.digest()
            "\0".join(
                (item.source, item.group, *item.prompts, item.label, *item.columns, *item.columns.values())
            ).encode()
