from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.training.prompts import wordings
from perception_clip.training.sources import Item, SourceError, csv_items, find_items, folder_items


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def test_a_folder_per_label(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    touch(root / "happy" / "b.JPG", root / "happy" / "deep" / "a.png", root / "Sadness" / "clip.mp4")
    touch(root / "smug grin" / "c.webp", root / "happy" / "notes.txt", root / "stray.png")
    touch(root / ".git" / "x.png", root / "happy" / ".DS_Store")
    listing = find_items(root)
    assert [item.source for item in listing.items] == [
        "faces/Sadness/clip.mp4",
        "faces/happy/b.JPG",
        "faces/happy/deep/a.png",
        "faces/smug grin/c.webp",
    ]
    assert [item.label for item in listing.items] == ["Sadness", "happy", "happy", "smug grin"]
    assert all(item.group == item.source for item in listing.items)  # who is in it is not known
    assert [item.is_video for item in listing.items] == [True, False, False, False]
    assert listing.items[0].prompt in wordings("sad") and listing.items[1].prompt in wordings("happy")
    assert "smug grin" in listing.items[3].prompt
    assert dict(listing.skipped) == {
        "faces/happy/notes.txt": "files of the type .txt are not read",
        "faces/stray.png": "it lies beside the label folders, not in one",
    }


def test_a_listing_does_not_depend_on_other_files_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "faces"
    touch(*(root / "happy" / f"{number}.png" for number in range(10)))
    before = {item.source: item for item in folder_items(root).items}
    touch(root / "angry" / "0.png", root / "happy" / "00.png")
    monkeypatch.chdir(root)
    after = {item.source: item for item in folder_items(Path()).items}
    assert len(after) == 12 and before.items() <= after.items()
    assert len({item.prompt for item in before.values()}) > 5


def test_folders_without_pictures_in_subfolders(tmp_path: Path) -> None:
    touch(tmp_path / "faces" / "a.png")
    with pytest.raises(SourceError, match=r"It must hold one folder per label: faces/happy/1\.jpg"):
        find_items(tmp_path / "faces")


@pytest.mark.skipif(os.name != "posix", reason="only there can a file name be no Unicode")
def test_file_names_that_are_no_unicode(tmp_path: Path) -> None:
    picture = tmp_path / "faces" / os.fsdecode(b"happ\xff") / os.fsdecode(b"a\xfe.png")
    try:
        touch(picture)
    except OSError:
        pytest.skip("this file system has Unicode names only")
    (item,) = find_items(tmp_path / "faces").items
    assert item.path.is_file()
    assert (item.source, item.label) == ("faces/happ?/a?.png", "happ?")


def test_csv(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "a.png", tmp_path / "b c.mp4", tmp_path / "d.jpeg")
    path = write(
        tmp_path / "list.csv",
        " Path ,note,PROMPT,group\n"
        'sub/a.png,x,"a person, laughing",anna\n'
        "\n"
        f"{tmp_path / 'd.jpeg'},, sad man ,\n"
        "b c.mp4,,лицо 😀,ben\n",
    )
    listing = find_items(path)
    assert listing.skipped == []
    assert listing.items == [
        Item(tmp_path / "sub" / "a.png", "a person, laughing", "anna", source="sub/a.png"),
        Item(tmp_path / "d.jpeg", "sad man", str(tmp_path / "d.jpeg"), source=str(tmp_path / "d.jpeg")),
        Item(tmp_path / "b c.mp4", "лицо 😀", "ben", source="b c.mp4"),
    ]


def test_csv_as_excel_saves_it(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    path = write(tmp_path / "list.CSV", "path,prompt\r\na.png,happy\r\n", encoding="utf-8-sig")
    assert find_items(path).items == [Item(tmp_path / "a.png", "happy", "a.png", source="a.png")]


def test_csv_lines_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.txt")
    path = write(
        tmp_path / "list.csv",
        "path,prompt\na.png,fine\nmissing.png,x\na.png,\n,x\na.png,laughing, loudly\nb.txt,x\na.png\n"
        f"{'n' * 5000}.png,x\n",
    )
    listing = csv_items(path)
    assert [item.prompt for item in listing.items] == ["fine"]
    assert [which for which, _ in listing.skipped] == [f"list.csv line {number}" for number in range(3, 10)]
    reasons = [why for _, why in listing.skipped]
    assert reasons[0] == f"there is no file {tmp_path / 'missing.png'}"
    assert reasons[1:3] == ["the prompt is empty", "the path is empty"]
    assert reasons[3] == 'it has 3 values and the header 2; put a prompt that contains commas into "quotes"'
    assert reasons[4] == "files of the type .txt are not read (b.txt)"
    assert reasons[6].startswith("there is no file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns path and prompt.*path and prompt not found among: nothing"),
        ("path,text\na.png,x\n", "prompt not found among: path, text"),
        ("path;prompt\na.png;x\n", "separated by commas; path and prompt not found among: path;prompt"),
        ("path,prompt\n", "not one usable line. list.csv: it has no lines below the header"),
        ("path,prompt\nno.png,x\n", "not one usable line. list.csv line 2: there is no file"),
        ('path,prompt\n"a.png"x,y\n', "line 2 is not CSV"),
    ],
)
def test_csv_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        find_items(write(tmp_path / "list.csv", text))
    assert str(tmp_path / "list.csv") in str(caught.value)


def test_a_csv_that_is_no_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "path,prompt\nfräulein.png,x\n", encoding="latin-1")
    with pytest.raises(SourceError, match="not UTF-8 text .*save it as CSV UTF-8"):
        find_items(path)


def test_other_sources(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder or file"):
        find_items(tmp_path / "missing")
    touch(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"give a folder with one subfolder per label, or a \.csv"):
        find_items(tmp_path / "a.png")


@settings(max_examples=200, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
        st.text(alphabet='ap.ng,;"\n\r\0\t x/\\', max_size=300).map(lambda text: f"path,prompt\n{text}".encode()),
    )
)
def test_any_csv_is_listed_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "csv"
    touch(folder / "a.png")
    path = folder / "list.csv"
    path.write_bytes(content)
    try:
        listing = csv_items(path)
    except SourceError as error:
        assert str(path) in str(error)
    else:
        assert listing.items and all(item.path.is_file() and item.prompt for item in listing.items)


@settings(max_examples=100, deadline=None)
@given(prompts=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, max_size=8))
def test_what_a_csv_writer_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, prompts: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "csv"
    touch(folder / "a.png")
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "prompt"], ["a.png", "last"], *(["a.png", text] for text in prompts)])
    listing = csv_items(folder / "list.csv")
    assert [item.prompt for item in listing.items] == ["last", *(text.strip() for text in prompts if text.strip())]
