from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.training.sources import FORMATS, find_items
from perception_clip.training.sources.detection import detect
from perception_clip.training.sources.items import SourceError

from .trees import touch, write

TAKE = "01-01-03-02-01-01-12.mp4"


@pytest.mark.parametrize(
    ("files", "format"),
    [
        ("happy/1.png sad/2.mp4 stray.png readme.md", "labels"),
        ("03_fearful/1.png neutral/1.png", "labels"),
        ("happy/anna/f1.png happy/anna/f2.png happy/anna/f3.png", "labels"),
        ("1.png 1.txt 2.png 2.caption", "captions"),
        ("1.png 1.txt 2.png 2.txt 3.png 3.txt", "captions"),  # numbered, but with captions
        ("a.png a.txt b.png", "captions"),  # nothing else fits
        ("10_happy/1.png 3_sad/1.png", "captions"),
        ("10_happy/1.png 10_happy/1.txt 1_reg/1.png", "captions"),
        ("happy/1.png happy/1.txt", "captions"),
        (f"Actor_12/{TAKE} Actor_12/03-01-03-02-01-01-12.wav", "ravdess"),
        (TAKE, "ravdess"),
        ("train/happy/1.jpg test/sad/1.jpg", "fer2013"),
        ("train/happy/1.jpg validation/sad/1.jpg readme.txt", "fer2013"),
        ("train/happy/1.png train/sad/1.png other/sad/1.png", "labels"),
        ("f_0001.png f_0002.png f_0003.png", "frames"),
    ],
)
def test_folders(tmp_path: Path, files: str, format: str) -> None:
    touch(*(tmp_path / name for name in files.split()))
    assert detect(tmp_path) == format
    assert format in FORMATS


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("a.csv", "path,prompt\n", "csv"),
        ("a.csv", "", "csv"),
        ("A.CSV", "\ufeffemotion,pixels,Usage\n", "fer2013"),
        ("icml_face_data.csv", "emotion, Usage, pixels\n", "fer2013"),
        ("a.jsonl", "", "jsonl"),
        ("a.ndjson", "", "jsonl"),
        ("a.json", "", "jsonl"),
        ("a.TSV", "path\tlabel\n", "csv"),
        ("a.FLV", "", "video"),
        ("a.wmv", "", "video"),
        ("a.mts", "", "video"),
        ("a.mpg", "", "video"),
        ("a.jfif", "", "video"),
        ("a.mp4", "", "video"),
        ("a.JPG", "", "video"),
        (TAKE, "", "ravdess"),
        ("a.db", "", "dataset"),
        ("a.npz", "", "dataset"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, format: str) -> None:
    assert detect(write(tmp_path / name, text)) == format
    assert format in FORMATS


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            "happy/1.png happy/1.txt sad/1.png",
            r"more than one format fits its 2 pictures and videos: 2 in subfolders \(labels\); 1 with a caption file "
            r"or in folders such as 10_happy \(captions\)\. Choose one: pass --format labels or --format captions",
        ),
        (f"Actor_12/{TAKE} Actor_12/b.mp4", "--format labels or --format ravdess"),
        ("f1.png f2.png f3.png happy/1.png", "--format labels or --format frames"),
    ],
)
def test_folders_that_may_be_several_things(tmp_path: Path, files: str, message: str) -> None:
    touch(*(tmp_path / name for name in files.split()))
    with pytest.raises(SourceError, match=message):
        detect(tmp_path)


def test_folders_that_are_nothing_known(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "a.png", root / "b.png", root / "data" / "list.csv", root / "none")
    with pytest.raises(
        SourceError,
        match=r"it contains 2 \.png, 1 \.csv, 1 without suffix.* one folder per label: faces/happy/1\.jpg.*"
        r"pass the file faces/data/list\.csv itself",
    ):
        detect(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="it contains no files"):
        detect(tmp_path / "empty")


def test_pictures_without_a_decoder(tmp_path: Path) -> None:
    touch(tmp_path / "happy" / "IMG_1.HEIC", tmp_path / "happy" / "IMG_2.HEIC")
    with pytest.raises(SourceError, match=r"2 \.heic, and no .*IMG_1\.HEIC: .* convert them .* or install pillow-heif"):
        detect(tmp_path)


def test_files_that_are_nothing_known(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder or file"):
        detect(tmp_path / "missing")
    touch(tmp_path / "a.txt")
    with pytest.raises(
        SourceError,
        match=r"files ending in \.txt cannot be used as a source\. Pass a folder with one subfolder per label, a \.csv",
    ):
        detect(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "remedy"), [("a.ZIP", "unpack it and pass the folder"), ("a.xlsx", "save the sheet as a CSV")]
)
def test_files_that_contain_the_source(tmp_path: Path, name: str, remedy: str) -> None:
    touch(tmp_path / name, tmp_path / "happy" / "1.png", tmp_path / "happy" / name, tmp_path / "happy" / "list.tsv")
    with pytest.raises(SourceError, match=f"{name}: files ending in .* are not supported; {remedy}"):
        detect(tmp_path / name)
    reasons = dict(find_items(tmp_path, "labels", label="happy").skipped)
    assert reasons[f"{tmp_path.name}/happy/{name}"].endswith(remedy)
    assert reasons[f"{tmp_path.name}/happy/list.tsv"] == "a table is only read if it is passed itself"


@pytest.mark.skipif(os.name != "posix", reason="only there can a file be a pipe")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(SourceError):
        detect(tmp_path / "a.csv")


NAMES = st.sampled_from(
    "happy/1.png happy/1.txt happy/p/f1.png happy/p/f2.png happy/p/f3.png f1.png f2.png f3.png f1.txt 10_sad/a.png "
    "10_sad/a.caption train/fear/1.jpg test/x.jpg A/03-01-03-02-01-01-12.wav x/y/z/1.mp4 .hidden/1.png happy/._1.png "
    f"readme train b.csv {TAKE} A/{TAKE}".split()
)


@settings(max_examples=60)
@given(names=st.sets(NAMES, max_size=8), format=st.sampled_from([None, *FORMATS]))
def test_any_folder_is_listed_or_refused(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], format: str | None
) -> None:
    root = tmp_path_factory.mktemp("any")
    for name in sorted(names, reverse=True):  # "train/…" before a file called "train", which then is left out
        if not (root / name).exists():
            touch(root / name)
    try:
        listing = find_items(root, format=format, label="given")
    except SourceError:
        return
    assert listing.items and all(item.label or item.prompts for item in listing.items)
    sources = [item.source for item in listing.items] + [which for which, _ in listing.skipped]
    assert len(set(sources)) == len(sources)
    assert find_items(root, format=format, label="given") == listing
