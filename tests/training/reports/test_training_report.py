"""The page: what it shows, that it is one well-formed file, and that no text of the dataset becomes markup."""

from __future__ import annotations

import base64
import io
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from perception_clip.training.evaluation.metrics import Interval
from perception_clip.training.evaluation.verdict import BEFORE, Verdict, verdict
from perception_clip.training.reports import training_report
from perception_clip.training.reports.page import number, printable
from perception_clip.training.reports.training_report import BASELINES, state, write_training_report

from .evaluated_faces import Evaluated, evaluated

NAMES = ("scores", "learning_curves", "prompts", "emotions", "confusion", "map", "worst", "regions")
PICTURES = {f"{name}.png" for name in NAMES}
HOSTILE = "<script>alert('x')</script> & \"$x_1$\" \x00\ud800 портрет"


@pytest.fixture(scope="module")
def case() -> Evaluated:
    return evaluated(rows=300, prompts=14, held=100, before=True)


@pytest.fixture(scope="module")
def folder(case: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report, written once for several tests."""
    folder = tmp_path_factory.mktemp("report") / "new"
    write(folder, case)
    return folder


def write(folder: Path, case: Evaluated, **kwargs: object) -> str:
    given = {"title": "Training report", "facts": {"dataset": "faces.npz", "groups": 150}, "sources": case.sources}
    said = verdict(case.evaluation)
    path = write_training_report(
        folder, case.checkpoint, case.data, case.evaluation, said, case.history, **{**given, **kwargs}
    )
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def parsed(page: str) -> ElementTree.Element:
    """The page as a tree; raises if a tag is not closed or an entity is unknown."""
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def words(page: str) -> str:
    return " ".join(" ".join(parsed(page).itertext()).split())


def test_one_file_holds_everything(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    tree = parsed(page)
    assert {file.name for file in folder.iterdir()} == {"report.html", "report"}
    assert {file.name for file in (folder / "report").iterdir()} == PICTURES
    pictures = [image.attrib["src"] for image in tree.iter("img")]
    assert len(pictures) == len(PICTURES)
    for source in pictures:
        content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert 700 <= pixels.shape[1] <= 1400
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edge == 255).all()  # nothing is cut off
        assert content in {(folder / "report" / other).read_bytes() for other in PICTURES}
    assert not list(tree.iter("script")) and not list(tree.iter("link"))
    assert not re.search(r"https?:|url\(|@import|\bon\w+=", re.sub(r"base64,[^\"]*", "", page))
    assert all(image.attrib["alt"] for image in tree.iter("img"))
    headings = [heading.text for heading in tree.iter("h2")]
    assert len(headings) == 10 and "What the real data added" in headings


def test_the_numbers_are_those_of_the_evaluation(case: Evaluated, folder: Path) -> None:
    said = words((folder / "report.html").read_text(encoding="utf-8"))
    for method, metrics in case.evaluation.scores.items():
        cosine = metrics["centered_cosine"]
        assert f"{method} {cosine.value:.3f} [{cosine.low:.3f}, {cosine.high:.3f}]".replace("-", "−") in said
    for sentence in verdict(case.evaluation).sentences:
        assert " ".join(sentence.split()) in said
    gain = case.evaluation.lead["before"]["centered_cosine"]
    assert f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]".replace("-", "−") in said
    assert "The real data raised centered cosine from" in said
    assert "the weights of epoch 22 were kept" in said
    assert "dataset faces.npz groups 150" in said and "a text encoder" in said
    assert "centered cosine recall@1 recall@5 reciprocal rank R² raw cosine" in said  # what flatters comes last
    for method in case.evaluation.scores.keys() - {"projection", BEFORE}:
        assert f"{method}: {BASELINES[method]}" in said


def test_texts_of_the_dataset_are_no_markup(tmp_path: Path) -> None:
    hostile = evaluated(rows=200, prompts=7, held=60, name=lambda number: f"{number} {HOSTILE}")
    checkpoint = replace(hostile.checkpoint, metadata=replace(hostile.checkpoint.metadata, encoder=HOSTILE))
    hostile = replace(hostile, checkpoint=checkpoint, sources=[HOSTILE] * 200)
    page = write(tmp_path, hostile, title=HOSTILE, facts={HOSTILE: HOSTILE})
    shown = "<script>alert('x')</script> & \"$x_1$\" портрет"
    assert words(page).count(shown) > 10
    assert not list(parsed(page).iter("script")) and "<script" not in page and "\x00" not in page


def test_without_matplotlib_the_page_names_the_extra(
    case: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it would raise
    page = write(tmp_path, case)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    said = words(page)
    assert 'pip install "perception-clip[train]"' in said
    assert "<img" not in page and "Confusion matrix" not in said and "in parentheses" not in said
    for score in case.evaluation.per_prompt:
        assert score.name in said
    for part in ("lips", "emotion probabilities", "closest prompt"):
        assert part in said


def test_the_state_is_more_than_a_color(case: Evaluated, folder: Path) -> None:
    mean = case.evaluation.lead["mean"]
    assert mean["centered_cosine"].low > 0
    guessing = replace(case.evaluation, lead={"mean": {metric: Interval(0, -0.1, 0.1) for metric in mean}})
    assert state(case.evaluation, Verdict(True, [])) == "ready"
    assert state(case.evaluation, Verdict(False, [])) == "caution"
    assert state(guessing, Verdict(False, [])) == "refused"
    box = parsed((folder / "report.html").read_text(encoding="utf-8")).find(".//div[@class]/p/strong")
    assert box is not None and box.text == "⚠ Use with caution"  # no better than its own ridge


def test_one_prompt_and_no_training_have_a_report(tmp_path: Path) -> None:
    single = evaluated(rows=60, prompts=1, held=20)
    said = words(write(tmp_path, replace(single, history=[]), sources=None))
    assert "No epochs were trained" in said and "Not ready" in said
    assert "among the k closest of 1 prompt." in said
    assert {file.name for file in (tmp_path / "report").iterdir()} == PICTURES


def test_a_picture_that_fails_leaves_the_former_report(
    case: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("former")
    monkeypatch.setattr(training_report.plots, "scores", lambda evaluation: None)
    with pytest.raises(AttributeError):
        write(tmp_path, case)
    assert not list(tmp_path.rglob("*.png"))
    assert (tmp_path / "report.html").read_text() == "former"


def test_numbers_and_texts() -> None:
    assert [number(value) for value in (-0.1234, float("nan"), 0.3)] == ["−0.123", "–", "0.300"]
    assert [number(value, "+") for value in (-0.2, float("inf"), 0.1)] == ["−0.200", "–", "+0.100"]
    assert printable("a\n\x07\ud800é") == "a\n  é" and printable(1.5) == "1.5"
    assert printable(Markup("<b>\t</b>")) == Markup("<b>\t</b>")
