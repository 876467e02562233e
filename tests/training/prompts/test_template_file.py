from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perception_clip.training.prompts.template_file import SHIPPED, Template, TemplateError, read_templates


@pytest.mark.parametrize(
    ("text", "value", "prompt"),
    [
        ("a {x} face", "angry", "an angry face"),
        ("an {x} face", "happy", "a happy face"),
        ("A {x} face", "uneasy", "An uneasy face"),
        ("a {x}", "unique", "a unique"),
        ("a {x}", "euphoric", "a euphoric"),
        ("a {x}", "utterly sad", "an utterly sad"),
        ("a {x}", "used up", "a used up"),
        ("a {x}", "one-eyed", "a one-eyed"),
        ("a {x}", "honest", "an honest"),
        ("a {x}-year-old", "8", "an 8-year-old"),
        ("a {x}-year-old", "11", "an 11-year-old"),
        ("a {x}-year-old", "18", "an 18-year-old"),
        ("a {x}-year-old", "180", "a 180-year-old"),
        ("a {x}-year-old", "80", "an 80-year-old"),
        ("a {x}-year-old", "110", "a 110-year-old"),
        ("a {x}-year-old", "21", "a 21-year-old"),
        ("pizza {x}, a unit", "angry", "pizza angry, a unit"),
        ("{{{x}}} {{x}}", "a", "{a} {x}"),
        ("{X}{x}", "{x}", "{x}{x}"),
        ("vitamin a{x}", "e", "vitamin ae"),
        ("someone looking {x}, outdoors", "gently smiling", "someone gently smiling, outdoors"),
        ("a face that looks {x}", "smiling", "a face that is smiling"),
        ("a face that looks {x}", "happy", "a face that looks happy"),
        ("they look {x}", "laughing", "they are laughing"),
    ],
)
def test_filling(text: str, value: str, prompt: str) -> None:
    template = Template.parse(text)
    assert template.names == ("x",) and template.fill({"x": value}) == prompt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "braces do not match"),
        ("a } b", "braces do not match"),
        ("{a{b}", "braces do not match|is not a column name|has a format"),
        ("{}", "is not a column name"),
        ("{0}", "is not a column name"),
        ("{x.__class__}", "is not a column name"),
        ("{x[0]}", "is not a column name"),
        ("{x!r}", "has a format; write only {x}"),
        ("{x:>9999999999}", "has a format; write only {x}"),
        ("{x:{y}}", "has a format"),
        ("{ x}", "is not a column name"),
    ],
)
def test_what_is_no_template(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Template.parse(text)


@given(st.text(alphabet=st.sampled_from("ab {}[].!:0_é-\n")) | st.text())
@example("{a}{{b}}")
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        template = Template.parse(text)
    except TemplateError:
        assert "{" in text or "}" in text
        return
    filled = template.fill({name: "value" for name in template.names})
    rest = text.replace("{{", "").replace("}}", "")
    assert filled.count("value") >= len(template.names)
    assert template.names or filled == text.replace("{{", "{").replace("}}", "}")
    assert (rest.count("{") == 0) == (not template.names)


PLACEHOLDERS = {"{age}": "age", "{Stage name}": "stage name", "{é}": "é"}
LITERALS = {"a ": "a ", "{{": "{", "}}": "}", "é": "é", "x": "x"}


@given(st.lists(st.sampled_from([*PLACEHOLDERS, *LITERALS])))
def test_parts_come_back_as_written(pieces: list[str]) -> None:
    template = Template.parse("".join(pieces))
    names = [PLACEHOLDERS[piece] for piece in pieces if piece in PLACEHOLDERS]
    assert list(template.names) == list(dict.fromkeys(names))
    assert template.fill(dict.fromkeys(names, "")) == "".join(LITERALS.get(piece, "") for piece in pieces)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", r"line 1 is not valid JSON"),
        ("[]", r"bad\.json: this must be an object"),
        ("{}", r'bad\.json: "templates" is missing; add "templates": \["a photo of a {emotion} person"\]'),
        ('{"templates": []}', r"templates: there is no template; add one"),
        ('{"templates": "a {emotion}"}', r"templates: this must be a list of strings"),
        ('{"templates": ["ok", 3]}', r"templates: entry 2: 3 is not a string; put it in double quotes"),
        ('{"templates": ["ok", " "]}', r"templates: entry 2: the text is empty"),
        ('{"templates": ["a\\nb"]}', r"entry 1: .* contains a control character or an invalid character"),
        ('{"templates": ["\\ud800"]}', r"entry 1: .* contains a control character or an invalid character"),
        ('{"templates": ["ok", "{x.y}"]}', r"templates: entry 2: '{x\.y}': {x\.y} is not a column name"),
        ('{"templates": ["ok"], "label_templates": ["{"]}', r"label_templates: entry 1: '{': the braces do not match"),
        ('{"templates": ["ok"], "emotion": {}}', r"'emotion' is not a valid key; use templates, label_templates"),
        ('{"templates": ["ok"], "templates": ["ok"]}', r"the key 'templates' appears twice"),
        (
            '{"templates": ["ok"], "intensities": {"huge": ["x"]}}',
            r"intensities: 'huge' is not a valid key; use slight",
        ),
        ('{"templates": ["ok"], "intensities": {"slight": []}}', r"intensities: slight: the list is empty"),
        ('{"templates": ["ok"], "intensities": ["x"]}', r"intensities: this must be an object"),
        ('{"templates": ["ok"], "emotions": {"sad": {"slight": ["x"]}}}', r"emotions: sad: plain, strong missing"),
        ('{"templates": ["ok"], "emotions": {"sad": {"faint": ["x"]}}}', r"emotions: sad: 'faint' is not a valid key"),
        ('{"templates": ["ok"], "emotions": {"sad": "x"}}', r"emotions: sad: this must be a list"),
        ('{"templates": ["ok"], "emotions": {"sad": [[]]}}', r"emotions: sad: entry 1: \[\] is not a string"),
        (
            '{"templates": ["ok"], "emotions": {"joy": ["x"], "happy": ["y"]}}',
            r"happy: the label is the same as another one",
        ),
        ('{"templates": ["ok"], "emotions": {"-": ["x"]}}', r"emotions: -: the label has no text"),
        ("[" * 100000, r"bad\.json: "),
        ('{"templates": ' + "9" * 5000 + "}", r"bad\.json: "),
    ],
)
def test_files_that_are_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(TemplateError, match=message) as caught:
        read_templates(path)
    assert str(path) in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no\.json: the file cannot be read \(No such file"):
        read_templates(tmp_path / "no.json")
    (tmp_path / "x.yaml").write_text("a: b")
    with pytest.raises(TemplateError, match=r"must end in \.json or \.txt; rename it"):
        read_templates(tmp_path / "x.yaml")
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"not UTF-8 text"):
        read_templates(tmp_path / "x.txt")
    (tmp_path / "x.txt").write_text("\n\n")
    with pytest.raises(TemplateError, match=r"there is no template"):
        read_templates(tmp_path / "x.txt")
    (tmp_path / "x.txt").write_text("fine\n\n{nope!r}\n")
    with pytest.raises(TemplateError, match=r"x\.txt: line 3: '{nope!r}'"):
        read_templates(tmp_path / "x.txt")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["templates", "label_templates", "emotions", "intensities", "slight", "plain", "sad"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    try:
        file = read_templates(path)
    except TemplateError as error:
        assert str(path) in str(error)
    else:
        assert file.templates


def test_the_shipped_file() -> None:
    file = read_templates(SHIPPED)
    assert len(file.templates) == len(json.loads(SHIPPED.read_text())["templates"]) == 30
    assert {name for template in file.templates for name in template.names} == {"emotion", "intensity"}
    assert {name for template in file.label_templates for name in template.names} == {"label", "intensity"}
