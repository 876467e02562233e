from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from perception_clip.perception.pictures import PictureError, read_picture, to_pictures


def test_every_form_gives_the_same_picture(astronaut: np.ndarray) -> None:
    expected = torch.from_numpy(astronaut)
    alpha = np.dstack([astronaut, np.full(astronaut.shape[:2], 7, dtype=np.uint8)])
    forms = [
        astronaut,
        expected,
        expected[None],
        [astronaut],
        alpha,
        astronaut.astype(np.float64) / 255,
        expected.float()[None] / 255,
        astronaut.astype(np.uint16) * 257,
    ]
    for form in forms:
        (picture,) = to_pictures(form)
        assert picture.dtype == torch.uint8
        assert torch.equal(picture, expected)


def test_gray_is_repeated_and_sizes_may_differ() -> None:
    pictures = to_pictures([np.full((3, 5), 9, np.uint8), np.zeros((2, 2, 1)), torch.ones(1, 1, 4)])
    assert [tuple(picture.shape) for picture in pictures] == [(3, 5, 3), (2, 2, 3), (1, 1, 3)]
    assert pictures[0].unique().tolist() == [9]
    assert pictures[2].flatten().tolist() == [255, 255, 255]
    assert to_pictures(np.array([[[1.5, -0.2, 0.5]]]))[0].flatten().tolist() == [255, 0, 128]  # overexposed
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert torch.equal(to_pictures(picture[:, ::-1])[0], torch.tensor(picture).flip(1))  # negative strides
    picture.flags.writeable = False
    assert torch.equal(to_pictures(picture)[0], torch.tensor(picture.copy()))
    assert to_pictures([]) == [] and to_pictures(torch.zeros(0, 4, 4, 3)) == []


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((4, 4, 3), np.nan), "picture 1 contains NaN"),
        (np.full((4, 4, 3), np.inf), "picture 1 contains NaN or infinite"),
        (np.full((4, 4, 3), 200.0), "picture 1 has pixels up to 200.*divide by 255"),
        (np.zeros((4, 4, 2), np.uint8), r"picture 1 must have the shape .*not \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), "picture 1 has no pixels"),
        (np.zeros((4, 4, 3), np.int64), "picture 1 has pixels of type torch.int64"),
    ],
)
def test_bad_pictures_are_named(picture: np.ndarray, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        to_pictures([np.zeros((2, 2, 3), np.uint8), picture])


def test_files_of_every_kind(tmp_path: Path, astronaut: np.ndarray) -> None:
    image = Image.fromarray(astronaut)
    gray = np.asarray(image.convert("L"))
    saved = {
        "rgba.png": image.convert("RGBA"),
        "palette.png": image.quantize(64),
        "gray.png": Image.fromarray(gray),
        "deep.png": Image.fromarray(gray.astype(np.uint16) * 257),
        "float to 1.tif": Image.fromarray(gray.astype(np.float32) / 255),
        "float to 255.tif": Image.fromarray(gray.astype(np.float32)),
        "print.jpg": image.convert("CMYK"),
        "one pixel.png": Image.new("RGB", (1, 1), (1, 2, 3)),
    }
    for name, content in saved.items():
        content.save(tmp_path / name)
    pictures = {name: read_picture(tmp_path / name) for name in saved}
    assert all(picture.dtype == torch.uint8 and picture.shape[2] == 3 for picture in pictures.values())
    assert torch.equal(pictures["rgba.png"], torch.from_numpy(astronaut))
    for name in ("deep.png", "float to 1.tif", "float to 255.tif"):
        assert torch.equal(pictures[name], pictures["gray.png"])
    assert pictures["one pixel.png"].flatten().tolist() == [1, 2, 3]
    for name in ("palette.png", "print.jpg"):
        assert (pictures[name].float() - torch.from_numpy(astronaut)).abs().mean() < 12


@pytest.mark.parametrize("most", [1, 255])
@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_float_colors_in_a_tiff(tmp_path: Path, astronaut: np.ndarray, kind: str, most: int) -> None:
    photo, order, bits = astronaut[:64, :48], kind[0], 8 * int(kind[2])
    plain = (photo * (most / 255)).astype(kind).tobytes()
    for compression, colors in ((1, plain), (8, zlib.compress(plain))):
        entries = [
            *((256, 3, 1, 48), (257, 3, 1, 64), (258, 3, 3, 146), (259, 3, 1, compression), (262, 3, 1, 2)),
            *((273, 4, 1, 158), (277, 3, 1, 3), (278, 3, 1, 64), (279, 4, 1, len(colors)), (339, 3, 3, 152)),
        ]  # width, height, bits, compression, RGB, offset, channels, rows, size, floats
        header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
        for tag, form, count, value in entries:
            short = form == 3 and count == 1
            header += struct.pack(f"{order}HHIH2x" if short else f"{order}HHII", tag, form, count, value)
        whole = header.ljust(146, b"\0") + struct.pack(f"{order}6H", *[bits] * 3, *[3] * 3) + colors
        (tmp_path / "a.tif").write_bytes(whole)
        assert torch.equal(read_picture(tmp_path / "a.tif"), torch.from_numpy(photo))
        assert torch.equal(read_picture(BytesIO(whole)), torch.from_numpy(photo))
        (tmp_path / "a.tif").write_bytes(whole[:-9])
        with pytest.raises(PictureError, match=r"a\.tif: .*not a picture"):
            read_picture(tmp_path / "a.tif")


def test_exif_rotation_is_undone(tmp_path: Path, astronaut: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90° clockwise
    Image.fromarray(np.rot90(astronaut)).save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(read_picture(tmp_path / "turned.png"), torch.from_numpy(astronaut))


def test_pictures_that_are_too_large_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (2000, 3000)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000_000)
    with pytest.raises(PictureError, match=r"large\.png: the picture has more than 4 megapixels; .*--max-megapixels"):
        read_picture(tmp_path / "large.png")


def test_unreadable_files_are_named(tmp_path: Path, astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:5000])
    (tmp_path / "text.jpg").write_text("not a picture")
    for name, message in (
        ("cut.png", "cannot be read"),
        ("text.jpg", "not a picture"),
        ("no.png", "no such file"),
    ):
        with pytest.raises(PictureError, match=f"{name}: .*{message}"):
            read_picture(tmp_path / name)
