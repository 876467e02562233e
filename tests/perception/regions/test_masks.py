"""Masks of the parts of real faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from perception_clip.common.errors import InputError
from perception_clip.perception.regions import masks
from perception_clip.perception.regions.coverage import area
from perception_clip.perception.regions.parts import OUTLINES, face_height, shape_of
from perception_clip.perception.topology import FACE_OVAL
from perception_clip.perception.vector import Perception

from ..reference_faces import MODEL, reference_faces

FACE = reference_faces()[0]
SIZE = (512, 512)
MIDDLE = torch.tensor([255.5 / 512, 255.5 / 512, 0])  # of 512 pixels, whose centers are at whole numbers
SYMMETRIC = replace(  # the template, in the middle of its picture
    FACE, vector=torch.cat([(MODEL.template * 0.2 + MIDDLE).flatten(), FACE.emotions])
)


def shifted(face: Perception, x: float, y: float = 0.0) -> Perception:
    landmarks = face.landmarks + torch.tensor([x, y, 0.0])
    return replace(face, vector=torch.cat([landmarks.flatten(), face.emotions]))


@pytest.mark.parametrize("part", OUTLINES)
def test_masks_have_the_area_of_the_polygons(part: str) -> None:
    shape = shape_of(FACE, SIZE, part)
    expected = sum(map(abs, map(area, shape.added))) - sum(map(abs, map(area, shape.removed)))
    mask = masks.mask(FACE, SIZE, part)
    assert mask.shape == SIZE[::-1] and mask.dtype == np.float32
    assert float(mask.sum()) == pytest.approx(expected, rel=0.002)
    double = masks.mask(FACE, (1024, 1024), part)
    assert float(double.sum()) == pytest.approx(4 * expected, rel=0.002)


def test_parts_lie_where_they_should() -> None:
    oval, head, outside = (masks.mask(FACE, SIZE, part) for part in ("face oval", "head", "outside"))
    for part in ("eyes", "brows", "mouth", "lips", "nose", "skin"):
        assert (masks.mask(FACE, SIZE, part) <= oval + 1e-6).all(), part
    assert (oval <= head).all() and np.array_equal(head + outside, np.ones_like(head))
    whole = sum(masks.mask(FACE, SIZE, part) for part in ("skin", "eyes", "mouth"))
    assert np.abs(whole - oval).max() < 1e-6
    rows, columns = np.nonzero(head > 0.5)
    top, chin = FACE.landmarks[10, 1].item() * 512, FACE.landmarks[152, 1].item() * 512
    assert 0.2 < (top - rows.min()) / (chin - top) < 0.45  # hair and forehead
    assert 0.9 < np.ptp(columns) / np.ptp(FACE.landmarks[list(FACE_OVAL), 0].numpy() * 512) < 1.4


@pytest.mark.parametrize("part", masks.PARTS)
@pytest.mark.parametrize(("grow", "feather"), [(0.0, 0.0), (0.05, 0.1), (-0.02, 0.3)])
def test_a_symmetric_face_has_symmetric_masks(part: str, grow: float, feather: float) -> None:
    mask = masks.mask(SYMMETRIC, (200, 240), part, grow, feather)
    assert np.abs(mask - mask[:, ::-1]).max() < 0.02
    assert mask.min() >= 0 and mask.max() <= 1


@pytest.mark.parametrize("part", masks.PARTS)
@pytest.mark.parametrize("feather", [0.0, 0.2])
@pytest.mark.parametrize("shift", [(0.45, 0.0), (-0.5, -0.4), (2.0, 0.0)])
def test_faces_cut_by_the_edge(part: str, feather: float, shift: tuple[float, float]) -> None:
    """The picture shows what a larger picture shows there."""
    cut = masks.mask(shifted(SYMMETRIC, *shift), (200, 200), part, 0.02, feather)
    vector = torch.cat([((SYMMETRIC.landmarks + 1) / 3).flatten(), SYMMETRIC.emotions])
    middle = replace(SYMMETRIC, vector=vector, image_size=(1536, 1536))
    large = masks.mask(shifted(middle, shift[0] / 3, shift[1] / 3), (600, 600), part, 0.02, feather)
    assert np.abs(cut - large[200:400, 200:400]).max() < 0.05


def test_grow_and_feather_are_shares_of_the_face() -> None:
    shape = shape_of(FACE, SIZE, "face oval")
    tall = shape.face_height
    outline = shape.added[0]
    around = np.linalg.norm(outline - np.roll(outline, 1, axis=0), axis=1).sum()
    grown = masks.mask(FACE, SIZE, "face oval", grow=0.1)
    assert grown.sum() == pytest.approx(abs(area(outline)) + around * tall / 10 + np.pi * (tall / 10) ** 2, rel=0.01)
    sharp, soft = (masks.mask(FACE, SIZE, "face oval", feather=share) for share in (0.0, 0.2))
    assert soft.sum() == pytest.approx(sharp.sum(), rel=0.01)  # half of the edge on each side
    inside, outside = (masks.mask(FACE, SIZE, "face oval", grow=share) for share in (-0.12, 0.12))
    assert soft[inside > 0].min() > 0.995 and soft[outside == 0].max() < 0.005
    assert 0.4 < float(np.median(soft[(sharp > 0.4) & (sharp < 0.6)])) < 0.6
    small = masks.mask(FACE, (128, 128), "face oval", feather=0.2)  # the same picture at another size
    assert np.abs(small - soft.reshape(128, 4, 128, 4).mean(axis=(1, 3))).max() < 0.03


def test_boxes_touch_the_masks() -> None:
    for face in (FACE, shifted(SYMMETRIC, 0.45)):
        for part in masks.PARTS[:-1]:
            left, top, right, bottom = masks.box(face, SIZE, part, grow=0.01)
            rows, columns = np.nonzero(masks.mask(face, SIZE, part, grow=0.01) > 1e-3)
            touched = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert np.abs(np.array((left, top, right, bottom)) - touched).max() <= 1
    assert masks.box(shifted(FACE, 3), SIZE, "head") == (0, 0, 0, 0)


def test_the_larger_face_owns_what_two_faces_share() -> None:
    large = shifted(SYMMETRIC, 0.1)
    shrunk = (SYMMETRIC.landmarks - torch.tensor([0.5, 0.5, 0.0])) * 0.7 + torch.tensor([0.35, 0.5, 0.0])
    small = replace(SYMMETRIC, vector=torch.cat([shrunk.flatten(), SYMMETRIC.emotions]))
    whole = [masks.mask(face, SIZE, "head", feather=0.1) for face in (small, large)]
    assert np.minimum(*whole).max() == 1  # they do overlap
    of_small, of_large = masks.owned(whole, [face_height(face, SIZE) for face in (small, large)])
    assert np.array_equal(of_large, whole[1])
    assert np.allclose(of_small, whole[0] * (1 - whole[1]))
    assert (of_small + of_large).max() <= 1 + 1e-6
    union = masks.union([small, large], SIZE, "head", feather=0.1)
    assert np.array_equal(union, np.maximum(*whole))


def test_without_a_face_there_is_nothing_but_the_outside() -> None:
    assert masks.union([], (30, 20), "head").shape == (20, 30)
    assert masks.union([], (30, 20), "eyes").sum() == 0
    assert masks.union([], (30, 20), "outside").min() == 1
    with pytest.raises(InputError, match=r"part cannot be 'ear'; choose one of face oval, "):
        masks.mask(FACE, SIZE, "ear")


@pytest.mark.parametrize("amount", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(amount: float) -> None:
    with pytest.raises(InputError, match=f"grow is {amount}; use a finite number"):
        masks.box(FACE, SIZE, "head", grow=amount)
    with pytest.raises(InputError, match=f"feather is {amount}; use a finite number"):
        masks.mask(FACE, SIZE, "head", feather=amount)


def test_a_face_without_extent_is_empty() -> None:
    point = replace(FACE, vector=torch.cat([torch.full((1434,), 0.5), FACE.emotions]))
    assert face_height(point, SIZE) == 0
    for part in masks.PARTS[:-1]:
        assert masks.mask(point, SIZE, part, 0.1, 0.1).sum() == 0
        assert masks.box(point, SIZE, part, 0.1) == (0, 0, 0, 0)
