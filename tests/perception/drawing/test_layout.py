"""Where panels and tags go: near their face, over nothing that matters, and calm from picture to picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from perception_clip.perception.drawing import layout
from perception_clip.perception.drawing.arranger import FORGET, RECONSIDER, Arranger, Note
from perception_clip.perception.drawing.layout import Scene
from perception_clip.perception.drawing.panels import BRIGHT, Panel, Tag

HAPPY = (0.02, 0.01, 0.02, 0.9, 0.02, 0.01, 0.02)
Box = tuple[float, float, float, float]


def scene(size: tuple[int, int], boxes: list[Box]) -> Scene:
    faces = np.array(boxes, dtype=np.float64)
    width, height = (faces[:, 2:] - faces[:, :2]).T
    features = faces + np.stack([0.15 * width, 0.2 * height, -0.15 * width, -0.15 * height], axis=1)
    return Scene(size, faces, features)


def grid(size: tuple[int, int], columns: int, rows: int) -> list[Box]:
    """Boxes in the middle of the cells of a grid, half as wide and 0.6 as high as these."""
    width, height = size[0] / columns, size[1] / rows
    return [
        ((x + 0.25) * width, (y + 0.2) * height, (x + 0.75) * width, (y + 0.8) * height)
        for y in range(rows)
        for x in range(columns)
    ]


def notes(count: int, tags: bool = True) -> list[Note]:
    return [Note(index, HAPPY, (f"#{index} filled in", f"#{index}") if tags else (), BRIGHT) for index in range(count)]


def areas(placed: list[tuple[Panel | Tag, tuple[int, int]]]) -> np.ndarray:
    """The boxes, (N, 4), of things."""
    return np.stack([layout.box_of(thing.size, corner) for thing, corner in placed])


@pytest.mark.parametrize("side", [96, 128, 256, 1080, 2160])
def test_letters_suit_the_picture(side: int) -> None:
    face = scene((side, side), [(0.35 * side, 0.13 * side, 0.53 * side, 0.34 * side)])
    ((panel, corner),) = Arranger().arrange(face, notes(1, tags=False))
    assert isinstance(panel, Panel)
    assert panel.font_size >= max(9, side / 82)
    left, top, right, bottom = layout.box_of(panel.size, corner)
    assert 0 <= left < right <= side
    assert 0 <= top < bottom <= side
    assert panel.short == (side <= 128)


@pytest.mark.parametrize(
    ("size", "columns", "rows", "short"),
    [((1200, 700), 1, 1, False), ((1200, 700), 3, 1, False), ((1200, 700), 6, 3, True), ((1920, 1080), 10, 6, True)],
)
def test_things_of_many_faces_do_not_overlap(size: tuple[int, int], columns: int, rows: int, short: bool) -> None:
    faces = scene(size, grid(size, columns, rows))
    placed = Arranger().arrange(faces, notes(columns * rows))
    panels = [(thing, corner) for thing, corner in placed if isinstance(thing, Panel)]
    tags = [(thing, corner) for thing, corner in placed if isinstance(thing, Tag)]
    assert len(panels) == len(tags) == columns * rows
    assert {panel.short for panel, _ in panels} == {short}
    assert len({panel.font_size for panel, _ in panels}) == 1
    shared = layout.overlaps(areas(placed), areas(placed))
    assert (shared - np.diag(np.diag(shared)) == 0).all()

    hidden = layout.overlaps(areas(panels), faces.faces) / layout.areas(faces.faces)
    own = np.eye(len(panels), dtype=bool)
    assert hidden[own].max() <= 0.06
    assert layout.overlaps(areas(panels), faces.features).max() <= 1e-6
    assert hidden[~own].max(initial=0) <= layout.MAY_COVER_OTHERS
    for index, (panel, corner) in enumerate(panels):
        box = layout.box_of(panel.size, corner)[None]
        height = faces.faces[index, 3] - faces.faces[index, 1]
        assert layout.gaps(box, faces.faces[index])[0] <= layout.MAY_BE_AWAY * height
    for index, (tag, corner) in enumerate(tags):
        assert layout.gaps(layout.box_of(tag.size, corner)[None], faces.faces[index])[0] <= 0.5 * tag.size[1]
        assert layout.overlaps(layout.box_of(tag.size, corner)[None], faces.features).max() <= 1e-6


def test_a_tag_without_room_is_shortened_and_then_left_out() -> None:
    narrow = scene((40, 200), [(5, 60, 35, 100)])
    tags = [thing.text for thing, _ in Arranger().arrange(narrow, notes(1)) if isinstance(thing, Tag)]
    assert tags == ["#0"]
    tiny = scene((12, 12), [(1, 1, 11, 11)])
    assert Arranger().arrange(tiny, notes(1)) == []


def test_the_panel_of_a_face_that_fills_the_picture_spares_its_features() -> None:
    face = scene((640, 640), [(0, 0, 640, 640)])
    placed = Arranger().arrange(face, notes(1))
    assert len(placed) == 2
    covered = layout.overlaps(areas(placed), face.features) / layout.areas(face.features)
    assert covered.max() <= layout.MAY_COVER_OWN


def test_everything_is_calm_while_a_face_trembles_and_follows_when_it_walks() -> None:
    noise = np.random.default_rng(0)
    arranger, corners, fresh = Arranger(), [], []
    for step in range(200):
        walk = 0.0 if step < 100 else 3.0 * (step - 100)
        left, top = 300 + walk + noise.normal(0, 1.5), 250 + noise.normal(0, 1.5)
        face = scene((1280, 720), [(left, top, left + 160 + noise.normal(0, 1.5), top + 200)])
        placed = arranger.arrange(face, notes(1))
        corners.append([corner for _, corner in placed])
        fresh.append([corner for _, corner in Arranger().arrange(face, notes(1))])
        assert layout.overlaps(areas(placed), face.features).max() == 0
        assert layout.gaps(areas(placed)[:1], face.faces[0])[0] < 0.3 * 200
    steps = np.abs(np.diff(np.array(corners), axis=0)).max(axis=2)  # (199, 2): of panel and tag, pixels
    fresh_steps = np.abs(np.diff(np.array(fresh), axis=0)).max(axis=2)
    assert (steps[:99, 0] > 0).mean() < 0.03
    assert (fresh_steps[:99, 0] > 0).mean() > 0.7
    assert np.sum(steps[99:] > 12) <= 1  # it glides along; near the border it changes sides, once at most
    assert corners[150][0][0] > corners[99][0][0] + 120


def test_a_newcomer_does_not_push_a_panel_away() -> None:
    arranger = Arranger()
    first = (400.0, 200.0, 500.0, 320.0)
    before = arranger.arrange(scene((1280, 720), [first]), notes(1))
    both = arranger.arrange(scene((1280, 720), [(800.0, 200.0, 960.0, 400.0), first]), notes(2)[::-1])
    panels = [(thing, corner) for thing, corner in both if isinstance(thing, Panel)]
    assert np.abs(np.array(panels[1][1]) - before[0][1]).max() <= 10


def test_panels_grow_again_when_there_is_room() -> None:
    arranger = Arranger()
    crowd = scene((640, 360), grid((640, 360), 6, 3))
    assert all(thing.short for thing, _ in arranger.arrange(crowd, notes(18, tags=False)))
    alone = scene((640, 360), grid((640, 360), 6, 3)[:1])
    shown = [arranger.arrange(alone, notes(1, tags=False))[0][0].short for _ in range(RECONSIDER + 1)]
    assert shown[0]
    assert not shown[-1]
    assert sum(first != second for first, second in pairwise(shown)) == 1


def test_places_are_remembered_for_a_while() -> None:
    arranger, boxes = Arranger(), grid((1280, 720), 2, 1)
    for track in range(1000):
        arranger.arrange(scene((1280, 720), boxes[:1]), [Note(track, HAPPY, ("#1",), BRIGHT)])
    assert len(arranger._spots) <= 2 * (FORGET + 1)
    arranger.arrange(scene((640, 360), boxes[:1]), [Note(5, HAPPY, ("#1",), BRIGHT)])
    assert len(arranger._spots) <= 2


def test_geometry() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 20.0, 10.0], [13.0, 14.0, 20.0, 20.0]])
    assert layout.overlaps(boxes, boxes).tolist() == [[100, 25, 0], [25, 75, 0], [0, 0, 42]]
    assert layout.areas(boxes).tolist() == [100, 75, 42]
    assert layout.areas(np.array([3.0, 3.0, 3.0, 9.0])) == 1
    assert layout.gaps(boxes, boxes[0]).tolist() == [0, 0, 5]
    with pytest.raises(ValueError, match="boxes must have the shape"):
        Scene((10, 10), boxes, boxes[:2])
