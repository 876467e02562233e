"""Letterbox, weighted non-maximum suppression, and what else is done with boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perception_clip.perception.landmarks.boxes import Detections, distinct, join, letterbox, move, weighted_nms


@pytest.mark.parametrize("shape", [(600, 512), (97, 301), (60, 40), (128, 128), (100, 200), (1, 1), (2, 3), (1, 500)])
def test_letterbox_samples_the_padded_square(grace_hopper: np.ndarray, shape: tuple[int, int]) -> None:
    height, width = shape
    picture = torch.tensor(grace_hopper)[:height, :width]
    side = max(shape)
    # A straight way: pad to a square, with a black pixel around, then sample where x = column · side / 128.
    square = F.pad(picture.permute(2, 0, 1).double(), ((side - width) // 2 + 1,) * 2 + ((side - height) // 2 + 1,) * 2)
    at = torch.arange(128).double() * side / 128 + 1
    at_x, at_y = (
        at + ((width - side) / 2 - -((side - width) // 2)),
        at + ((height - side) / 2 - -((side - height) // 2)),
    )
    grid = torch.stack(torch.meshgrid(at_x, at_y, indexing="xy"), dim=-1)
    size = torch.tensor([square.shape[2], square.shape[1]])
    sampled = F.grid_sample(square[None], ((2 * grid + 1) / size - 1)[None], align_corners=False)[0]
    torch.testing.assert_close(letterbox([picture], 128)[0].double(), sampled / 127.5 - 1, atol=1e-4, rtol=0)


def test_move_shifts_positions_and_not_the_size() -> None:
    moved = move(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), scale=2.0, offset=torch.tensor([10.0, 20.0]))
    assert moved.tolist() == [[12, 24], [6, 8], [20, 32]]


def test_joined_detections_are_by_picture() -> None:
    def some(*frames: int) -> Detections:
        count = len(frames)
        return Detections(torch.tensor(frames), torch.rand(count, 8, 2), torch.arange(count) + 10.0 * frames[0])

    assert join([some(2, 3), some(0, 0, 1)]).frames.tolist() == [0, 0, 1, 2, 3]
    assert join([some(2, 3), some(0, 0, 1)]).scores.tolist() == [0, 1, 2, 20, 21]


def test_distinct_keeps_the_surest_of_boxes_that_share_more_than_half_of_the_smaller_one() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [2, 2, 6, 6], [6, 0, 16, 10], [40, 0, 50, 10], [41, 1, 51, 11]]).float()
    kept = distinct(boxes[:, :2], boxes[:, 2:], torch.tensor([0.7, 0.8, 0.6, 0.5, 0.9]))
    assert kept.tolist() == [4, 1, 2]  # 1 lies inside 0 and is surer; 2 shares 40 % with 0
    chain = torch.tensor([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10], [12, 0, 22, 10]]).float()
    kept = distinct(chain[:, :2], chain[:, 2:], torch.tensor([0.9, 0.8, 0.7, 0.6]))
    assert kept.tolist() == [0, 2]  # a box lives that only a dropped one overlaps


def candidates(boxes: list[tuple[float, float, float, float]]) -> Tensor:
    """Boxes (center x, center y, width, height) → points (1, K, 8, 2) whose key points lie at the center."""
    boxes = torch.tensor(boxes)
    return torch.stack([boxes[:, :2], boxes[:, 2:], *[boxes[:, :2]] * 6], dim=1)[None]


def test_boxes_without_area_end_too() -> None:
    points = candidates([(0.5, 0.5, 0.0, 0.0)] * 3)
    found = weighted_nms(points, torch.tensor([[0.9, 0.8, 0.7]]), min_score=0.5, max_faces=10)
    assert len(found.frames) == 3 and found.points.isfinite().all()


def test_only_candidates_of_the_surest_ones_kind_are_averaged() -> None:
    points = candidates([(0.5, 0.5, 0.2, 0.2), (0.54, 0.5, 0.2, 0.2), (0.52, 0.5, 0.2, 0.2)])
    scores, kinds = torch.tensor([[0.9, 0.6, 0.8]]), torch.tensor([1, 1, 2])
    found = weighted_nms(points, scores, min_score=0.5, max_faces=10, kinds=kinds)
    assert len(found.frames) == 1  # the other kind is taken too, but does not count
    torch.testing.assert_close(found.points[0, 0, 0], torch.tensor((0.5 * 0.9 + 0.54 * 0.6) / 1.5))


def one_by_one(points: Tensor, scores: Tensor, min_score: float, max_faces: int) -> list[tuple[float, Tensor]]:
    """Weighted suppression for one picture, as its definition reads."""
    left = [int(i) for i in scores.argsort(descending=True, stable=True) if scores[i] >= min_score]
    found: list[tuple[float, Tensor]] = []
    while left and len(found) < max_faces:
        leader = left[0]
        same = [i for i in left if i == leader or intersection_over_union(points[leader], points[i]) > 0.3]
        weight = sum(float(scores[i]) for i in same)
        found.append((float(scores[leader]), sum(points[i] * float(scores[i]) for i in same) / weight))
        left = [i for i in left if i not in same]
    return found


def intersection_over_union(first: Tensor, second: Tensor) -> float:
    (ax, ay), (aw, ah) = first[:2].tolist()
    (bx, by), (bw, bh) = second[:2].tolist()
    width = min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2)
    height = min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2)
    shared = max(width, 0) * max(height, 0)
    return shared / (aw * ah + bw * bh - shared)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pictures=st.integers(1, 4), count=st.integers(1, 40), most=st.integers(1, 12))
def test_all_pictures_at_once_equal_one_by_one(seed: int, pictures: int, count: int, most: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(pictures, count, 8, 2, generator=generator)
    points[:, :, 1] = points[:, :, 1] * 0.4 + 0.05
    scores = torch.rand(pictures, count, generator=generator)
    found = weighted_nms(points, scores, min_score=0.4, max_faces=most)
    expected = [
        (frame, *face) for frame in range(pictures) for face in one_by_one(points[frame], scores[frame], 0.4, most)
    ]
    assert found.frames.tolist() == [frame for frame, _, _ in expected]
    for (_, score, merged), actual_score, actual in zip(expected, found.scores, found.points, strict=True):
        assert float(actual_score) == pytest.approx(score)
        torch.testing.assert_close(actual, merged)
