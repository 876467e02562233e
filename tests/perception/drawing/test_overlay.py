"""Overlays: that what is drawn lies where it should, can be told apart, and survives odd pictures."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception import topology
from perception_clip.perception.drawing import panels
from perception_clip.perception.drawing.overlay import Overlay, draw_batch
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.vector import Perception, pack

from ..reference_faces import reference_faces

HAPPY = torch.tensor([0.02, 0.01, 0.02, 0.9, 0.02, 0.01, 0.02])
YELLOW = torch.tensor(panels.COLORS["happy"])


@pytest.fixture(scope="module")
def landmarks() -> Tensor:
    """MediaPipe's landmarks of `astronaut`, (478, 3)."""
    return reference_faces().landmarks[0]


def perception(landmarks: Tensor, size: tuple[int, int], emotions: Tensor = HAPPY, track: int = 0) -> Perception:
    points = landmarks[:, :2] * torch.tensor(size).flip(0)
    box = (*points.amin(dim=0).tolist(), *points.amax(dim=0).tolist())
    return Perception(pack(landmarks[None], emotions[None])[0], size, 0, box, score=1.0, track=track)


def crowd(landmarks: Tensor, size: tuple[int, int], columns: int, rows: int) -> list[Perception]:
    """The same face on a grid, filling about a third of each cell."""
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)
    cell = torch.tensor([1 / columns, 1 / rows, 1 / columns])
    unit = (landmarks - low) / (high - low) * torch.tensor([0.5, 0.6, 0.5]) + torch.tensor([0.25, 0.2, 0.0])
    shifts = [torch.tensor([x, y, 0]) for y in range(rows) for x in range(columns)]
    return [perception((unit + shift) * cell, size, track=track) for track, shift in enumerate(shifts)]


def draw(picture: np.ndarray | Tensor, faces: list[Perception], **options: bool) -> Tensor:
    return Overlay(**options).draw(picture, faces)


def changed(before: np.ndarray, after: Tensor) -> np.ndarray:
    """(H, W) bool: which pixels the drawing touched."""
    return (after.numpy() != before).any(axis=2)


def has_color(picture: Tensor, color: Tensor) -> bool:
    return bool(((picture.int() - color).abs().amax(dim=2) < 12).any())


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
    assert has_color(result, YELLOW)
    assert touched.mean() < 0.15  # the picture is still there


def test_a_face_that_fills_the_picture_keeps_its_features(landmarks: Tensor) -> None:
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)
    close_up = (landmarks - low) / (high - low)
    face = perception(close_up, (512, 512))
    picture = np.full((512, 512, 3), 128, dtype=np.uint8)
    bare = draw(picture, [face])
    eyes = (close_up[[*topology.LEFT_EYE_OUTLINE, *topology.RIGHT_EYE_OUTLINE], :2] * 511).round().long()
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


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (16, 10_000), (10_000, 16), (8, 8), (40, 40), (64, 64)])
def test_odd_pictures_survive(landmarks: Tensor, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, dtype=np.uint8)
    assert draw(picture, []).shape == (*shape, 3)
    face = perception(landmarks, shape)
    height, width = shape
    boxes = [
        face.box,
        (0.5 * width, 0.5 * height, 0.5 * width, 0.5 * height),
        (0.5 * width, 0.0, 0.5 * width, float(height)),
        (float(width), float(height), 0.0, 0.0),
        (-1e9, -1e9, 1e9, 1e9),
    ]
    for box in boxes:
        for score in (1.0, 0.0):
            drawn = draw(picture, [replace(face, box=box, score=score)], mesh=True, tracks=True)
            assert drawn.shape == (*shape, 3)


def test_a_face_outside_the_picture_is_drawn_as_far_as_it_is_inside(landmarks: Tensor) -> None:
    picture = np.full((200, 200, 3), 90, dtype=np.uint8)

    def drawn(shift: float, score: float = 1.0) -> np.ndarray:
        face = replace(perception(landmarks + shift, (200, 200)), score=score)
        return changed(picture, draw(picture, [face], mesh=True, tracks=True))

    for shift in (-1e6, -5.0, 5.0, 1e6):
        assert not drawn(shift).any()
        assert not drawn(shift, score=0.0).any()
    for shift in (-0.2, 0.55):
        assert 0.01 < drawn(shift).mean() < 0.5
    giant = perception((landmarks - 0.5) * 1e6, (200, 200))
    assert draw(picture, [giant], mesh=True, tracks=True).shape == (200, 200, 3)


def test_the_order_of_the_faces_does_not_matter(landmarks: Tensor) -> None:
    picture = np.full((700, 1200, 3), 90, dtype=np.uint8)
    faces = crowd(landmarks, (700, 1200), columns=4, rows=2)
    # Faces that cover one another, two of them in the very same place.
    faces += [perception(landmarks * scale, (700, 1200), track=20) for scale in (0.9, 0.8)]
    faces += [perception(landmarks * 0.9, (700, 1200), torch.full((7,), 1 / 7), track=20)]
    expected = draw(picture, faces, tracks=True)
    for seed in range(3):
        shuffled = random.Random(seed).sample(faces, len(faces))
        assert [face.track for face in shuffled] != [face.track for face in faces]
        assert torch.equal(draw(picture, shuffled, tracks=True), expected)


def test_tracks_are_written_at_a_corner_of_the_frame(astronaut: np.ndarray, landmarks: Tensor) -> None:
    face = perception(landmarks, (512, 512))
    bare = draw(astronaut, [face]).numpy()
    rows, columns = changed(bare, draw(astronaut, [face], tracks=True)).nonzero()
    left, top = face.box[:2]
    assert 60 < len(rows) < 1000
    assert top - 30 < rows.min() < rows.max() < top
    assert left - 5 < columns.min() < columns.max() < left + 50
    other = draw(astronaut, [replace(face, track=1)], tracks=True)
    assert 10 < changed(other.numpy(), draw(astronaut, [face], tracks=True)).sum() < 300  # another digit
    assert torch.equal(draw(astronaut, [replace(face, track=1)]), torch.from_numpy(bare))


def test_the_mesh_is_drawn_where_its_triangles_are(landmarks: Tensor) -> None:
    low, high = landmarks.amin(dim=0), landmarks.amax(dim=0)
    face = perception((landmarks - low) / (high - low) * 0.6 + 0.2, (600, 600))
    picture = np.full((600, 600, 3), 90, dtype=np.uint8)
    meshed = draw(picture, [face], mesh=True).numpy()
    points = face.landmarks[:, :2].numpy() * 600
    for corners in topology.triangles():
        a, b = points[corners[0]], points[corners[1]]
        for share in (0.25, 0.5, 0.75):
            x, y = (a + share * (b - a)).astype(int)
            assert meshed[y - 1 : y + 2, x - 1 : x + 2].max() > 100  # brighter than the picture
    assert 1.5 < (meshed > 95).sum() / (draw(picture, [face]).numpy() > 95).sum() < 6
    tiny = perception((landmarks - low) / (high - low) * 0.1 + 0.2, (600, 600))
    assert torch.equal(draw(picture, [tiny], mesh=True), draw(picture, [tiny]))  # it would hide a small face


def test_a_face_that_was_filled_in_looks_so(landmarks: Tensor) -> None:
    face = perception(landmarks, (512, 512))
    picture = np.full((512, 512, 3), 90, dtype=np.uint8)
    seen, filled = draw(picture, [face]), draw(picture, [replace(face, score=0.0)])
    left, top, right = (round(edge) for edge in face.box[:3])

    def gaps(picture: Tensor) -> int:
        """How often the upper edge of the frame begins anew."""
        edge = (picture[top - 1 : top + 1, left - 2 : right + 2].int() - YELLOW).abs().amax(dim=2).amin(dim=0) < 90
        return int((edge[1:] & ~edge[:-1]).sum())

    assert gaps(seen) <= 2
    assert gaps(filled) >= 5
    x, y = (landmarks[topology.NOSE_BRIDGE[2], :2] * 512).round().long().tolist()

    def whiteness(picture: Tensor) -> int:
        return int(picture[y - 1 : y + 2, x - 1 : x + 2].amax())

    assert whiteness(filled) < whiteness(seen) - 20
    words = changed(seen.numpy(), filled)[top - 25 : top - 5, left : left + 60]
    assert words.mean() > 0.4  # "filled in"


def test_a_batch_is_drawn_picture_by_picture(astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    pictures = [astronaut, np.zeros((50, 200, 3), dtype=np.uint8), grace_hopper]
    perceptions = PerceptionPipeline()(pictures)
    drawn = draw_batch(pictures, perceptions)
    assert [tuple(picture.shape) for picture in drawn] == [(512, 512, 3), (50, 200, 3), (600, 512, 3)]
    faces = list(perceptions)
    assert torch.equal(drawn[0], draw(astronaut, [faces[0]]))
    assert torch.equal(drawn[1], draw(pictures[1], []))
    assert torch.equal(drawn[2], draw(grace_hopper, [faces[1]]))
    with pytest.raises(ValueError, match="2 pictures cannot be drawn with perceptions of 3"):
        draw_batch(pictures[:2], perceptions)
    assert draw_batch([], replace(perceptions.select([]), frame_count=0)) == []
