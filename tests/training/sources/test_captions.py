from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.training.sources import find_items
from perception_clip.training.sources.captions import LONGEST, list_captions
from perception_clip.training.sources.dialects import encoding_in
from perception_clip.training.sources.items import SourceError, SourceItem
from perception_clip.training.sources.media import PictureFile, VideoFile

from .trees import touch, write


def test_captions_beside_pictures(tmp_path: Path) -> None:
    root = tmp_path / "set"
    touch(root / "a.png", root / "deep" / "b.mp4", root / "c.jpg", root / "d.webp", root / "latents.npz")
    write(root / "a.txt", "\ufeffa woman, smiling\r\n\r\n  a grin \na grin\n")
    write(root / "deep" / "b.CAPTION", "лицо 😀")
    write(root / "c.caption", "older")
    write(root / "c.txt", "newer")
    write(root / "lost.txt", "no picture")
    write(root / "deep" / "a.txt", "in another folder")
    listing = list_captions(root)
    assert listing.items == [
        SourceItem(PictureFile(root / "a.png"), "set/a.png", "set/a.png", ("a woman, smiling", "a grin")),
        SourceItem(PictureFile(root / "c.jpg"), "set/c.jpg", "set/c.jpg", ("newer",)),
        SourceItem(PictureFile(root / "d.webp"), "set/d.webp", "set/d.webp"),  # the caller may have a prompt for it
        SourceItem(VideoFile(root / "deep" / "b.mp4"), "set/deep/b.mp4", "set/deep/b.mp4", ("лицо 😀",)),
    ]
    assert dict(listing.skipped) == {
        "set/c.caption": "the caption c.txt is used instead",
        "set/deep/a.txt": "there is no picture with this name next to it",
        "set/latents.npz": "files ending in .npz are not supported",
        "set/lost.txt": "there is no picture with this name next to it",
    }
    assert listing.notes == ["each line of a caption file is used as a separate prompt"]


def test_kohyas_folders(tmp_path: Path) -> None:
    root = tmp_path / "set"
    touch(
        *(root / name for name in ("10_happy/1.png", "10_happy/2.png", "3_very sad_face/1.png", "x/1.png", "10_/1.png"))
    )
    write(root / "10_happy" / "1.txt", "a broad smile")
    write(root / "10_happy" / "2.txt", " \n")
    listing = list_captions(root)
    assert [(item.source, item.prompts, item.label) for item in listing.items] == [
        ("set/10_/1.png", (), ""),
        ("set/10_happy/1.png", ("a broad smile",), "happy"),
        ("set/10_happy/2.png", (), "happy"),
        ("set/3_very sad_face/1.png", (), "very sad_face"),
        ("set/x/1.png", (), ""),
    ]
    assert listing.notes == [
        "the number in a folder's name, such as 10 in 10_happy, is ignored: each picture is one sample"
    ]
    inner = list_captions(root / "10_happy")  # the folder itself
    assert [(item.prompts, item.label) for item in inner.items] == [(("a broad smile",), "happy"), ((), "happy")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("радость".encode("cp1251"), "the caption a.txt is not UTF-8 text (invalid continuation byte)"),
        (b"a\0b", "the caption a.txt contains a NUL character"),
        (b"x" * (LONGEST + 1), "the caption a.txt is longer than 65536 bytes"),
    ],
)
def test_captions_that_cannot_be_read(tmp_path: Path, content: bytes, reason: str) -> None:
    root = tmp_path / "1_happy"
    touch(root / "a.png", root / "b.png")
    (root / "a.txt").write_bytes(content)
    (root / "b.txt").write_text("fine")
    listing = list_captions(root)
    assert [item.prompts for item in listing.items] == [("fine",)]  # no label stands in for a broken caption
    ((which, why),) = listing.skipped
    assert which == "1_happy/a.png"
    assert why == reason or why.startswith("the caption a.txt is not UTF-8 text (")


def test_pictures_without_a_caption(tmp_path: Path) -> None:
    touch(tmp_path / "set" / "a.png", tmp_path / "set" / "b.png")
    write(tmp_path / "set" / "a.txt", "a grin")
    listing = find_items(tmp_path / "set")
    assert [item.prompts for item in listing.items] == [("a grin",)]
    assert listing.skipped == [
        ("set/b.png", "it has no prompt and no label; pass --prompt or --label for such pictures")
    ]


def test_folders_without_pictures(tmp_path: Path) -> None:
    write(tmp_path / "set" / "a.txt", "a grin")
    with pytest.raises(SourceError, match=r"set: there is no usable picture\. Each .* next to it: 1\.jpg, and 1\.txt"):
        list_captions(tmp_path / "set")


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_are_listed_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.getbasetemp() / "captions"
    touch(root / "a.png")
    (root / "a.txt").write_bytes(content)
    try:
        listing = list_captions(root)
    except SourceError as error:
        assert str(root) in str(error)
    else:
        (item,) = listing.items
        lines = content.decode(encoding_in(BytesIO(content))).splitlines()
        assert item.prompts == tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_captions_of_other_programs(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.png")
    for name in "ab":
        write(tmp_path / f"{name}.txt", "ein Mädchen, fröhlich\n", encoding=encoding)
    listing = list_captions(tmp_path)
    assert [item.prompts for item in listing.items] == [("ein Mädchen, fröhlich",)] * 2 and listing.skipped == []
    note = "a.txt (and 1 more) is not UTF-8 and is read as Windows-1252; check names with accents"
    assert listing.notes == [note] * (encoding == "cp1252")


def test_a_caption_may_have_another_form_of_unicode(tmp_path: Path) -> None:
    touch(tmp_path / "Zo\u00eb.png")
    write(tmp_path / "Zoe\u0308.txt", "a grin")
    listing = list_captions(tmp_path)
    assert [item.prompts for item in listing.items] == [("a grin",)] and listing.skipped == []
