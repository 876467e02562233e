from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perception_clip.perception.pictures import PictureError
from perception_clip.training.sources.fer2013 import is_fer2013_csv, list_fer2013
from perception_clip.training.sources.items import SourceError
from perception_clip.training.sources.media import PixelRow

from .trees import write

GRAY = " ".join(["128"] * 48 * 48)


@pytest.fixture(scope="module")
def face(grace_hopper: np.ndarray) -> np.ndarray:
    """(48, 48) uint8: Grace Hopper as FER2013 would show her."""
    return np.asarray(Image.fromarray(grace_hopper).convert("L").resize((48, 48)))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("emotion,pixels,Usage", "{emotion},{pixels},{usage}"),
        ("emotion, Usage, pixels", "{emotion}, {usage}, {pixels}"),  # icml_face_data.csv
        ('"emotion","pixels","Usage"', '{emotion},"{pixels}",{usage}'),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_become_pictures(tmp_path: Path, face: np.ndarray, header: str, row: str, end: str) -> None:
    pictures = [face, face[:, ::-1], face // 2]
    rows = [
        row.format(emotion=emotion, usage=usage, pixels=" ".join(map(str, picture.ravel())))
        for emotion, usage, picture in zip((0, 3, 6), ("Training", "PublicTest", "PrivateTest"), pictures, strict=True)
    ]
    path = write(tmp_path / "fer2013.csv", end.join([header, *rows]))
    assert is_fer2013_csv(path)
    listing = list_fer2013(path)
    assert [(item.label, item.split) for item in listing.items] == [
        ("angry", "train"),
        ("happy", "validation"),
        ("neutral", "test"),
    ]
    assert [item.source for item in listing.items] == [f"fer2013.csv line {line}" for line in (2, 3, 4)]
    assert len({item.group for item in listing.items}) == 3
    for item, picture in zip(listing.items, pictures, strict=True):
        (frame,) = item.media.frames()
        assert frame.picture.dtype == torch.uint8 and frame.picture.shape == (48, 48, 3)
        assert (frame.picture.numpy() == picture[:, :, None]).all()
        assert item.media.digest() == hashlib.sha256(" ".join(map(str, picture.ravel())).encode()).digest()
    assert listing.notes == ["FER2013's PublicTest is the validation split, PrivateTest the test split"]


def test_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "fer2013.csv",
        f"emotion,pixels,Usage\n0,{GRAY},\n7,{GRAY},Training\nhappy,{GRAY},Training\n1,{GRAY} 1,Training\n1,,Training\n"
        f"\n1,{GRAY},Other\n1,{GRAY}\n5,{GRAY.replace(' ', '  ')},Training\n",
    )
    listing = list_fer2013(path)
    assert [(item.label, item.split) for item in listing.items] == [("angry", ""), ("surprise", "train")]
    assert listing.skipped == [
        ("fer2013.csv line 3", "the emotion is '7', not a number from 0 to 6"),
        ("fer2013.csv line 4", "the emotion is 'happy', not a number from 0 to 6"),
        ("fer2013.csv line 5", "it has 2,305 pixels, not 48 × 48"),
        ("fer2013.csv line 6", "it has 0 pixels, not 48 × 48"),
        ("fer2013.csv line 8", "the usage is 'Other', not Training, PublicTest or PrivateTest"),
        ("fer2013.csv line 9", "it has 2 values, but the header has 3"),
    ]
    assert listing.notes == []


@pytest.mark.parametrize("number", ["256", "-1", "1.5", "9" * 5000])
def test_pixels_that_are_none(tmp_path: Path, number: str) -> None:
    pixels = GRAY.replace("128", number, 1)
    (item,) = list_fer2013(write(tmp_path / "f.csv", f"emotion,pixels\n0,{pixels}\n")).items
    with pytest.raises(PictureError, match="f.csv line 2: the pixels are not all numbers from 0 to 255"):
        list(item.media.frames())


def test_a_file_that_was_cut_short_after_listing(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", f"emotion,pixels\n0,{GRAY}\n")
    (item,) = list_fer2013(path).items
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(PictureError, match=r"f\.csv line 2: it has \d+ pixels, not 48 × 48; was the file changed"):
        list(item.media.frames())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns emotion and pixels.*not: nothing"),
        ("path,prompt\na.png,x\n", "not: path, prompt"),
        ("emotion,pixels\n", "no line can be used. f.csv: there are no lines below the header"),
        ("emotion,pixels\n0,1 2\n", "no line can be used. f.csv line 2: it has 2 pixels"),
        (f"emotion,pixels\n0,{GRAY * 10}\n", "line 2 is longer than 65536 bytes"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        list_fer2013(write(tmp_path / "f.csv", text))


def test_listing_keeps_no_pixels_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    with path.open("w") as file:
        file.write("emotion,pixels,Usage\n")
        for row in range(2000):
            file.write(f"{row % 7},{GRAY},Training\n")
    assert path.stat().st_size > 18_000_000
    tracemalloc.start()
    listing = list_fer2013(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(listing.items) == 2000
    assert peak < 2000 * 1200  # bytes


ROWS = st.lists(
    st.sampled_from(
        ["0", "6", "7", "x", ",", ", ", GRAY, GRAY + " 1", "Training", "\n", "\r", '"', " ", "\ufeff", "é"]
    ),
    max_size=20,
).map(lambda pieces: f"emotion,pixels,Usage\n0,{GRAY},Training\n{''.join(pieces)}".encode())


@settings(max_examples=50)
@given(st.one_of(st.binary(max_size=300), ROWS, ROWS.map(lambda content: content[: len(content) * 2 // 3])))
def test_any_bytes_are_listed_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any_fer2013.csv"
    path.write_bytes(content)
    assert is_fer2013_csv(path) in (True, False)
    try:
        listing = list_fer2013(path)
    except SourceError as error:
        assert str(path) in str(error)
    else:
        assert listing.items
        for item in listing.items:
            assert isinstance(item.media, PixelRow)
            (frame,) = item.media.frames()
            assert frame.picture.unique().tolist() == [128]


def test_fer_plus_votes_beside_it(tmp_path: Path) -> None:
    pixels = " ".join(["7"] * 48 * 48)
    path = tmp_path / "fer2013.csv"
    path.write_text("emotion,pixels,Usage\n" + "".join(f"{row},{pixels},Training\n" for row in range(4)))
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    rows = ["0,8,0,0,1,1,0,0,0,0", "0,0,0,0,0,0,0,6,4,0", "5,5,0,0,0,0,0,0,0,0", "1,0,0,0,0,0,0,0,0,9"]
    votes = [f"Training,fer{number:07}.png,{row}\n" for number, row in enumerate(rows)]
    (tmp_path / "fer2013new.csv").write_text(header + "".join(votes))
    listing = list_fer2013(path)
    assert [item.label for item in listing.items] == ["happy", "contempt"]
    assert [which for which, _ in listing.skipped] == ["fer2013.csv line 4", "fer2013.csv line 5"]
    assert "votes are tied or for no emotion (neutral, happiness)" in listing.skipped[0][1]
    assert any("FERPlus" in note for note in listing.notes)
    for wrong in (votes[:3], [*votes, votes[0]]):
        (tmp_path / "fer2013new.csv").write_text(header + "".join(wrong))
        with pytest.raises(SourceError, match="another number of rows"):
            list_fer2013(path)
    for content in (header.encode() + b"Training,f\xe9r.png,1\n", header.encode("utf-16")):
        (tmp_path / "fer2013new.csv").write_bytes(content)
        with pytest.raises(SourceError, match=r"fer2013new\.csv: these are not FERPlus' votes"):
            list_fer2013(path)
