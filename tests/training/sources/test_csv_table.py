from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.training.sources import find_items
from perception_clip.training.sources.items import SourceError, SourceItem
from perception_clip.training.sources.media import FrameFolder, PictureFile, VideoFile
from perception_clip.training.sources.tables import LONGEST_ROW, list_csv

from .trees import touch, write


def test_csv(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "a.png", tmp_path / "b c.mp4", tmp_path / "d.jpeg")
    path = write(
        tmp_path / "list.csv",
        " Path ,note,PROMPT,group\n"
        'sub/a.png,x,"a person, laughing",anna\n'
        "\n, ,,\n"  # as spreadsheets save empty rows
        f"{tmp_path / 'd.jpeg'},, sad man ,\n"
        "b c.mp4,,лицо 😀,ben\n",
    )
    listing = list_csv(path)
    assert listing.skipped == [] and listing.notes == []
    absolute = (tmp_path / "d.jpeg").as_posix()
    assert listing.items == [
        SourceItem(
            PictureFile(tmp_path / "sub" / "a.png"), "sub/a.png", "anna", ("a person, laughing",), columns={"note": "x"}
        ),
        SourceItem(PictureFile(tmp_path / "d.jpeg"), absolute, absolute, ("sad man",)),
        SourceItem(VideoFile(tmp_path / "b c.mp4"), "b c.mp4", "ben", ("лицо 😀",)),
    ]


def test_labels_splits_and_columns(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    path = write(
        tmp_path / "list.csv",
        "path,label,split,intensity,Age,\n"
        "a.png,happy,Train,strong,31,\n"
        "a.png,sad,val,,,x\n"
        "a.png,fear,PrivateTest,,,\n"
        "a.png,fear,,,,\n"
        "a.png,fear,holdout,,,\n",
    )
    listing = list_csv(path)
    assert [(item.label, item.split, item.columns) for item in listing.items] == [
        ("happy", "train", {"intensity": "strong", "age": "31"}),
        ("sad", "validation", {}),
        ("fear", "test", {}),
        ("fear", "", {}),
    ]
    assert {item.group for item in listing.items} == {"a.png"}  # one picture is one group
    assert listing.skipped == [("list.csv line 6", "the split 'holdout' is not train, validation or test")]


def test_a_folder_of_frames(tmp_path: Path) -> None:
    touch(*(tmp_path / "clip" / name for name in ("10.png", "9.png", "notes.txt", "._9.png")), tmp_path / "empty" / "x")
    listing = list_csv(write(tmp_path / "l.csv", "path,prompt\nclip,a\nclip/,b\nempty,c\n"))
    frames = FrameFolder((tmp_path / "clip" / "9.png", tmp_path / "clip" / "10.png"))
    assert [(item.media, item.source) for item in listing.items] == [(frames, "clip")] * 2
    assert listing.skipped == [("l.csv line 4", f"the folder {tmp_path / 'empty'} contains no pictures")]


@pytest.mark.skipif(os.name != "posix", reason="only there can a file name hold a backslash")
def test_a_backslash_is_a_separator_unless_a_file_has_it(tmp_path: Path) -> None:
    touch(tmp_path / "a\\b.png", tmp_path / "a" / "b.png", tmp_path / "sub" / "a.png")
    listing = list_csv(write(tmp_path / "l.csv", "path,prompt\nsub\\a.png,x\n.\\sub/a.png,y\na\\b.png,x\n"))
    assert [(item.media, item.source) for item in listing.items] == [
        *[(PictureFile(tmp_path / "sub" / "a.png"), "sub/a.png")] * 2,
        (PictureFile(tmp_path / "a\\b.png"), "a\\b.png"),
    ]


def test_paths_do_not_depend_on_a_later_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.png")
    write(tmp_path / "list.CSV", "path,prompt\r\na.png,happy\r\n", encoding="utf-8-sig")  # Excel's
    monkeypatch.chdir(tmp_path)
    assert list_csv(Path("list.CSV")).items == [
        SourceItem(PictureFile(tmp_path / "a.png"), "a.png", "a.png", ("happy",))
    ]


def test_lines_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.txt")
    path = write(
        tmp_path / "list.csv",
        "path,prompt\na.png,fine\nmissing.png,x\na.png,\n,x\na.png,laughing, loudly\nb.txt,x\na.png\n"
        f"{'n' * 5000}.png,x\n",
    )
    listing = list_csv(path)
    assert [item.prompts for item in listing.items] == [("fine",)]
    assert [which for which, _ in listing.skipped] == [f"list.csv line {number}" for number in range(3, 10)]
    reasons = [why for _, why in listing.skipped]
    assert reasons[0] == f"the file {tmp_path / 'missing.png'} does not exist"
    assert reasons[1:3] == ["the prompt is empty", "the path is empty"]
    assert reasons[3] == 'it has 3 values, but the header has 2; put prompts that contain commas in "quotes"'
    assert reasons[4] == "files ending in .txt are not supported (b.txt)"
    assert reasons[6].startswith("the file ") and reasons[6].endswith(".png does not exist")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line, which must name the columns such as path,prompt, is empty"),
        ("path,prompt\nhttps://a.org/1.png,x\n", "https://a.org/1.png is on the network; download the pictures"),
        ("path,prompt\nC:\\me\\1.png,x\n", r"list.csv line 2: the file C:\\me\\1.png does not exist"),
        ('path,prompt\na.png,"x\n', "line 2 is not valid CSV .*check for a missing closing quote"),
        ("path,words\na.png,x\n", "prompt not found in: path, words"),
        ("photo,label\na.png,x\n", "path not found in: photo, label"),
        ("photo;label\na.png;x\n", r"separated by commas; path not found in: photo, label\. Other names .* file_name,"),
        ("path,prompt, Prompt\na.png,x,y\n", "names the column prompt more than once"),
        ("path,prompt\n", "no line can be used. list.csv: it has no rows"),
        ('path,prompt\n"a.png"x,y\n', "line 2 is not valid CSV"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        list_csv(write(tmp_path / "list.csv", text))
    assert str(tmp_path / "list.csv") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("path;prompt\r\nsub/ä.png;happy, but tired\r\n", "utf-8-sig"),  # Excel in Germany
        ("sep=;\npath;prompt\nsub/ä.png;happy, but tired\n", "utf-8"),
        ("path\tprompt\nsub\\ä.png\thappy, but tired\n", "utf-16"),  # Excel's Unicode text
        ('path|prompt\nä.png|"happy, but tired"\n', "utf-8"),  # in the only folder that has it
        ('path,prompt\nsub/ä.png,"happy, but tired"\n', "cp1252"),
        ('FileName,caption\nsub/a\u0308.png,"happy, but tired"\n', "utf-8"),  # macOS's accents
        ('image,id,text,mood\nsub/ä.png,,"happy, but tired",\n', "utf-8"),
    ],
)
def test_tables_of_other_programs(tmp_path: Path, text: str, encoding: str) -> None:
    touch(tmp_path / "sub" / "ä.png", tmp_path / "other" / "b.png")
    listing = list_csv(write(tmp_path / "list.tsv", text, encoding=encoding))
    assert listing.items == [
        SourceItem(PictureFile(tmp_path / "sub" / "ä.png"), "sub/ä.png", "sub/ä.png", ("happy, but tired",))
    ]
    assert any("Windows-1252" in note for note in listing.notes) == (encoding == "cp1252")


@pytest.mark.parametrize("column", ["person", "subject", "actor", "identity", "SPEAKER"])
def test_people_are_groups_aloud(tmp_path: Path, column: str) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.png")
    listing = list_csv(write(tmp_path / "l.csv", f"path,label,{column}\na.png,happy,7\nb.png,sad,\n"))
    assert [item.group for item in listing.items] == [f"{tmp_path.parent.name}/7", "b.png"]
    assert listing.items[0].columns == {column.lower(): "7"}  # templates may still use it
    assert listing.notes == [f"the column {column.lower()} is used as the group"]
    listing = list_csv(write(tmp_path / "l.csv", f"path,label,group,{column}\na.png,happy,x,7\n"))
    assert (listing.items[0].group, listing.notes) == ("x", [])


@pytest.mark.parametrize(
    ("rows", "groups", "note"),
    [
        ("a,7 b,7 c,8 d,", "f/7 f/7 f/8 d.png", "the column id is used as the group"),
        ("a,0 b,1 c,2", "a.png b.png c.png", "the column id is not used as the group: no id has several pictures"),
        ("a,1 a,2 b,2", "a.png a.png b.png", "the column id is not used as the group: a picture has several ids"),
        ("a,1 a,1 b,2", "a.png a.png b.png", "the column id is not used as the group: no id has several pictures"),
    ],
)
def test_ids_are_groups_only_if_they_are_people(tmp_path: Path, rows: str, groups: str, note: str) -> None:
    folder = tmp_path / "f"
    touch(*(folder / f"{name}.png" for name in "abcd"))
    lines = "".join(f"{row.replace(',', '.png,happy,')}\n" for row in rows.split())
    listing = list_csv(write(folder / "l.csv", f"path,label,ID\n{lines}"))
    assert [item.group for item in listing.items] == groups.split()
    assert [each.partition(". ")[0] for each in listing.notes] == [note]
    assert listing.items[0].columns == {"id": rows[2]}
    other = list_csv(write(folder / "l.csv", "path,label,id,person\na.png,sad,7,ann\nb.png,sad,7,ben\n"))
    assert ([item.group for item in other.items], len(other.notes)) == (["ann", "ben"], 1)


def test_a_name_in_any_form_of_unicode_is_one_group(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    names = ("Zo\u00eb Ann", "Zoe\u0308 Ann", "\u200bZo\u00eb\u00a0Ann", "Zo\u00eb\u00ad  Ann\u200e")
    rows = "".join(f"a.png,smi\u200drk,{name}\n" for name in names)
    listing = find_items(write(tmp_path / "l.csv", f"path,label,group\n{rows}"))
    assert [(item.group, item.label) for item in listing.items] == [("Zo\u00eb Ann", "smirk")] * len(names)


def test_the_numbers_of_people_count_within_their_data_set(tmp_path: Path) -> None:
    rows = "".join(f"a.png,happy,{person}\n" for person in ("7", "S005", "anna"))
    groups = {}
    for place in ("ck/faces.csv", "ck/train/a.csv", "ck/Test/data/b.csv", "others/faces.csv"):
        touch((tmp_path / place).parent / "a.png")
        listing = list_csv(write(tmp_path / place, f"path,label,subject\n{rows}"))
        groups[place] = [item.group for item in listing.items]
    *ck, others = groups.values()
    assert ck == [["ck/7", "ck/S005", "anna"]] * 3 and others == ["others/7", "others/S005", "anna"]


def test_other_names_do_not_replace_a_prompt_or_a_label(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    (item,) = list_csv(write(tmp_path / "l.csv", "path,prompt,emotion\na.png,a grin,3\n")).items
    assert (item.prompts, item.label, item.columns) == (("a grin",), "", {"emotion": "3"})
    (item,) = list_csv(write(tmp_path / "l.csv", "path,label,text\na.png,happy,words\n")).items
    assert (item.prompts, item.label, item.columns) == ((), "happy", {"text": "words"})
    (item,) = list_csv(write(tmp_path / "l.csv", "file_name,label,text\na.png,3,a grin\n")).items  # Hugging Face's
    assert (item.prompts, item.label, item.columns) == (("a grin",), "3", {})


def test_affectnets_numbers(tmp_path: Path) -> None:
    touch(tmp_path / "Manually_Annotated_Images" / "689" / "a.jpg")
    lines = "".join(f"689/a.jpg,1,2,{number},0.5\n" for number in range(9))
    listing = list_csv(
        write(tmp_path / "training.csv", f"subDirectory_filePath,face_x,face_y,expression,valence\n{lines}")
    )
    assert [item.label for item in listing.items] == [
        *("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"),
    ]
    assert listing.skipped == [("training.csv line 10", "its label is not an expression")]
    assert listing.items[0].source == "Manually_Annotated_Images/689/a.jpg"


@pytest.mark.parametrize("row", ["x" * (LONGEST_ROW + 1), '"a\n",' * (LONGEST_ROW // 5), '"' + "x\n" * LONGEST_ROW])
def test_a_row_without_end_is_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(SourceError, match="a row is longer than 1048576 characters|line .* is not valid CSV"):
        list_csv(write(tmp_path / "list.csv", f"path,prompt\n{row}"))


@settings(max_examples=60)
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
        st.text(alphabet='ap.ng,;"\n\r\0\t x/\\', max_size=300).map(lambda text: f"path,prompt\n{text}".encode()),
    )
)
def test_any_bytes_are_listed_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "csv"
    touch(folder / "a.png")
    path = folder / "list.csv"
    path.write_bytes(content)
    try:
        listing = list_csv(path)
    except SourceError as error:
        assert str(path) in str(error)
    else:
        assert listing.items and all(item.prompts and item.media.digest() for item in listing.items)
