"""Each face in its own region: what ComfyUI makes of the masks, on tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from perception_clip.common.errors import InputError
from perception_clip.perception.vector import Perceptions, pack
from perception_clip.projection.in_place import LONGEST_SIDE, in_place, parse_boxes, places_of_boxes, places_of_heads

from ..perception.reference_faces import reference_faces

LEFT, RIGHT = (-0.15, 0.0), (0.35, 0.1)  # how far the astronaut's face moves: to both sides of its picture


def moved(*shifts: tuple[float, float], scales: tuple[float, ...] = ()) -> Perceptions:
    """The astronaut's face at several places of one picture."""
    one = reference_faces().select([0] * len(shifts))
    factors = torch.tensor(scales or [1.0] * len(shifts))[:, None, None]
    offsets = torch.tensor([(x, y, 0.0) for x, y in shifts])[:, None]
    middle = one.landmarks.mean(dim=1, keepdim=True)
    landmarks = (one.landmarks - middle) * factors + middle + offsets
    return replace(one, vectors=pack(landmarks, one.emotions), frame_count=1)


def regions_of(faces: Perceptions) -> list[Tensor]:
    return places_of_heads(faces).regions


def predicted(conditioning: list[list[Any]], latent: tuple[int, int] = (64, 64), at: float = 0.5) -> Tensor:
    """What ComfyUI samples, if the model predicts the first number of the tokens everywhere: (H, W).

    As in get_area_and_mult and calc_cond_batch of comfy/samplers.py: masks are scaled to the latent, and weigh the
    predictions of all entries that act at this share of the sampling.
    """
    total, weights = torch.zeros(latent), torch.full(latent, 1e-37)
    for tokens, options in conditioning:
        if not options.get("start_percent", 0.0) <= at < options.get("end_percent", 1.0):
            continue
        mask = options.get("mask", torch.ones(1, *latent))
        mask = interpolate((mask if mask.ndim == 3 else mask[None])[:, None], size=latent, mode="bilinear")[0, 0]
        mask = mask * options.get("mask_strength", 1.0) * options.get("strength", 1.0)
        total += mask * tokens[0, 0, 0]
        weights += mask
    return total / weights


def entry(value: float, **options: Any) -> list[Any]:
    return [torch.full((1, 77, 8), value), options]


def test_each_face_acts_on_its_head_and_the_prompt_elsewhere() -> None:
    regions = regions_of(moved(LEFT, RIGHT))
    assert [tuple(region.shape) for region in regions] == [(1, LONGEST_SIDE, LONGEST_SIDE)] * 2
    result = in_place([entry(0.0)], [[entry(1.0)], [entry(-1.0)]], regions, 0.0, 1.0)
    assert len(result) == 3 and all(options["set_area_to_bounds"] is False for _, options in result)
    assert torch.allclose(sum(options["mask"] for _, options in result), torch.ones(1))
    picture = predicted(result)
    points = moved(LEFT, RIGHT).landmarks.mean(dim=1)[:, :2] * 64
    (x, y), (other_x, other_y) = points.int().tolist()
    assert picture[y, x] == pytest.approx(1) and picture[other_y, other_x] == pytest.approx(-1)
    small = [interpolate(region[None], size=(64, 64), mode="bilinear")[0, 0] for region in regions]
    outside = (small[0] == 0) & (small[1] == 0)
    assert 0.7 < outside.float().mean() < 0.95
    assert (picture[outside] == 0).all()  # exactly the unchanged prompt


def test_the_larger_face_owns_the_overlap() -> None:
    faces = moved((0.0, 0.0), (0.12, 0.0), scales=(0.8, 1.3))
    small, large = regions_of(faces)
    alone = regions_of(faces.select([1]))[0]
    assert torch.equal(large, alone) and float((small * large).max()) <= 0.25
    assert float((small + large).max()) <= 1 + 1e-6
    assert places_of_heads(faces).hidden == [0] and places_of_heads(moved(LEFT, RIGHT)).hidden == []


def test_masks_areas_and_other_entries_stay() -> None:
    left = torch.zeros(32, 48)
    left[:, :24] = 0.5
    before = [entry(0.0, mask=left, mask_strength=0.8, set_area_to_bounds=True), entry(10.0, strength=0.5)]
    versions = [[entry(1.0, mask=left, mask_strength=0.8, set_area_to_bounds=True), entry(11.0, strength=0.5)]]
    regions = regions_of(moved((-0.15, 0.0)))
    result = in_place(before, versions, regions, 0.0, 1.0)
    assert not any(options["set_area_to_bounds"] for _, options in result)
    areas = [options.get("area") for _, options in result]
    assert areas == [("percentage", 1.0, 0.5 + 1 / 64, 0.0, 0.0)] * 2 + [None] * 2
    masks = [options["mask"] for _, options in result]
    large = interpolate(left[None, None], size=(LONGEST_SIDE, LONGEST_SIDE), mode="bilinear")[0]
    assert torch.allclose(masks[0] + masks[1], large) and torch.allclose(masks[2] + masks[3], torch.ones(1))
    picture, plain = predicted(result), predicted(before)
    small = interpolate(regions[0][None], size=(64, 64), mode="bilinear")[0, 0]
    assert torch.allclose(picture, plain + small, atol=0.1)  # both entries are steered by 1 in the region
    assert torch.equal(before[0][1]["mask"], left)  # nothing is changed in place


def test_a_coarse_mask_leaves_regions_as_they_are() -> None:
    """As that of Solid Mask, which may have any size."""
    regions = regions_of(moved(LEFT))
    for size in ((1, 1), (1, 300)):
        before = [entry(0.0, mask=torch.full((1, *size), 0.5))]
        picture = predicted(in_place(before, [[entry(1.0, **before[0][1])]], regions, 0.0, 1.0))
        assert torch.allclose(picture, predicted(in_place([entry(0.0)], [[entry(1.0)]], regions, 0.0, 1.0)), atol=0.01)


def test_faces_act_in_a_part_of_the_sampling() -> None:
    result = in_place([entry(0.0)], [[entry(1.0)]], regions_of(moved((0.0, 0.0))), 0.2, 0.6)
    ranges = [(options["start_percent"], options["end_percent"], "mask" in options) for _, options in result]
    assert ranges == [(0.0, 0.2, False), (0.2, 0.6, True), (0.6, 1.0, False), (0.2, 0.6, True)]
    assert not predicted(result, at=0.1).any() and predicted(result, at=0.3).max() == 1
    short = [entry(0.0, start_percent=0.0, end_percent=0.1)]
    assert in_place(short, [[entry(1.0, **short[0][1])]], regions_of(moved((0.0, 0.0))), 0.2, 0.6) == [
        [short[0][0], short[0][1]]
    ]
    with pytest.raises(InputError, match="start_percent is 0.6 and end_percent is 0.2"):
        in_place([entry(0.0)], [[entry(1.0)]], regions_of(moved((0.0, 0.0))), 0.6, 0.2)


def test_what_changes_nothing_adds_no_entry() -> None:
    before = [entry(0.0)]
    beyond = regions_of(moved((3.0, 0.0)))
    for versions, regions in (([[entry(1.0)]], beyond), ([before], regions_of(moved((0.0, 0.0))))):
        [[tokens, options]] = in_place(before, versions, regions, 0.0, 1.0)
        assert tokens is before[0][0] and options == {} and options is not before[0][1]


def test_boxes_by_hand() -> None:
    boxes = parse_boxes("5 10 45 70\n 55,10, 95,70.5 ;", 2)
    assert boxes == [(0.05, 0.1, 0.45, 0.7), (0.55, 0.1, 0.95, 0.705)]
    regions = places_of_boxes(boxes).regions
    picture = predicted(in_place([entry(0.0)], [[entry(1.0)], [entry(-1.0)]], regions, 0.0, 1.0), (100, 100))
    assert picture[40, 25] == pytest.approx(1) and picture[40, 75] == pytest.approx(-1)
    assert not picture[90].any()
    assert float(picture.clamp_min(0).sum()) == pytest.approx(0.4 * 0.6 * 100 * 100, rel=0.03)
    [half] = places_of_boxes([(0.0, 0.0, 0.5, 1.0)]).regions  # soft where it ends, not at the edge of the picture
    assert (half[0, :, [0, 100]] == 1).all() and 0.4 < half[0, 0, 127] < 0.6 and not half[0, :, 160].any()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("5 10 45", "'5 10 45' is not a box"),
        ("5 10 45 70 80", "is not a box"),
        ("left 10 45 70", "'left 10 45 70' is not a box"),
        ("5 10 145 70", "is not a box"),
        ("50 10 45 70", "in percent of the picture"),
        ("-5 10 45 70", "is not a box"),
        ("0.05 0.1 0.45 0.7\n0.55 0.1 0.95 1", "'0.05 0.1 0.45 0.7' lies within the first percent"),
        ("", "boxes has 0 boxes for 2 faces"),
        ("5 10 45 70", "boxes has 1 box for 2 faces. Write one for each face"),
    ],
)
def test_invalid_boxes_are_named(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_boxes(text, 2)
