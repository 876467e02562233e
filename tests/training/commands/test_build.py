"""`python -m training build`, as it is typed."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from perception_clip.perception.sequences.videos import Frame, write_video
from perception_clip.training.cli import main
from perception_clip.training.dataset.npz import load
from perception_clip.training.dataset.store import Store

from ..command_line import fails, ok

RANDOM = ("--text-encoder", "random")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Path:
    root = tmp_path_factory.mktemp("command") / "my faces"
    for label, photo in (("happy", astronaut), ("calm", grace_hopper)):
        (root / label).mkdir(parents=True)
        Image.fromarray(photo).save(root / label / "photo.png")
        Image.fromarray(photo).resize((300, 320)).save(root / label / "small.jpg")
    (root / "happy" / "corrupt.jpg").write_text("no picture")
    Image.new("RGB", (64, 64), "gray").save(root / "calm" / "wall.bmp")
    return root


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_folder(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.npz"
    shown = ok("build", photos, "--out", path, "--workers", 3, "--batch", 2, *RANDOM)
    assert "6 pictures: 4 new, 1 without a face, 1 unreadable; 4 new samples" in shown
    assert "prompts encoded by: random-weight placeholder" in shown and f"4 samples exported to {path}" in shown
    bar = capsys.readouterr().err
    assert "6/6 files" in bar and "pictures/s, 4 faces, 2 skipped" in bar
    skipped = rows_of(tmp_path / "skipped.csv")
    assert skipped[0] == ["path", "reason"]
    assert sorted(skipped[1:]) == [
        ["my faces/calm/wall.bmp", "no face was found in it"],
        ["my faces/happy/corrupt.jpg", "this is not a picture, or has a format that Pillow cannot read"],
    ]
    assert load(path).labels.tolist() == ["neutral", "neutral", "happy", "happy"]

    shown = ok("build", photos, "--out", path, "--skipped", tmp_path / "elsewhere.csv", *RANDOM)
    assert "6 pictures: 4 already in the dataset, 1 without a face, 1 unreadable; 0 new samples" in shown
    assert sorted(rows_of(tmp_path / "elsewhere.csv")) == sorted(skipped)


def test_people_of_several_tables_in_one_dataset(photos: Path, tmp_path: Path) -> None:
    """Numbers are people of a folder's tables; in a name that another table had, too, a note says what it means."""
    for place, photo in (("a/l.csv", "happy/photo.png"), ("b/l.csv", "calm/photo.png"), ("a/m.csv", "calm/small.jpg")):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(f"path,prompt,person\n{photos / photo},a face,1\n")
        for again in (False, True):
            shown = ok("build", tmp_path / place, "--out", tmp_path / "my.db", *RANDOM)
            noted = "note: my.db already has other files of 1 group (a/1): they count as the same person" in shown
            assert noted == (place == "a/m.csv" and not again)
    with Store(tmp_path / "my.db", create=False) as store:
        assert [group for samples in store.iterate() for group in samples.groups] == ["a/1", "b/1", "a/1"]


def test_a_dry_run_shows_how_the_source_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train/ann/Happy/1.jpg", "train/ben/contempt/2.jpg", "train/ben/HAPPINESS/3.jpg", "val/cem/sad/4.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "set" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    shown = ok("build", "set", "--format", "labels", "--dry-run").splitlines()
    assert shown[:4] == [
        "read as labels: 4 pictures; 1 skipped (1: it is next to the label folders, not in one)",
        "labels: happy 2, contempt 1, sad 1",
        "note: some labels are not among the seven emotions; they are kept as they are: contempt 1",
        "groups: 3 (people or clips), such as set/ben 2, set/ann 1, set/cem 1",
    ]
    assert "splits: train 3, validation 1" in shown and "note: labels renamed: HAPPINESS → happy" in shown
    assert [line.split(" → ")[:2] for line in shown[-3:]] == [
        ["  set/train/ann/Happy/1.jpg", "happy"],
        ["  set/train/ben/contempt/2.jpg", "contempt"],
        ["  set/val/cem/sad/4.jpg", "sad"],
    ]
    Path("l.csv").write_text("path,label,speaker,mood,intensity\nset/train/ann/Happy/1.jpg,3,ann,x,high\n")
    assert "the labels 3 are numbers" in fails("build", "l.csv", "--dry-run")
    shown = ok("build", "l.csv", "--dry-run", "--label-map", "3=sad").splitlines()
    assert "columns that are not used: mood" in shown and "note: the column speaker is used as the group" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.csv", "set"]
    Path("rows.csv").write_text("path,label\nset/val/cem/sad/4.jpg,sad\nset/val/cem/sad/4.jpg,happy\n")
    groups = "groups: every file is its own"
    for flags, expected in (
        (("set", "--format", "labels", "--group-level", 0), ["labels: happy 2, contempt 1, sad 1", groups]),
        (
            ("set/val/cem/sad/4.jpg", "--prompt", " a grin "),
            ["labels: none; prompts are given", f"{groups}, because people are not known"],
        ),
        (("rows.csv",), ["labels: sad 1, happy 1", f"{groups}, because people are not known"]),
    ):
        shown = ok("build", *map(str, flags), "--dry-run").splitlines()
        assert [line for line in shown if line.startswith(("labels:", "groups:"))] == expected


def test_a_dry_run_warns_before_training_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train/Jo\u0308rg/wink/1.jpg", "test/Jo\u0308rg/wink/2.jpg", "train/ben/smirk/3.jpg"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).touch()
    monkeypatch.chdir(tmp_path)
    flags = ("--dry-run", "--every", "2", "--label", "happy")
    shown = ok("build", "set", "--format", "labels", "--label-level", "3", "--group-level", "2", *flags).splitlines()
    assert (
        "note: 1 group has pictures in several splits (set/J\u00f6rg), which `train` refuses unless you pass "
        "--ignore-splits to it"
    ) in shown
    assert (
        "note: no label is one of the seven emotions; they are kept as they are: wink 2, smirk 1. To rename them, pass "
        "--label-map OLD=NEW; to use other folders, --label-level N"
    ) in shown
    assert "note: --every is not used: there are no videos and no folders of frames" in shown
    assert "note: --label is not used: every picture has its own label" in shown
    Path("l.csv").write_text("path,label,person\nset/train/ben/smirk/3.jpg,happy,Jo\u0308rg\n", encoding="utf-8")
    shown = ok("build", "l.csv", "--dry-run")
    assert "the column person is used as the group" in shown and "not used" not in shown


def test_a_long_prompt_is_named_once_in_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "a very happy face with open eyes " * 20
    table = tmp_path / "l.csv"
    table.write_text(
        "path,prompt\n" + f"{photos}/happy/photo.png,{prompt}\n" * 3 + f"{photos}/calm/photo.png,{prompt}\n"
    )
    shown = ok("build", table, "--out", tmp_path / "a.db", *RANDOM)
    assert "read as csv: 2 pictures in 4 rows" in shown and "2 pictures: 2 new; 2 new samples" in shown
    warned = capsys.readouterr().err
    assert warned.count("warning: a prompt has 142 tokens, but CLIP reads only 77") == 1
    assert "warn(" not in warned and ".py" not in warned


def test_a_video_with_a_prompt(tmp_path: Path, astronaut: np.ndarray) -> None:
    frames = (Frame(n, n / 10, torch.tensor(astronaut[:256, 100 + n : 356 + n].copy())) for n in range(20))
    write_video(tmp_path / "me.mp4", frames, rate=10)
    common = (tmp_path / "me.mp4", "--prompt", "smiling", "--prompt", "a happy woman")
    ok("build", *common, "--out", tmp_path / "a.db", *RANDOM)
    ok("build", *common, "--out", tmp_path / "b.db", "--every", 1, *RANDOM)
    shown = ok("build", *common, "--out", tmp_path / "c.db", "--changes", *RANDOM)
    counts = []
    for name in "abc":
        with Store(tmp_path / f"{name}.db") as store:
            assert set(next(store.iterate()).prompts) == {"smiling", "a happy woman"}
            counts.append(len(store))
    assert counts == [8, 40, 2]
    assert "20 pictures: 1 new, 19 without a new expression; 2 new samples" in shown
    assert "pass --prompt or --label" in fails("build", str(tmp_path / "me.mp4"), "--out", str(tmp_path / "d.db"))


def test_templates_of_the_users_own(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("oil painting of a {emotion} face\nink drawing, {emotion} mood\n")
    arguments = ("--templates", tmp_path / "mine.txt", "--prompts-per-picture", 2)
    ok("build", photos, "--out", tmp_path / "a.db", *arguments, *RANDOM)
    with Store(tmp_path / "a.db") as store:
        assert len(store) == 8
        assert all(
            prompt.startswith(("oil painting of a", "ink drawing, ")) for prompt in next(store.iterate()).prompts
        )


def test_the_sdxl_space(photos: Path, tmp_path: Path) -> None:
    ok("build", photos, "--out", tmp_path / "a.npz", "--space", "sdxl", *RANDOM)
    data = np.load(tmp_path / "a.npz")
    assert data["clip_embeddings"].shape == (4, 768)
    assert data["sdxl_embeddings"].shape == (4, 2048) and data["sdxl_pooled"].shape == (4, 1280)
    assert json.loads(str(data["meta"]))["space"] == "sdxl"
    assert "text space 'sdxl', not 'sd15'" in fails("build", photos, "--out", tmp_path / "a.db", *RANDOM)


def test_another_dataset_as_source(photos: Path, tmp_path: Path, tiny_clip: Path) -> None:
    ok("build", photos, "--out", tmp_path / "a.db", *RANDOM)
    ok("build", tmp_path / "a.db", "--out", tmp_path / "copy.npz")
    ok("build", tmp_path / "copy.npz", "--out", tmp_path / "again.db")
    anew = ("--out", tmp_path / "anew.db", "--text-encoder", tiny_clip)
    assert "4 of 4 samples new" in ok("build", tmp_path / "a.db", *anew)
    datasets = {}
    for name in ("a", "again", "anew"):
        with Store(tmp_path / f"{name}.db") as store:
            (datasets[name],) = store.iterate()
            assert store.has(datasets["a"].origins[0], datasets["a"].prompts[0])
    for name in ("again", "anew"):
        np.testing.assert_array_equal(datasets[name].perceptions, datasets["a"].perceptions)
        assert datasets[name].prompts == datasets["a"].prompts and datasets[name].origins == datasets["a"].origins
    np.testing.assert_array_equal(datasets["again"].embeddings, datasets["a"].embeddings)
    assert np.abs(datasets["anew"].embeddings - datasets["a"].embeddings).max() > 0.1
    assert "are the same dataset" in fails("build", tmp_path / "a.db", "--out", tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "x", "--out", "a.csv"), "a.csv must end in .db or .npz"),
        (("build", "missing", "--out", "a.db"), "no such folder or file"),
        (("build", "."), "--out is missing"),
        (("build", ".", "--out", "a.db", "--address", "host"), "--address only works with --engine ray"),
        (("export", "missing.db"), "there is no such dataset"),
        (("export", "x.db", "--out", "x.zip"), "must end in"),
        (("import", "x.npz", "--out", "x"), "must end in .db"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in fails(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_text_of_an_unset_variable_is_not_this_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["build", "", "--dry-run"])
    assert "SOURCE: the name is empty" in capsys.readouterr().err


def test_the_dataset_of_another_program_is_left_alone(photos: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "notes.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    before = (tmp_path / "notes.db").read_bytes()
    assert "a database of another program" in fails("build", photos, "--out", tmp_path / "notes.db", *RANDOM)
    assert (tmp_path / "notes.db").read_bytes() == before
