"""Data sets with the labels in files beside the pictures."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from perception_clip.training.sources import detect, find_items
from perception_clip.training.sources.items import SourceError

from .trees import touch, write


def test_raf_dbs_list(tmp_path: Path) -> None:
    root = tmp_path / "basic"
    lines = [f"{part}_0000{number}.jpg {number}" for part in ("train", "test") for number in range(1, 8)]
    write(root / "EmoLabel" / "list_patition_label.txt", "\n".join([*lines, "train_00009.jpg 4", "train_00001.jpg 0"]))
    touch(*(root / "Image" / "aligned" / line.replace(".jpg", "_aligned.jpg").split()[0] for line in lines))
    touch(root / "Image" / "original" / "train_00001.jpg", root / "Image" / "aligned" / "other.jpg")
    assert detect(root) == "raf-db"
    listing = find_items(root)
    labels = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    assert [(item.label, item.split) for item in listing.items] == [
        *((label, "train") for label in labels),
        *((label, "test") for label in labels),
    ]
    assert listing.items[0].source == "basic/Image/aligned/train_00001_aligned.jpg"
    assert dict(listing.skipped) == {
        "basic/EmoLabel/list_patition_label.txt line 15": "its picture does not exist",
        "basic/EmoLabel/list_patition_label.txt line 16": "it is not a line such as train_00001.jpg 5",
        "basic/Image/aligned/other.jpg": "no label file names it",
        "basic/Image/original/train_00001.jpg": "no label file names it",
    }
    write(root / "EmoLabel" / "list_patition_label.txt", "train_00001.jpg 1\ntrain_00002.jpg 11\n")  # compound
    with pytest.raises(SourceError, match=r"line 2 has the label 11, but RAF-DB's basic set only has 1 to 7"):
        find_items(root)


def test_affectnets_annotations(tmp_path: Path) -> None:
    for part, numbers in (("train_set", range(9)), ("val_set", range(2))):
        for number in numbers:
            touch(tmp_path / part / "images" / f"{number}.jpg")
            (tmp_path / part / "annotations").mkdir(exist_ok=True)
            np.save(tmp_path / part / "annotations" / f"{number}_exp.npy", np.array(str(number)))
    np.save(tmp_path / "val_set" / "annotations" / "0_val.npy", np.array("0.5"))
    (tmp_path / "val_set" / "annotations" / "5_exp.npy").write_bytes(b"\x93NUMPY\x01\x00" + b"\xff" * 90)
    assert detect(tmp_path) == "affectnet"
    listing = find_items(tmp_path)
    labels = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]
    assert [(item.label, item.split) for item in listing.items] == [
        *((label, "train") for label in labels),
        *(("neutral", "validation"), ("happy", "validation")),
    ]
    skipped = {name.partition("/")[2]: why for name, why in listing.skipped}
    assert skipped == {
        "train_set/images/8.jpg": "its label is not an expression",
        "val_set/annotations/0_val.npy": "files ending in .npy are not supported",
        "val_set/annotations/5_exp.npy": "it does not contain an expression's number from 0 to 10",
    }
    alone = find_items(tmp_path / "val_set")
    assert [item.split for item in alone.items] == ["validation", "validation"]
    faces = tmp_path / "faces"
    touch(faces / "happy" / "1.jpg", faces / "sad" / "2.jpg", faces / "1_exp.npy")  # coefficients of an expression
    assert detect(faces) == "labels"


def test_ck_plus(tmp_path: Path) -> None:
    for person, take, count in (("S005", "001", 6), ("S010", "002", 2), ("S010", "003", 3)):
        folder = tmp_path / "cohn-kanade-images" / person / take
        touch(*(folder / f"{person}_{take}_{number:08}.png" for number in range(1, count + 1)))
    write(tmp_path / "Emotion" / "S005" / "001" / "S005_001_00000006_emotion.txt", "   3.0000000e+00\n")
    write(tmp_path / "Emotion" / "S010" / "002" / "S010_002_00000002_emotion.txt", "   2.0000000e+00\n")
    write(tmp_path / "Emotion" / "S010" / "009" / "S010_009_00000002_emotion.txt", "   1.0000000e+00\n")
    assert detect(tmp_path) == "ck+"
    listing = find_items(tmp_path)
    assert [(item.source.split("/")[-1], item.label, item.group) for item in listing.items] == [
        ("S005_001_00000001.png", "neutral", "CK+ S005"),
        *((f"S005_001_0000000{number}.png", "disgust", "CK+ S005") for number in (4, 5, 6)),
        ("S010_002_00000001.png", "neutral", "CK+ S010"),
        ("S010_002_00000002.png", "contempt", "CK+ S010"),
    ]
    skipped = {name.rpartition("/")[2]: why for name, why in listing.skipped}
    assert skipped["S005_001_00000002.png"] == "it is between the neutral face and the peak of the emotion"
    assert skipped["S010_003_00000001.png"] == "no label file names it"
    assert skipped["S010_009_00000002_emotion.txt"] == "its pictures do not exist"
    with pytest.raises(SourceError, match="look like codes of people or clips"):
        find_items(tmp_path / "cohn-kanade-images")


@pytest.mark.parametrize(
    ("numbers", "labels"), [((11,), "d"), ((9, 10, 11), "ddd"), ((1, 2, 8, 9), "n--d"), ((3, 4), "")]
)
def test_ck_plus_in_part(tmp_path: Path, numbers: tuple[int, ...], labels: str) -> None:
    """Only frame 1 is neutral, and only the last three of the whole sequence show the emotion."""
    touch(*(tmp_path / "images" / f"S005_001_{number:08}.png" for number in numbers))
    write(tmp_path / "Emotion" / "S005_001_00000011_emotion.txt", "3.0")
    if not labels:
        with pytest.raises(SourceError, match=r"no picture belongs to the label files of ck\+"):
            find_items(tmp_path)
        return
    found = {int(PurePath(item.source).stem[-8:]): item.label for item in find_items(tmp_path).items}
    names = {"d": "disgust", "n": "neutral"}
    assert found == {number: names[mark] for number, mark in zip(numbers, labels, strict=True) if mark in names}


def test_expws_faces_are_cut_out(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 100:] = 255
    Image.fromarray(picture).save(tmp_path / "image" / "angry_1.png")
    write(
        tmp_path / "label.lst",
        "angry_1.png 0 20 20 60 60 12.3 0\nangry_1.png 1 40 150 170 60 9 3\nno.png 0 1 2 3 4 5 6\nangry_1.png 2 x\n",
    )
    assert detect(tmp_path) == "expw"
    listing = find_items(tmp_path)
    name = f"{tmp_path.name}/image/angry_1.png"
    assert [(item.source, item.label, item.group) for item in listing.items] == [
        (f"{name}#face=0", "angry", name),
        (f"{name}#face=1", "happy", name),
    ]
    parts = [next(item.media.frames()).picture for item in listing.items]
    assert [tuple(part.shape) for part in parts] == [
        (64, 64, 3),
        (32, 32, 3),
    ]  # boxes of 40 and 20, and 0.3 around them
    assert parts[0].max() == 0 and parts[1].min() == 255
    assert listing.items[0].media.digest() != listing.items[1].media.digest()
    assert [why for _, why in listing.skipped] == [
        "its picture does not exist",
        "it is not a line such as angry_1.jpg 0 53 90 240 203 12.3 0",
    ]
