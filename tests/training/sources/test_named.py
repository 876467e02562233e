"""Data sets that are recognized by the names of their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from perception_clip.training.sources import detect, find_items
from perception_clip.training.sources.items import SourceError

from .trees import touch

FEMALE, MALE, STRAIGHT = {"gender": "female"}, {"gender": "male"}, {"angle": "straight"}
NORMAL, STRONG = {"intensity": "normal"}, {"intensity": "strong"}


@pytest.mark.parametrize(
    ("format", "files", "expected"),
    [
        (
            "kdef",
            "AF01/AF01ANS.JPG AF01/AF01SUFL.JPG BF01/BF01HAHR.JPG BM35/BM35AFS.JPG AM02/AM02DIS.JPG AM02/AM02NES.jpg "
            "AM02/AM02SAS.JPG",
            [
                ("angry", "KDEF F01", FEMALE | STRAIGHT),
                ("surprise", "KDEF F01", FEMALE | {"angle": "full left profile"}),
                ("disgust", "KDEF M02", MALE | STRAIGHT),
                ("neutral", "KDEF M02", MALE | STRAIGHT),
                ("sad", "KDEF M02", MALE | STRAIGHT),
                ("happy", "KDEF F01", FEMALE | {"angle": "half right profile"}),  # second session
                ("fear", "KDEF M35", MALE | STRAIGHT),
            ],
        ),
        (
            "jaffe",
            "KA.AN1.39.tiff KA.DI2.43.tiff KA.FE1.45.tiff YM.HA3.54.tiff YM.NE1.49.tiff YM.SA1.55.tiff YM.SU3.60.tiff",
            [
                *((label, "JAFFE KA", {}) for label in ("angry", "disgust", "fear")),
                *((label, "JAFFE YM", {}) for label in ("happy", "neutral", "sad", "surprise")),
            ],
        ),
        (
            "crema-d",
            "v/1001_DFA_ANG_XX.flv v/1001_DFA_DIS_XX.flv v/1001_DFA_FEA_XX.flv v/1001_IEO_HAP_HI.flv "
            "v/1002_DFA_NEU_XX.flv v/1002_IEO_SAD_LO.flv",
            [
                *((label, "CREMA-D 1001", {"sentence": "DFA", "intensity": "XX"}) for label in ("angry", "disgust")),
                ("fear", "CREMA-D 1001", {"sentence": "DFA", "intensity": "XX"}),
                ("happy", "CREMA-D 1001", {"sentence": "IEO", "intensity": "HI"}),
                ("neutral", "CREMA-D 1002", {"sentence": "DFA", "intensity": "XX"}),
                ("sad", "CREMA-D 1002", {"sentence": "IEO", "intensity": "LO"}),
            ],
        ),
        (
            "mead",
            "M003/video/front/disgusted/level_1/001.mp4 M003/video/front/happy/level_3/001.mp4 "
            "W009/video/left_30/contempt/level_2/001.mp4",
            [
                ("disgust", "MEAD M003", MALE | {"camera": "front", "intensity": "slight"}),
                ("happy", "MEAD M003", MALE | {"camera": "front", "intensity": "strong"}),
                ("contempt", "MEAD W009", FEMALE | {"camera": "left_30", "intensity": "plain"}),
            ],
        ),
        (
            "ck+48",
            "contempt/S138_008_00000007.png happy/S010_006_00000014.png sadness/S010_002_00000013.png",
            [("contempt", "CK+48 S138", {}), ("happy", "CK+48 S010", {}), ("sad", "CK+48 S010", {})],
        ),
        (
            "rafd",
            "Rafd090_01_Caucasian_female_angry_frontal.jpg Rafd045_02_Kid_male_contemptuous_left.jpg",
            [
                ("contempt", "RaFD 02", MALE | {"angle": "045", "gaze": "left"}),
                ("angry", "RaFD 01", FEMALE | {"angle": "090", "gaze": "frontal"}),
            ],
        ),
        (
            "ravdess",
            " ".join(f"Actor_0{n}/01-01-0{n}-0{n % 2 + 1}-01-01-0{n}.mp4" for n in range(1, 9)),
            [
                (label, f"RAVDESS 0{n}", {"actor": f"0{n}", **((FEMALE | NORMAL), (MALE | STRONG))[n % 2]})
                for n, label in enumerate(
                    ["neutral", "neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"], start=1
                )
            ],
        ),
    ],
)
def test_names(tmp_path: Path, format: str, files: str, expected: list[tuple[str, str, Mapping[str, str]]]) -> None:
    touch(*(tmp_path / name for name in files.split()), tmp_path / "readme.txt")
    assert detect(tmp_path) == format
    listing = find_items(tmp_path)
    assert [(item.label, item.group, item.columns) for item in listing.items] == expected
    assert listing.skipped == [(f"{tmp_path.name}/readme.txt", "files ending in .txt are not supported")]


def test_ravdess_takes_without_sound_that_exist_with_it(tmp_path: Path) -> None:
    names = ("01-01-06-02-01-02-12.mp4", "02-01-06-02-01-02-12.mp4", "02-02-05-01-02-01-12.MP4")
    other = ("01-01-09-01-01-01-01.mp4", "holiday.mp4")  # there is no emotion 09
    sound = "03-01-06-02-01-02-12.wav"
    touch(*(tmp_path / "set" / name for name in (*names, *other, sound)))
    listing = find_items(tmp_path / "set", "ravdess")
    assert [(item.source, item.label) for item in listing.items] == [
        (f"set/{names[0]}", "fear"),
        (f"set/{names[2]}", "angry"),
    ]
    assert dict(listing.skipped) == {
        f"set/{names[1]}": f"it is the same take as set/{names[0]}, without sound",
        f"set/{sound}": "files ending in .wav contain only sound",
        **{f"set/{name}": "its name is not one of RAVDESS, such as 01-01-03-02-01-01-12.mp4" for name in other},
    }
    assert listing.notes == ["RAVDESS's calm counts as neutral"]
    (item,) = find_items(tmp_path / "set" / names[0]).items
    assert (item.label, item.group) == ("fear", "RAVDESS 12")


def test_raf_dbs_numbered_folders(tmp_path: Path) -> None:
    names = [f"{part}/{number}/{part}_0000{number}_aligned.jpg" for part in ("test", "train") for number in range(1, 8)]
    touch(*(tmp_path / "DATASET" / name for name in names))
    listing = find_items(tmp_path)
    labels = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    assert [(item.label, item.split) for item in listing.items] == [
        *((label, "test") for label in labels),
        *((label, "train") for label in labels),
    ]
    assert all(item.group == item.source for item in listing.items)


def test_a_few_other_files_are_skipped_and_many_are_another_layout(tmp_path: Path) -> None:
    names = [f"AF{number:02}/AF{number:02}HAS.JPG" for number in range(1, 20)]
    touch(*(tmp_path / "set" / name for name in (*names, "AF01/AF01XXS.JPG")))
    listing = find_items(tmp_path / "set")
    assert len(listing.items) == 19
    assert listing.skipped == [("set/AF01/AF01XXS.JPG", "its name is not one of KDEF, such as AF01HAS.JPG")]
    touch(*(tmp_path / "set" / f"AF{number:02}" / "other.jpg" for number in range(1, 20)))
    with pytest.raises(SourceError, match="look like codes of people"):
        find_items(tmp_path / "set")
    with pytest.raises(SourceError, match="no file has a name of JAFFE, such as KA.HA1.29.tiff"):
        find_items(tmp_path / "set", format="jaffe")
