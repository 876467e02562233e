from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.engines import Faces
from perception_clip.perception.selection import ORDERS, Selection

HEIGHT, WIDTH = 400, 600
BOXES = (
    (10.0, 250.0, 110.0, 370.0),  # 0: left, low; 12,000 pixels; the second largest
    (270.0, 150.0, 330.0, 220.0),  # 1: in the middle; the smallest
    (430.0, 20.0, 590.0, 220.0),  # 2: right, high; the largest
)
SCORES = (0.7, 0.95, 0.8)


def faces(boxes: tuple[tuple[float, ...], ...] = BOXES, scores: tuple[float, ...] = SCORES) -> Faces:
    count = len(boxes)
    landmarks = torch.arange(count, dtype=torch.float32)[:, None, None].expand(count, 478, 3)
    return Faces(landmarks, torch.tensor(boxes).reshape(count, 4), torch.tensor(scores))


def chosen(selection: Selection, given: Faces) -> list[int]:
    found = selection(given, HEIGHT, WIDTH)
    assert len(found.boxes) == len(found.scores) == len(found)
    return found.landmarks[:, 0, 0].int().tolist()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("largest", [2, 0, 1]),
        ("most central", [1, 2, 0]),
        ("left to right", [0, 1, 2]),
        ("top to bottom", [2, 1, 0]),
        ("highest score", [1, 2, 0]),
    ],
)
def test_orders_limits_and_indices(order: str, expected: list[int]) -> None:
    assert chosen(Selection(order), faces()) == expected
    assert chosen(Selection(order, max_faces=2), faces()) == expected[:2]
    assert [chosen(Selection(order, index=i), faces()) for i in range(4)] == [[i] for i in expected] + [[]]
    assert chosen(Selection(order, max_faces=1, index=1), faces()) == []
    assert chosen(Selection(order), faces((), ())) == []


@given(st.permutations(range(4)), st.sampled_from(ORDERS))
def test_the_detectors_order_does_not_matter(shuffle: list[int], order: str) -> None:
    # Two faces of the same size and score, at the same distance from the middle, and a third above one of them.
    boxes = ((100.0, 150.0, 200.0, 250.0), (400.0, 150.0, 500.0, 250.0), (100.0, 10.0, 200.0, 110.0), *BOXES[:1])
    scores = (0.9, 0.9, 0.9, 0.7)
    plain = Selection(order)(faces(boxes, scores), HEIGHT, WIDTH)
    mixed = faces(tuple(boxes[i] for i in shuffle), tuple(scores[i] for i in shuffle))
    torch.testing.assert_close(Selection(order)(mixed, HEIGHT, WIDTH).boxes, plain.boxes, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"order": "oldest"}, "largest"), ({"max_faces": 0}, "at least 1"), ({"index": -1}, "from 0")],
)
def test_wrong_choices_are_named(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Selection(**arguments)  # type: ignore[arg-type]
