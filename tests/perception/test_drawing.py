"""Overlays: that what is drawn lies where it should, can be told apart, and survives odd pictures."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception import panels, topology
from perception_clip.perception.drawing import draw, draw_batch
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.vector import EMOTIONS, Perception, Perceptions, pack

HAPPY = torch.tensor([0.02, 0.01, 0.02, 0.9, 0.02, 0.01, 0.02])
YELLOW = torch.tensor(panels.COLOURS["happy"])


@pytest.fixture(scope="module")
def landmarks() -> Tensor:
    """MediaPipe's landmarks of `astronaut`, (478, 3)."""
    with np.load(Path(__file__).parent / "reference_landmarks.npz") as file:
        return torch.from_numpy(file["astronaut"][0])


def perception(landmarks: Tensor, size: tuple[int, int], emotions: Tensor = HAPPY, frame: int = 0) -> Perception:
    points = landmarks[:, :2] * torch.tensor(size).flip(0)
    box = (*points.amin(dim=0).tolist(), *points.amax(dim=0).tolist())
    return Perception(pack(landmarks[None], emotions[None])[0], size, frame, box, score=1.0, track=0)


def crowd(landmarks: Tensor, size: tuple[int, int], columns: int, rows: int) -> list[Perception]:
    """The same face on a grid, filling about a third of each cell."""
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)
    cell = torch.tensor([1 / columns, 1 / rows, 1 / columns])
    unit = (landmarks - low) / (high - low) * torch.tensor([0.5, 0.6, 0.5]) + torch.tensor([0.25, 0.2, 0.0])
    shifts = [torch.tensor([x, y, 0]) for y in range(rows) for x in range(columns)]
    return [perception((unit + shift) * cell, size) for shift in shifts]


def changed(before: np.ndarray, after: Tensor) -> np.ndarray:
    """(H, W) bool: which pixels the drawing touched."""
    return (after.numpy() != before).any(axis=2)


def has_colour(picture: Tensor, colour: Tensor) -> bool:
    return bool(((picture.int() - colour).abs().amax(dim=2) < 12).any())


def test_landmarks_frame_and_bars_are_drawn(astronaut: np.ndarray, landmarks: Tensor) -> None:
    original = astronaut.copy()
    face = perception(landmarks, (512, 512))
    result = draw(astronaut, [face])
    assert result.shape == (512, 512, 3)
    assert result.dtype == torch.uint8
    assert np.array_equal(astronaut, original)  # drawn on a copy

    touched = changed(astronaut, result)
    points = (landmarks[:, :2] * 512).round().long()
    for line in (*topology.CLOSED_LINES, *topology.OPEN_LINES):
        for x, y in points[list(line)].tolist():
            assert touched[y - 1 : y + 2, x - 1 : x + 2].any()
    left, top, right, bottom = (round(edge) for edge in face.box)
    for x, y in ((left, top), (right, top), (left, bottom), (right, bottom)):
        assert touched[y - 2 : y + 3, x - 2 : x + 3].any()
    assert has_colour(result, YELLOW)
    assert touched.mean() < 0.15  # the picture is still there


def test_every_emotion_has_its_bar(astronaut: np.ndarray, landmarks: Tensor) -> None:
    even = torch.full((7,), 1 / 7)
    result = draw(astronaut, [perception(landmarks, (512, 512), even)])
    for name in EMOTIONS:
        assert has_colour(result, torch.tensor(panels.COLOURS[name])), name


def test_a_bar_is_as_long_as_its_share() -> None:
    shares = (0.5, 0.0, 0.0, 0.25, 0.25, 0.0, 0.0)
    rendered = torch.from_numpy(np.array(panels.Panel(shares, text=40, short=False).render()))[..., :3]

    def length(name: str) -> int:
        mask = (rendered.int() - torch.tensor(panels.COLOURS[name])).abs().amax(dim=2) < 6
        return int(mask.any(dim=0).sum())

    assert length("angry") == pytest.approx(2 * length("happy"), abs=4)
    assert length("happy") == pytest.approx(length("sad"), abs=2)
    assert 0 < length("fear") < length("sad") / 2  # a dot shows where the bar begins


@pytest.mark.parametrize("side", [96, 128, 256, 1080, 2160])
def test_letters_suit_the_picture(astronaut: np.ndarray, landmarks: Tensor, side: int) -> None:
    box = perception(landmarks, (side, side)).box
    ((panel, (x, y)),) = placed = panels.arrange([tuple(HAPPY.tolist())], [box], [box], (side, side))
    assert len(placed) == 1
    assert panel.text >= max(9, side / 82)
    assert x >= 0
    assert y >= 0
    assert x + panel.size[0] <= side
    assert y + panel.size[1] <= side
    assert panel.short == (side <= 128)
    assert panel.size == panel.render().size


@pytest.mark.parametrize(
    ("size", "columns", "rows", "short"),
    [((700, 1200), 1, 1, False), ((700, 1200), 3, 1, False), ((700, 1200), 6, 3, True), ((1080, 1920), 10, 6, True)],
)
def test_panels_of_many_faces_do_not_overlap(
    landmarks: Tensor, size: tuple[int, int], columns: int, rows: int, short: bool
) -> None:
    faces = crowd(landmarks, size, columns, rows)
    boxes = [face.box for face in faces]
    placed = panels.arrange([tuple(HAPPY.tolist())] * len(faces), boxes, boxes, (size[1], size[0]))
    assert all(item is not None for item in placed)
    areas = [(x, y, x + panel.size[0], y + panel.size[1]) for panel, (x, y) in placed]
    assert all(panels.overlap(first, second) == 0 for first, second in combinations(areas, 2))
    for index, area in enumerate(areas):
        for other, box in enumerate(boxes):
            limit = 0.04 if index == other else 0.02
            assert panels.overlap(area, box) <= limit * panels.area(box)
        assert panels.gap(area, boxes[index]) <= 0.3 * (boxes[index][3] - boxes[index][1])
    assert {panel.short for panel, _ in placed} == {short}
    assert len({panel.text for panel, _ in placed}) == 1
    draw(np.zeros((*size, 3), dtype=np.uint8), faces)


def test_a_face_that_fills_the_picture_keeps_its_features(landmarks: Tensor) -> None:
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)
    close_up = (landmarks - low) / (high - low)
    face = perception(close_up, (512, 512))
    picture = np.full((512, 512, 3), 128, dtype=np.uint8)
    bare = draw(picture, [face])
    eyes = (close_up[[*topology.LEFT_EYE, *topology.RIGHT_EYE], :2] * 511).round().long()
    dark = torch.tensor(panels.BACKGROUND[:3]).float() * 0.8 + 128 * 0.2
    for x, y in eyes.tolist():
        assert (bare[y, x].float() - dark).abs().max() > 10  # no panel over the eyes


def test_a_picture_without_a_face_says_so(astronaut: np.ndarray) -> None:
    result = draw(astronaut, [])
    touched = changed(astronaut, result)
    assert touched[400:].any()
    assert not touched[:400].any()


def test_other_sizes_and_types_than_the_faces_were_found_in(astronaut: np.ndarray, landmarks: Tensor) -> None:
    face = perception(landmarks, (512, 512))
    small = np.array(Image.fromarray(astronaut).resize((256, 384)))
    touched = changed(small, draw(torch.from_numpy(small).float() / 255, [face]))
    points = (landmarks[list(topology.FACE_OVAL), :2] * torch.tensor([256, 384])).round().long()
    for x, y in points.tolist():
        assert touched[y - 1 : y + 2, x - 1 : x + 2].any()
    left, top, right, bottom = (edge * factor for edge, factor in zip(face.box, (0.5, 0.75) * 2, strict=True))
    for x, y in ((left, top), (right, bottom)):
        assert touched[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (16, 3000), (3000, 16), (8, 8), (40, 40), (64, 64)])
def test_odd_pictures_survive(landmarks: Tensor, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, dtype=np.uint8)
    assert draw(picture, []).shape == (*shape, 3)
    assert draw(picture, [perception(landmarks, shape)]).shape == (*shape, 3)


def test_a_face_outside_the_picture_survives(landmarks: Tensor) -> None:
    picture = np.full((100, 100, 3), 90, dtype=np.uint8)
    for shift in (-5.0, -0.3, 0.6, 5.0):
        assert draw(picture, [perception(landmarks + shift, (100, 100))]).shape == (100, 100, 3)


def test_a_batch_is_drawn_picture_by_picture(astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    pictures = [astronaut, np.zeros((50, 200, 3), dtype=np.uint8), grace_hopper]
    perceptions = PerceptionPipeline()(pictures)
    drawn = draw_batch(pictures, perceptions)
    assert [tuple(picture.shape) for picture in drawn] == [(512, 512, 3), (50, 200, 3), (600, 512, 3)]
    faces = list(perceptions)
    assert torch.equal(drawn[0], draw(astronaut, [faces[0]]))
    assert torch.equal(drawn[1], draw(pictures[1], []))
    assert torch.equal(drawn[2], draw(grace_hopper, [faces[1]]))
    with pytest.raises(ValueError, match="2 pictures do not go with perceptions of 3"):
        draw_batch(pictures[:2], perceptions)


def test_a_batch_of_nothing() -> None:
    nothing = Perceptions(
        vectors=torch.zeros(0, 1441),
        image_sizes=torch.zeros(0, 2, dtype=torch.int32),
        frames=torch.zeros(0, dtype=torch.int64),
        boxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        tracks=torch.zeros(0, dtype=torch.int64),
        frame_count=0,
        landmarker="none",
        emotion_model="none",
    )
    assert draw_batch([], nothing) == []


def test_topology_names_each_landmark_once_per_line() -> None:
    for line in (*topology.CLOSED_LINES, *topology.OPEN_LINES):
        assert len(set(line)) == len(line)
        assert min(line) >= 0
        assert max(line) < 468
    assert sorted(i for centre, rim in topology.IRISES for i in (centre, *rim)) == list(range(468, 478))


def test_lines_join_neighbours(landmarks: Tensor) -> None:
    """A wrong index would make a line jump across the face."""
    points = landmarks[:, :2]
    width = points[:, 0].max() - points[:, 0].min()
    for line in topology.CLOSED_LINES:
        ring = points[[*line, line[0]]]
        steps = (ring[1:] - ring[:-1]).norm(dim=1)
        assert steps.max() < 0.14 * width
        assert steps.max() < 3.5 * steps.median()
