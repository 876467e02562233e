from __future__ import annotations

import torch
from torch import Tensor

from perception_clip.perception.engines import Faces
from perception_clip.perception.tracking import PATIENCE, Tracker

SIZE = (360, 640)
SHAPE = torch.rand(478, 2, generator=torch.Generator().manual_seed(0))  # in units of the box


def faces(*boxes: tuple[float, float, float, float], size: tuple[int, int] = SIZE) -> Faces:
    """Faces whose landmarks fill their boxes (left, top, width, height)."""
    corners = torch.tensor(boxes).reshape(-1, 4)
    pixels = corners[:, None, :2] + SHAPE * corners[:, None, 2:]
    landmarks = torch.cat([pixels / torch.tensor([size[1], size[0]]), torch.zeros(len(corners), 478, 1)], dim=2)
    ends: Tensor = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:]], dim=1)
    return Faces(landmarks, ends, torch.full((len(corners),), 0.9))


def test_a_moving_face_keeps_its_track() -> None:
    tracker = Tracker()
    assert [tracker.update(faces((10 + 15 * i, 50, 100, 120)), *SIZE) for i in range(20)] == [[0]] * 20


def test_crossing_faces_in_any_order_keep_their_tracks() -> None:
    tracker = Tracker()
    for step in range(60):
        pair = [(10 + 8 * step, 60, 100, 100), (490 - 8 * step, 140, 100, 100)]
        if step % 2:
            assert tracker.update(faces(*reversed(pair)), *SIZE) == [1, 0], step
        else:
            assert tracker.update(faces(*pair), *SIZE) == [0, 1], step


def test_a_face_elsewhere_is_a_new_one() -> None:
    tracker = Tracker()
    assert tracker.update(faces((10, 10, 50, 50)), *SIZE) == [0]
    assert tracker.update(faces((400, 200, 50, 50)), *SIZE) == [1]
    assert tracker.update(faces((400, 200, 50, 50), (10, 10, 50, 50), (200, 10, 50, 50)), *SIZE) == [1, 0, 2]


def test_two_faces_never_share_a_track() -> None:
    tracker = Tracker()
    tracker.update(faces((100, 100, 80, 80)), *SIZE)
    assert tracker.update(faces((112, 100, 80, 80), (96, 100, 80, 80)), *SIZE) == [1, 0]  # the nearer one continues


def test_a_face_is_remembered_over_a_gap_but_not_for_ever() -> None:
    for gap, track in ((PATIENCE - 1, 0), (PATIENCE, 1)):
        tracker = Tracker()
        tracker.update(faces((100, 100, 80, 80)), *SIZE)
        for _ in range(gap):
            assert tracker.update(faces(), *SIZE) == []
        assert tracker.update(faces((105, 100, 80, 80)), *SIZE) == [track]


def test_pictures_may_change_their_size() -> None:
    tracker = Tracker()
    tracker.update(faces((100, 100, 80, 80)), *SIZE)
    assert tracker.update(faces((200, 200, 160, 160), size=(720, 1280)), 720, 1280) == [0]


def test_boxes_without_area_are_no_trouble() -> None:
    tracker = Tracker()
    assert tracker.update(faces((100, 100, 0, 0)), *SIZE) == [0]
    assert tracker.update(faces((100, 100, 0, 0), (1, 1, 0, 0)), *SIZE) == [1, 2]
