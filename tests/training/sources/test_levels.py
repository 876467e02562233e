"""Which level of folders is the label: the kinds of trees that people have, and what is read from each."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from perception_clip.training.sources import find_items
from perception_clip.training.sources.items import Choices, SourceError, SourceListing

from .trees import touch, write

Rows = list[tuple[str, str, str, str]]


def listed(root: Path, files: str, **choices: object) -> SourceListing:
    touch(*(root / name for name in files.split()))
    return find_items(root, format="labels", choices=Choices(**choices))  # type: ignore[arg-type]


def rows(listing: SourceListing) -> Rows:
    """File, label, group and split; a group of its own is empty."""
    return [
        (item.source, item.label, "" if item.group == item.source else item.group, item.split) for item in listing.items
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            "data/images/train/happy/1.jpg data/images/validation/Angry/2.jpg",
            [
                ("set/data/images/train/happy/1.jpg", "happy", "", "train"),
                ("set/data/images/validation/Angry/2.jpg", "angry", "", "validation"),
            ],
        ),
        (
            "anna/happy/1.jpg anna/sad/1.jpg ben/happy/1.jpg",
            [
                ("set/anna/happy/1.jpg", "happy", "set/anna", ""),
                ("set/anna/sad/1.jpg", "sad", "set/anna", ""),
                ("set/ben/happy/1.jpg", "happy", "set/ben", ""),
            ],
        ),
        (
            "Train_AFEW/Angry/000046280.avi Val_AFEW/Happy/000147.avi",
            [
                ("set/Train_AFEW/Angry/000046280.avi", "angry", "", "train"),
                ("set/Val_AFEW/Happy/000147.avi", "happy", "", "validation"),
            ],
        ),
        (  # a person in two labs, in two rooms
            "lab/p1/happy/1.jpg lab/p2/sad/1.jpg lab/p3/sad/1.jpg field/p4/happy/1.jpg",
            [
                ("set/field/p4/happy/1.jpg", "happy", "set/p4", ""),
                ("set/lab/p1/happy/1.jpg", "happy", "set/p1", ""),
                ("set/lab/p2/sad/1.jpg", "sad", "set/p2", ""),
                ("set/lab/p3/sad/1.jpg", "sad", "set/p3", ""),
            ],
        ),
        (  # a person called like an emotion
            "Joy/sad/1.jpg ben/sad/1.jpg cem/fear/1.jpg",
            [
                ("set/Joy/sad/1.jpg", "sad", "set/Joy", ""),
                ("set/ben/sad/1.jpg", "sad", "set/ben", ""),
                ("set/cem/fear/1.jpg", "fear", "set/cem", ""),
            ],
        ),
        ("happy/happy_1/a.jpg sad/sad_1/b.jpg", [
            ("set/happy/happy_1/a.jpg", "happy", "set/happy_1", ""),
            ("set/sad/sad_1/b.jpg", "sad", "set/sad_1", ""),
        ]),
        ("normal/anna/1.jpg", [  # normal is a strength, too
            ("set/normal/anna/1.jpg", "neutral", "set/anna", ""),
        ]),
        ("smirk/1.jpg wink/2.jpg wink/anna/3.jpg", [
            ("set/smirk/1.jpg", "smirk", "", ""),
            ("set/wink/2.jpg", "wink", "", ""),
            ("set/wink/anna/3.jpg", "wink", "set/anna", ""),
        ]),
        ("p01_happy_3.jpg anna-angry-1.jpg bobSurprised04.jpg neutral.jpg", [
            ("set/anna-angry-1.jpg", "angry", "", ""),
            ("set/bobSurprised04.jpg", "surprise", "", ""),
            ("set/neutral.jpg", "neutral", "", ""),
            ("set/p01_happy_3.jpg", "happy", "", ""),
        ]),
        ("Joy_sad_1.jpg anna_happy_2.jpg", [  # only the second place has an emotion in both names
            ("set/Joy_sad_1.jpg", "sad", "", ""),
            ("set/anna_happy_2.jpg", "happy", "", ""),
        ]),
        ("AN/1.jpg HA/anna/2.jpg SU/3.jpg", [
            ("set/AN/1.jpg", "angry", "", ""),
            ("set/HA/anna/2.jpg", "happy", "set/anna", ""),
            ("set/SU/3.jpg", "surprise", "", ""),
        ]),
        ("male/happy/1.jpg female/sad/2.jpg", [  # no people
            ("set/female/sad/2.jpg", "sad", "", ""),
            ("set/male/happy/1.jpg", "happy", "", ""),
        ]),
        ("train/happy/1.jpg train/sad/2.jpg other/sad/3.jpg", [  # a split is no person
            ("set/other/sad/3.jpg", "sad", "", ""),
            ("set/train/happy/1.jpg", "happy", "", "train"),
            ("set/train/sad/2.jpg", "sad", "", "train"),
        ]),
        ("test/happy/1.jpg anna/sad/2.jpg ben/sad/3.jpg", [
            ("set/anna/sad/2.jpg", "sad", "set/anna", ""),
            ("set/ben/sad/3.jpg", "sad", "set/ben", ""),
            ("set/test/happy/1.jpg", "happy", "", "test"),
        ]),
    ],
)  # fmt: skip
def test_the_level_with_the_emotions_is_the_label(tmp_path: Path, files: str, expected: Rows) -> None:
    root = tmp_path / "set"
    listing = listed(root, files)
    assert rows(listing) == expected
    assert rows(find_items(root)) == expected  # detected, too


def test_the_other_reading_is_shown_and_can_be_chosen(tmp_path: Path) -> None:
    files = "anna/happy/1.jpg ben/happy/1.jpg ben/sad/2.jpg"
    listing = listed(tmp_path, files)
    assert listing.notes == [
        "the labels are the folders of level 2 (happy, sad); to use others, pass --label-level 1 (anna, ben)",
        "the folders of level 1 (anna, ben) are the groups, such as people; if they are not people, pass "
        "--group-level 0",
    ]
    chosen = listed(tmp_path, files, label_level=1)
    assert [item.label for item in chosen.items] == ["anna", "ben", "ben"]
    assert {item.group for item in chosen.items} == {f"{tmp_path.name}/{name}" for name in ("happy", "sad")}
    alone = listed(tmp_path, files, group_level=0)
    assert [item.group for item in alone.items] == [item.source for item in alone.items]
    with pytest.raises(SourceError, match=r"no folder level 5; --label-level can be .* 1: anna, ben; 2: happy, sad"):
        listed(tmp_path, files, label_level=5)


@pytest.mark.parametrize(
    ("files", "level", "groups", "notes"),
    [
        ("anna/happy_1.jpg anna/sad_2.jpg ben/sad_1.jpg", None, ["anna", "anna", "ben"], 1),
        ("train/anna/happy_1.jpg train/ben/sad_1.jpg test/cem/sad_1.jpg", None, ["cem", "anna", "ben"], 1),
        ("lab/anna/happy_1.jpg lab/ben/sad_1.jpg", 1, ["lab", "lab"], 1),
        ("faces/happy_1.jpg faces/sad_1.jpg", None, ["faces/happy_1.jpg", "faces/sad_1.jpg"], 0),
        ("anna/happy_1.jpg ben/sad_1.jpg", 0, ["anna/happy_1.jpg", "ben/sad_1.jpg"], -1),
    ],
)
def test_people_of_emotions_in_file_names(
    tmp_path: Path, files: str, level: int | None, groups: list[str], notes: int
) -> None:
    listing = listed(tmp_path, files, group_level=level)
    assert {item.label for item in listing.items} == {"happy", "sad"}
    assert [item.group for item in listing.items] == [f"{tmp_path.name}/{group}" for group in groups]
    assert any("are the groups" in note for note in listing.notes) == (notes > 0)
    assert any("people are not known" in note for note in listing.notes) == (notes == 0)
    assert not any("within a label's folder" in note for note in listing.notes)


def test_a_list_that_is_not_used_is_named(tmp_path: Path) -> None:
    listing = listed(tmp_path, "happy/1.jpg sad/2.jpg train_labels.csv readme.txt")
    assert [note.split(":")[0] for note in listing.notes] == [f"{tmp_path.name}/train_labels.csv is not used"]


def test_intensities_between_the_folders(tmp_path: Path) -> None:
    listing = listed(tmp_path, "happy/level_1/a.jpg happy/level_3/b.jpg sad/strong/c.jpg")
    assert [item.columns for item in listing.items] == [
        {"intensity": "slight"},
        {"intensity": "strong"},
        {"intensity": "strong"},
    ]
    assert [item.label for item in listing.items] == ["happy", "happy", "sad"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            "images/1.jpg images/2.jpg",
            r"all pictures would have the label images\. Choose: --label-level 1 reads images",
        ),
        ("data/wink/1.jpg data/wink/2.jpg", "--label-level 1 reads data; --label-level 2 reads wink"),
        ("S005/001/1.png S010/002/1.png", r"\(S005, S010\) look like codes of people or clips"),
        ("images/a/1.jpg images/b/2.jpg labels.csv", r"labels\.csv, which may have the labels, is not read"),
        ("images/1.jpg emotion_labels.txt", "emotion_labels.txt, which may have the labels, is not read"),
        ("happy/angry/1.jpg sad/fear/1.jpg", "several levels name emotions"),
        ("happy/1.jpg more/happy/2.jpg", "pictures in the folder more have an emotion in another level of folders"),
        ("001/grin/1.jpg 002/wink/2.jpg", "--label-level 1 reads 001, 002; --label-level 2 reads grin, wink"),
        (
            "anna/1.jpg ben/2.jpg carla/3.jpg",
            r"\(anna, ben, carla\) may be those of people\. Choose: --label-level 1 reads anna, ben, carla; "
            r"--label-map anna=happy,… renames them",
        ),
        ("😀/1.jpg 😢/2.jpg", "may be those of people"),
        ("HA/1.jpg XY/2.jpg", "may be those of people"),
        ("anna/x_happy.jpg ben/IMG_2.jpg", r"1 of 2 file names contain one emotion; these do not: .*/ben/IMG_2\.jpg\."),
        ("train/1.jpg test/2.jpg", "no folder is named after a label|one folder per label"),
        ("train/3/1.jpg test/4/2.jpg", r"the labels 3, 4 are numbers.*raf-db: 1 surprise.*--label-map 3=happy"),
    ],
)
def test_unclear_labels_stop_the_build(tmp_path: Path, files: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        listed(tmp_path, files)


def test_one_label_or_prompt_for_all_settles_a_doubt(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "1.jpg")
    assert [item.label for item in find_items(tmp_path, label="happy").items] == ["happy"]
    (item,) = find_items(tmp_path, prompts=["a grin"]).items
    assert (item.label, item.prompts) == ("", ("a grin",))
    (item,) = listed(tmp_path, "", label_level=1).items
    assert item.label == "images"


def test_pictures_in_no_layout_need_a_label_or_a_prompt(tmp_path: Path) -> None:
    touch(tmp_path / "IMG_2.jpg", tmp_path / "IMG_a.jpg", tmp_path / "x_happy.jpg")
    with pytest.raises(
        SourceError, match=r"1 of 3 file names contain .*IMG_2\.jpg, .*pass --label TEXT or --prompt TEXT"
    ):
        find_items(tmp_path)
    assert [item.label for item in find_items(tmp_path, label="sad").items] == ["sad"] * 3
    listing = find_items(tmp_path, prompts=["a grin"])
    assert [item.prompts for item in listing.items] == [("a grin",)] * 3
    assert [item.group for item in listing.items] == [item.source for item in listing.items]


def test_all_spellings_of_a_label_are_one(tmp_path: Path) -> None:
    folders = ["Happy", "HAPPINESS", "Freude", "Smug Grin", "smug_grin", "contempt", "Mépris", "calm"]
    decomposed = unicodedata.normalize("NFD", "Überraschung")
    touch(*(tmp_path / folder / "1.jpg" for folder in (*folders, decomposed)))
    listing = find_items(tmp_path)
    assert sorted({item.label for item in listing.items}) == [
        *("Smug Grin", "contempt", "happy", "neutral", "surprise"),
    ]
    (note,) = (note for note in listing.notes if note.startswith("labels renamed"))
    assert "Freude, HAPPINESS → happy" in note and "calm → neutral" in note and "Überraschung → surprise" in note


def test_label_maps(tmp_path: Path) -> None:
    files = "train/1/a.jpg train/4/b.jpg test/7/c.jpg"
    assert [
        row[1:] for row in rows(listed(tmp_path, files, label_map={"1": "happy", "4": "smirk", "7": "", "9": "x"}))
    ] == [
        ("happy", "", "train"),
        ("smirk", "", "train"),
    ]
    listing = find_items(tmp_path, choices=Choices(label_map={"1": "happy", "4": "smirk", "7": "", "9": "x"}))
    assert listing.skipped[-1] == (f"{tmp_path.name}/test/7/c.jpg", "its label is not an expression")
    assert listing.notes[-1] == "--label-map: no picture has these labels: 9=x"
    table = write(tmp_path / "l.csv", "path,label\ntrain/1/a.jpg,0\ntrain/4/b.jpg,3\n")
    with pytest.raises(SourceError, match="the labels 0, 3 are numbers"):
        find_items(table)
    with pytest.raises(SourceError, match="the labels 3 are numbers"):
        find_items(table, choices=Choices(label_map={"0": "happy"}))
    prompted = write(tmp_path / "p.csv", "path,label,prompt\ntrain/1/a.jpg,0,a grin\n")
    assert find_items(prompted).items[0].label == "0"


def test_files_of_tools_are_passed_over(tmp_path: Path) -> None:
    junk = "happy/@eaDir/f0.jpg/THUMB_M.jpg $RECYCLE.BIN/S-1/$R1.jpg __MACOSX/happy/x.jpg .thumbnails/x.jpg"
    junk += " #snapshot/x.jpg __pycache__/x.jpg"
    listing = listed(
        tmp_path,
        f"happy/f0.jpg sad/f1.jpg {junk} lost+found/x.jpg happy/Thumbs.db happy/._f0.jpg happy/desktop.ini",
    )
    assert [item.label for item in listing.items] == ["happy", "sad"] and listing.skipped == []
