from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.prompts.labels import INTENSITIES
from perception_clip.training.prompts.template_file import TemplateError
from perception_clip.training.prompts.templates import Templates

SHIPPED = Templates.load()


def all_prompts(label: str, intensity: str = "", templates: Templates = SHIPPED) -> list[str]:
    """Everything that templates give for a label."""
    columns = {"intensity": intensity}
    with pytest.raises(TemplateError) as caught:
        templates.prompts(label, columns, "x.png", 10**9)
    found = re.search(r"yield only ([\d,]+) different prompts?", str(caught.value))
    assert found is not None
    return list(templates.prompts(label, columns, "x.png", int(found[1].replace(",", ""))))


def file_of(folder: Path, **content: object) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_the_shipped_words_are_many_and_varied(emotion: str) -> None:
    words = SHIPPED.emotions[emotion]
    assert sum(map(len, words)) >= 20
    assert len(words) == (1 if emotion == "neutral" else len(INTENSITIES))
    assert len([template for template in SHIPPED.templates if "intensity" not in template.names]) >= 20
    assert len(SHIPPED.label_templates) >= 20
    assert len(all_prompts(emotion)) >= 24 * 8
    assert len(all_prompts(emotion, "strong")) >= 24 * 9 + 6 * 6 * 9
    assert all(len(words) >= 6 for words in SHIPPED.intensities.values())


def test_no_two_emotions_or_intensities_share_a_word() -> None:
    words = Counter(word for levels in SHIPPED.emotions.values() for level in levels for word in level)
    assert [word for word, count in words.items() if count > 1] == []
    shown = Counter(word for level in SHIPPED.intensities.values() for word in level)
    assert max(shown.values()) == 1


@pytest.mark.parametrize("label", [*EMOTIONS, "smug grin", "ironic"])
@pytest.mark.parametrize("intensity", ["", *INTENSITIES])
def test_the_shipped_prompts_are_grammatical(label: str, intensity: str) -> None:
    for prompt in all_prompts(label, intensity):
        assert not re.search(r"\b[Aa] (?!eu)[aeiou]|\b[Aa]n [^aeiou]|[{}]|  |\b(an?) (an?)\b|^\W|\W$", prompt), prompt
        assert not re.search(r"\b(looking|looks?|seems|feels) (\w+ )?\w+ing\b|\bafraid (person|face)", prompt), prompt


def test_the_intensity_chooses_the_words() -> None:
    for intensity, words in zip(("LO", "01", "02"), SHIPPED.emotions["angry"], strict=True):
        prompts = all_prompts("Anger", intensity)
        assert all(any(word in prompt for word in words) for prompt in prompts)
    assert set(all_prompts("angry")) < set(all_prompts("angry", "normal"))
    assert set(all_prompts("angry")) == set(all_prompts("angry", "XX"))  # CREMA-D's word for unknown
    assert any("theatrical expression" in prompt for prompt in all_prompts("angry", "theatrical"))
    assert set(all_prompts("calm", "02")) == set(all_prompts("neutral", "slight"))
    assert not any("intense" in prompt for prompt in all_prompts("neutral", "strong"))


def test_the_same_name_gets_the_same_prompts() -> None:
    assert SHIPPED.prompts("happy", {}, "a/1.png") == (
        "a portrait photo of someone, happy expression",
    )  # on every machine, in every version
    assert SHIPPED.prompts("Happiness", {"take": "3"}, "a/1.png") == ("a portrait photo of someone, happy expression",)
    assert SHIPPED.prompts("happy", {}, "a/1.png", 5)[:1] == ("a portrait photo of someone, happy expression",)


def test_names_reach_every_prompt_evenly() -> None:
    counts = Counter(SHIPPED.prompts("sad", {}, f"{number}.png")[0] for number in range(10000))
    assert set(counts) == set(all_prompts("sad"))
    assert max(counts.values()) < 3 * min(counts.values())


@given(count=st.integers(1, 200), name=st.text())
def test_prompts_of_one_picture_differ(count: int, name: str) -> None:
    prompts = SHIPPED.prompts("fear", {}, name, count)
    assert len(set(prompts)) == len(prompts) == count
    assert SHIPPED.prompts("fear", {}, name, count) == prompts


@given(label=st.text(), name=st.text())
def test_any_label_is_in_its_prompt(label: str, name: str) -> None:
    if not label.strip("_- \t\n\r\f\v\x1c\x1d\x1e\x1f\x85").split():
        return
    (prompt,) = Templates.load().prompts(f"odd {label}", {}, name)
    assert "odd" in prompt


def test_free_columns(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        templates=["a {age}-year-old {gender} looking {emotion}", "a {Gender} by {stage name}, {label}", "{{{label}}}"],
    )
    templates = Templates.load(path)
    prompts = templates.prompts("Joy", {"age": "18", "gender": "woman", "Intensity": "01"}, "1.png", 5)
    words = {prompt.split()[-1] for prompt in prompts if prompt.startswith("an 18-year-old woman ")}
    assert words and words <= set(SHIPPED.emotions["happy"][1])
    assert "{Joy}" in prompts
    assert templates.prompts("Joy", {}, "1.png") == ("{Joy}",)
    assert templates.prompts("Joy", {"age": " ", "gender": "man"}, "1.png") == ("{Joy}",)
    named = templates.prompts("Joy", {"gender": "male", "stage name": "Ada\n L."}, "1.png", 2)
    assert set(named) == {"{Joy}", "a male by Ada L., Joy"}


def test_templates_that_fit_nothing(tmp_path: Path) -> None:
    templates = Templates.load(file_of(tmp_path, templates=["{actor} {emotion}", "{actor} {take} {intensity}"]))
    with pytest.raises(TemplateError, match=r"mine\.json: no template can be used for 1\.png \(label 'sad'\).*columns "
                       r"that it does not have: actor, intensity, take\. Add a template"):  # fmt: skip
        templates.prompts("sad", {"age": "3"}, "1.png")
    assert templates.prompts("sad", {"actor": "B", "take": "2", "intensity": "02"}, "1.png")
    with pytest.raises(TemplateError, match=r"does not have: label\."):
        Templates.load(file_of(tmp_path, templates=["{label}"])).prompts("_", {}, "1.png")


def test_too_few_prompts_are_refused(tmp_path: Path) -> None:
    templates = Templates.load(file_of(tmp_path, templates=["{label}", "a {label}", "{label}{x}", "{label} {x}"]))
    assert set(templates.prompts("odd", {}, "1.png", 2)) == {"odd", "an odd"}
    with pytest.raises(
        TemplateError, match=r"yield only 2 different prompts for 1\.png \(label 'odd'\), not 3; reduce the number"
    ):
        templates.prompts("odd", {}, "1.png", 3)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        templates=["{emotion} face", "{intensity} {emotion}"],
        label_templates=["odd face, {emotion}"],
        intensities={"strong": ["big"]},
        emotions={"Contempt": {"slight": ["aloof"], "plain": ["scornful"], "strong": ["sneering"]}, "joy": ["gleeful"]},
    )
    templates = Templates.load(path)
    assert all_prompts("contempt", "", templates) == ["scornful face"]
    assert set(all_prompts("CONTEMPT", "high", templates)) == {"sneering face", "big sneering"}
    assert all_prompts("happy", "", templates) == ["gleeful face"]
    assert all_prompts("smug_grin", "", templates) == ["odd face, smug grin"]
    assert set(all_prompts("sad", "", templates)) == {f"{word} face" for word in SHIPPED.emotions["sad"][1]}
    lines = tmp_path / "mine.TXT"
    lines.write_text("\ufeffa {emotion} face\r\n\r\n  {label} \r\n", encoding="utf-8")
    assert set(all_prompts("ironic", "", Templates.load(lines))) == {"an ironic face", "ironic"}
