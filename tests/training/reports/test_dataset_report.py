"""The pictures of a dataset: their numbers, and that each is drawn whatever the dataset is like."""

from __future__ import annotations

import math
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, LANDMARKS, pack
from perception_clip.training.cli import main
from perception_clip.training.dataset.opening import open_dataset
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.inspection.checks import inspect_scan
from perception_clip.training.inspection.inspection import Inspection
from perception_clip.training.inspection.scan import DatasetScan, scan_dataset
from perception_clip.training.reports import dataset_report, numbers, style
from perception_clip.training.reports.numbers import OTHERS

from .legibility import assert_legible

MODEL = ExpressionModel.load()
LONG = "портрет женщины 😀 日本語 $x_1^{2}$ a_b very_long_word_" + "very_long_" * 20


@dataclass(frozen=True)
class Looked:
    path: Path
    scan: DatasetScan
    inspection: Inspection


def make(path: Path, counts: dict[str, int], *, known: bool = True, prompts: list[str] | None = None) -> Looked:
    """A dataset with so many sampled faces of each emotion, as labels (or, with `prompts`, without)."""
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    count = len(emotions)
    generator = torch.Generator().manual_seed(0)
    with Store(path) as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        if count:
            wanted = torch.tensor([EMOTIONS.index(emotion) for emotion in emotions])
            landmarks, sizes = MODEL.sample(wanted, torch.ones(count), generator)
            vectors = pack(landmarks, MODEL.probabilities(landmarks, sizes))
            texts = prompts or [f"a {emotion} face {row % 2}" for row, emotion in enumerate(emotions)]
            vector_of = {text: torch.randn(768, generator=generator) for text in dict.fromkeys(texts)}
            store.append(
                Samples(
                    vectors,
                    sizes if known else torch.zeros_like(sizes),
                    texts,
                    torch.stack([vector_of[text] for text in texts]),
                    [f"person {row % 20}" for row in range(count)] if known else [],
                    labels=[] if prompts else emotions,
                    splits=["train" if row % 4 else "test" for row in range(count)] if known else [],
                    scores=torch.linspace(0.5, 1, count if known else 0),
                )
            )
    with open_dataset(path) as rows:
        scan = scan_dataset(rows)
    return Looked(path, scan, inspect_scan(scan, path))


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    return make(tmp_path_factory.mktemp("report") / "labeled.db", {"sad": 30, "happy": 40, "surprise": 20, "fear": 5})


def test_principal_components_are_those_of_a_plane() -> None:
    generator = np.random.default_rng(1)
    axes = np.linalg.qr(generator.normal(size=(6, 2)))[0].T
    axes *= np.sign(axes[[0, 1], np.abs(axes).argmax(axis=1)])[:, None]
    plane = generator.normal(size=(500, 2)) * (3, 1)
    plane = (plane - plane.mean(axis=0)) @ np.linalg.svd(plane - plane.mean(axis=0), full_matrices=False)[2].T
    places, shares = numbers.principal(plane @ axes + 7)
    np.testing.assert_allclose(places, plane, atol=1e-9)
    np.testing.assert_allclose(shares, np.square(plane).sum(axis=0) / np.square(plane).sum())
    still, nothing = numbers.principal(np.ones((1, 5)))
    assert still.tolist() == [[0, 0]] and nothing.tolist() == [0, 0]


def test_maps_hold_all_faces_and_prompts_with_their_labels(labeled: Looked) -> None:
    faces = numbers.map_of_faces(labeled.scan, colors=2)
    assert faces.names == ["happy", "sad"] and faces.of == 95
    assert np.bincount(faces.ranks - OTHERS).tolist() == [25, 40, 30]
    happy, sad = (faces.places[faces.ranks == rank] for rank in (0, 1))
    spread = np.concatenate([happy - happy.mean(axis=0), sad - sad.mean(axis=0)]).std()
    assert np.linalg.norm(happy.mean(axis=0) - sad.mean(axis=0)) > 2 * spread  # the map tells them apart
    prompts = numbers.map_of_prompts(labeled.scan, colors=2)
    assert (prompts.of, len(prompts.places), int(prompts.counts.sum())) == (8, 8, 95)
    assert sorted(prompts.ranks.tolist()) == [OTHERS] * 4 + [0, 0, 1, 1]
    assert sorted(prompts.counts[prompts.ranks == 0].tolist()) == [20, 20]


def test_of_many_faces_some_are_drawn_at_random_and_always_the_same(labeled: Looked) -> None:
    chosen = numbers.drawn(1000, 300)
    assert len(set(chosen.tolist())) == 300 and (np.diff(chosen) > 0).all() and chosen.max() < 1000
    assert chosen.tolist() == numbers.drawn(1000, 300).tolist() and 400 < chosen.mean() < 600
    some = numbers.map_of_faces(labeled.scan, 8, most=30)
    assert (len(some.places), len(some.ranks), some.of) == (30, 30, 95)


def test_the_counts_drawn_are_the_datasets(labeled: Looked) -> None:
    figure = dataset_report.counts(labeled.scan)
    names, groups, splits, scores, yaw, pitch = figure.axes
    assert [bar.get_width() for bar in names.patches] == [40, 30, 20, 5]
    assert [text.get_text() for text in names.get_yticklabels()] == ["happy", "sad", "surprise", "fear"]
    assert [bar.get_width() for bar in splits.patches] == [71, 24]
    sizes = groups.patches[0].get_data()  # 95 samples in 20 groups
    assert dict(zip(sizes.edges[:-1] + 0.5, sizes.values, strict=True)) == {1: 0, 2: 0, 3: 0, 4: 5, 5: 15}
    assert [sum(axes.patches[0].get_data().values) for axes in (scores, yaw, pitch)] == [95, 95, 95]


@pytest.mark.parametrize("text", [LONG, "a" * 300, "happy", " ", "$\\frac{", "😀 портрет\n\tlines"])
def test_texts_fit_and_keep_their_beginning(text: str) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    for lines in (1, 2):
        shown = style.fitted(text, width=200, size=9, lines=lines).split("\n")
        assert len(shown) <= lines
        for line in shown:
            width = TextToPath().get_text_width_height_descent(line, FontProperties(size=9), ismath=False)[0]
            assert width * style.DPI / 72 <= 200 + 4
        if text.strip():
            assert shown[0][:3].rstrip("…") in " ".join(text.split()) or style.MISSING_GLYPH in shown[0][:3]
        else:
            assert shown == ["(empty)"]


CASES = {
    "labeled": ({"sad": 10, "happy": 3}, True, None),
    "an empty prompt": ({"happy": 1}, False, [""]),
    "one prompt": ({"happy": 6, "sad": 6}, True, ["<script>alert('x')</script> & a face"] * 12),
    "many long prompts": ({"happy": 320}, False, [f"{row % 300} {LONG}" for row in range(320)]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_dataset_has_its_report(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # which may open windows: importing it would raise
    counts, known, prompts = CASES[case]
    path = make(tmp_path / "a & b's.db", counts, known=known, prompts=prompts).path
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of letters that a font does not have
        assert main(["info", str(path), "--report", str(tmp_path / "new" / "report")]) == 0
    folder = tmp_path / "new" / "report"
    assert str(folder / "index.html") in capsys.readouterr().out
    assert {file.name for file in folder.iterdir()} == {*dataset_report.PICTURES, dataset_report.INDEX}
    page = (folder / dataset_report.INDEX).read_text(encoding="utf-8")
    tree = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # raises if a tag is not closed
    assert [heading.text for heading in tree.iter("h1")] == ["a & b's.db"]
    assert "summary: " in page and "<script" not in page
    assert (prompts or ["a sad face"])[0][:30] in "".join(tree.itertext())
    for name in dataset_report.PICTURES:
        assert f'src="{name}"' in page
        with Image.open(folder / name) as picture:
            assert 1000 <= picture.width <= 1800
            pixels = np.asarray(picture.convert("RGB"))
        assert (pixels == 255).all(axis=2).mean() > 0.1  # white paper …
        colored = np.ptp(pixels.astype(np.int16), axis=2) > 60
        gray = (case, name) == ("an empty prompt", "map.png")  # which has nothing to be colored by
        assert ((pixels < 200).any(axis=2) if gray else colored).sum() > 20  # … with something on it
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edge == 255).all()  # nothing is cut off


def test_titles_and_names_do_not_overlap(tmp_path: Path) -> None:
    looked = make(tmp_path / "a.db", {"happy": 60}, known=True, prompts=[f"{row % 30} {LONG}" for row in range(60)])
    for draw in (dataset_report.counts, dataset_report.mean_faces, dataset_report.emotions, dataset_report.maps):
        assert_legible(partial(draw, looked.scan))


def test_pictures_say_when_only_some_samples_are_drawn(labeled: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_report, "map_of_faces", lambda scan, colors: numbers.map_of_faces(scan, colors, 40))
    assert "40 of 95 faces chosen at random" in dataset_report.maps(labeled.scan).axes[0].get_title()


def test_samples_without_a_label_or_split_are_counted_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store(path) as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        landmarks = MODEL.template[None] / 10 + 0.5 + torch.rand(4, LANDMARKS, 3) / 100
        vectors = pack(landmarks, torch.full((4, 7), 1 / 7))
        texts = {"labels": ["a", "", "", ""], "splits": ["", "", "", "test"]}
        store.append(Samples(vectors, np.zeros((4, 2), int), ["p"] * 4, torch.ones(4, 768), **texts))
    with open_dataset(path) as rows:
        scan = scan_dataset(rows)
    figure = dataset_report.counts(scan)
    shown = [
        [(text.get_text(), bar.get_width()) for text, bar in zip(axes.get_yticklabels(), axes.patches, strict=True)]
        for axes in (figure.axes[0], figure.axes[2])
    ]
    assert shown == [[("a", 1), ("(no label)", 3)], [("test", 1), ("(no split)", 3)]]


def test_a_dataset_without_samples_has_nothing_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looked = make(tmp_path / "a.db", {})
    with pytest.raises(ValueError, match="a.db contains no samples"):
        dataset_report.write_report(looked.inspection, looked.scan, tmp_path / "report")
    assert main(["info", str(looked.path), "--report", str(tmp_path / "report")]) == 1
    assert "no samples" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_picture_that_fails_leaves_the_former_one(
    labeled: Looked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "emotions.png").write_bytes(b"former")
    monkeypatch.setattr(dataset_report, "emotions", lambda scan: math.nan)
    with pytest.raises(AttributeError):
        dataset_report.write_report(labeled.inspection, labeled.scan, tmp_path)
    assert (tmp_path / "emotions.png").read_bytes() == b"former"
    assert {file.name for file in tmp_path.iterdir()} == {"counts.png", "mean_faces.png", "emotions.png"}


def test_without_matplotlib_the_extra_is_named_before_anything_is_read(
    labeled: Looked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it raises
    assert main(["info", str(labeled.path), "--report", str(tmp_path / "report")]) == 1
    assert "perception-clip[train]" in capsys.readouterr().err
