"""Faces drawn from their numbers alone, with captions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from perception_clip.perception.drawing.contact_sheet import BACKGROUND, GAP, LINE, LINES, SIDE, contact_sheet
from perception_clip.perception.drawing.panels import COLORS
from perception_clip.perception.sequences.missing import template
from perception_clip.perception.vector import EMOTIONS, pack

SIZE = torch.tensor([[1, 1]])


def face(emotion: str, size: tuple[int, int] = (1, 1)) -> torch.Tensor:
    """The template face in a picture of that (height, width), (1, 1441)."""
    points = template().clone()
    points[:, 1] *= size[1] / size[0]
    shares = torch.nn.functional.one_hot(torch.tensor([EMOTIONS.index(emotion)]), len(EMOTIONS)).float()
    return pack(points[None], shares)


def colored(sheet: torch.Tensor, emotion: str) -> np.ndarray:
    """The pixels (H, W) in about an emotion's color."""
    return (abs(sheet.numpy().astype(int) - COLORS[emotion]).max(axis=2)) < 24


def test_each_face_stands_in_its_cell_with_its_emotion() -> None:
    names = ("happy", "sad", "angry", "surprise")
    vectors = torch.cat([face(name) for name in names])
    sheet = contact_sheet(vectors, SIZE.expand(4, 2), ["a"] * 4, columns=3)
    assert (sheet.dtype, sheet.shape[1]) == (torch.uint8, GAP + 3 * (SIDE + GAP))
    row = (len(sheet) - GAP) // 2
    for index, name in enumerate(names):
        ys, xs = colored(sheet, name).nonzero()
        assert len(ys) > 300
        down, across = divmod(index, 3)
        assert ys.min() >= down * row and ys.max() < (down + 1) * row + GAP
        assert xs.min() >= across * (SIDE + GAP) and xs.max() < (across + 1) * (SIDE + GAP) + GAP


def test_pictures_of_any_shape_and_faces_of_any_size_look_alike() -> None:
    square = contact_sheet(face("happy"), SIZE, ["x"])
    wide = contact_sheet(face("happy", (480, 640)), torch.tensor([[480, 640]]), ["x"])
    small = face("happy")
    small[:, :-7] = small[:, :-7] * 0.1 + 0.4
    assert (square.int() - wide.int()).abs().float().mean() < 0.2
    assert (square.int() - contact_sheet(small, SIZE, ["x"]).int()).abs().float().mean() < 0.2
    unknown = contact_sheet(face("happy"), torch.zeros(1, 2, dtype=torch.int32), ["x"])
    assert torch.equal(unknown, square)
    point = torch.zeros(1, 1441)
    point[0, -1] = 1
    assert contact_sheet(point, SIZE, [""]).float().std() > 0


def test_no_face_is_said_and_wrong_numbers_are_refused() -> None:
    sheet = contact_sheet(torch.zeros(0, 1441), torch.zeros(0, 2), [])
    assert (sheet == 255).any() and sheet.shape[2] == 3
    with pytest.raises(ValueError, match="there are 2 captions for 1 face"):
        contact_sheet(face("happy"), SIZE, ["a", "b"])
    with pytest.raises(ValueError, match="NaN"):
        contact_sheet(face("happy") * torch.nan, SIZE, ["a"])


@pytest.mark.parametrize("text", ["word " * 100_000, "w" * 1_000_000, "ab cd " + "W" * 80, "笑顔" * 50])
def test_captions_take_three_lines_however_long_they_are(text: str) -> None:
    longest, short = (contact_sheet(face("happy"), SIZE, [caption]) for caption in (text, "short"))
    assert longest.shape == (short.shape[0] + (LINES - 1) * LINE, short.shape[1], 3)
    margins = longest[-LINES * LINE :, [*range(GAP - 2), *range(-GAP + 2, 0)]]
    assert (margins == torch.tensor(BACKGROUND, dtype=torch.uint8)).all()
