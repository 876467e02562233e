"""Control pictures: colors and places of what is drawn, compared with MediaPipe's own drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from perception_clip.perception.control.openpose import key_points
from perception_clip.perception.control.pictures import (
    KINDS,
    control_pictures,
    draw,
    picture_size,
    placed_faces,
    small_faces,
)
from perception_clip.perception.editing.edit import edit
from perception_clip.perception.topology import INNER_LIPS

from ..reference_faces import MODEL, posed, reference_faces

SIZE = (512, 600)
# Red, green and blue of ControlNetMediaPipeFace, by MediaPipe's names of the parts.
COLORS = {
    "FACE_OVAL": (10, 200, 10),
    "LEFT_EYE": (10, 200, 180),
    "LEFT_EYEBROW": (10, 220, 180),
    "RIGHT_EYE": (180, 200, 10),
    "RIGHT_EYEBROW": (180, 220, 10),
    "LIPS": (10, 180, 10),
}
PUPILS = {468: (250, 200, 10), 473: (10, 200, 250)}  # right and left


def ignore(done: int) -> None:
    pass


def grace_hopper() -> list[np.ndarray]:
    return placed_faces(reference_faces(), SIZE)[2]


def color_at(pixels: np.ndarray, point: np.ndarray) -> tuple[int, ...]:
    x, y = point.astype(int)
    return tuple(pixels[y, x].tolist())


def test_nothing_else_is_drawn_and_pupils_have_16_pixels() -> None:
    [face] = grace_hopper()
    pixels = draw("mediapipe_face", [face], SIZE)
    assert set(map(tuple, pixels.reshape(-1, 3).tolist())) == {(0, 0, 0), *COLORS.values(), *PUPILS.values()}
    for pupil, color in PUPILS.items():
        assert color_at(pixels, face[pupil]) == color and (pixels == color).all(axis=2).sum() == 16


@pytest.mark.parametrize("change", [lambda faces: faces, posed], ids=["upright", "turned"])
def test_it_is_what_mediapipe_draws(change: Callable) -> None:
    """With lines of thickness 2, as the tool that made the training data asks for."""
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    from mediapipe.tasks.python.components.containers.landmark import NormalizedLandmark

    style = vision.drawing_utils.DrawingSpec
    for face in change(reference_faces()):
        height, width = face.image_size
        theirs = np.zeros((height, width, 3), np.uint8)
        landmarks = [NormalizedLandmark(x=x, y=y, z=z) for x, y, z in face.landmarks.tolist()]
        for name, color in COLORS.items():
            lines = getattr(vision.FaceLandmarksConnections, f"FACE_LANDMARKS_{name}")
            vision.drawing_utils.draw_landmarks(theirs, landmarks, lines, None, style(color, 2, 1))
        for pupil, color in PUPILS.items():
            x, y = int(landmarks[pupil].x * width), int(landmarks[pupil].y * height)
            theirs[y - 2 : y + 2, x - 2 : x + 2] = color
        points = face.landmarks[:, :2].numpy().astype(float) * (width, height)
        ours = draw("mediapipe_face", [points], (width, height))
        assert (ours == theirs).all(axis=2).mean() > 0.9994
        one, other = ours.any(axis=2), theirs.any(axis=2)
        assert (one & other).sum() / (one | other).sum() > 0.93
        assert (ours == theirs).all(axis=2)[one & other].mean() > 0.99


def test_dots_are_opencvs_circles_of_radius_3() -> None:
    [face] = grace_hopper()
    pixels = draw("openpose_face", [face], SIZE)
    x, y = key_points(face)[8].astype(int)  # the chin, away from others
    dot = pixels[y - 4 : y + 5, x - 4 : x + 5, 0]
    assert (dot > 0).sum(axis=1).tolist() == [0, 1, 5, 5, 7, 5, 5, 1, 0]
    assert set(np.unique(pixels)) == {0, 255}
    assert all(color_at(pixels, point) == (255, 255, 255) for point in key_points(face))


@pytest.mark.parametrize("kind", KINDS)
def test_an_edited_mouth_opens_in_the_picture(kind: str) -> None:
    faces = reference_faces().select([1])
    opened = edit(faces, {"surprise": 1.5}, 1.0, MODEL)
    before, after = (draw(kind, placed_faces(each, SIZE)[2], SIZE) for each in (faces, opened))
    face, other = (placed_faces(each, SIZE)[2][0] for each in (faces, opened))
    gap = other[14, 1] - other[13, 1]
    assert gap > face[14, 1] - face[13, 1] + 8
    x, lips = int(other[13, 0]), other[list(INNER_LIPS)]
    low, high = int(lips[:, 1].min()) - 4, int(lips[:, 1].max()) + 5
    rows = np.flatnonzero(after[low:high, x].any(axis=1)) + low
    assert np.diff(rows).max() == pytest.approx(gap, abs=6)  # black between the lips
    assert (before != after).any(axis=2).mean() > 0.002
    brow = slice(0, int(face[10, 1]) - 4)  # above the face there is nothing
    assert not after[brow].any()


@pytest.mark.parametrize("kind", KINDS)
def test_everything_grows_with_the_shorter_side(kind: str) -> None:
    small = draw(kind, grace_hopper(), SIZE)
    large = draw(kind, placed_faces(reference_faces(), (1024, 1200))[2], (1024, 1200))
    reduced = large.reshape(600, 2, 512, 2, 3).mean(axis=(1, 3))
    assert reduced.sum() / small.sum(dtype=float) == pytest.approx(1, abs=0.12)
    assert np.corrcoef(reduced.ravel(), small.ravel())[0, 1] > 0.8


def test_sizes_keep_the_proportions() -> None:
    faces = reference_faces().select([1])  # from 512 × 600
    assert picture_size(faces) == (512, 600)
    assert picture_size(faces, width=640) == (640, 752)
    assert picture_size(faces, height=1024) == (872, 1024)
    assert picture_size(faces, 1024, 512) == (1024, 512)
    assert picture_size(faces.select([])) == (512, 512) and picture_size(faces.select([]), height=768) == (768, 768)
    [[], [], [face]] = placed_faces(faces, (1024, 512))
    original = faces.landmarks[0, :, :2].numpy() * (512, 600)
    assert np.allclose(face, original * 512 / 600 + ((1024 - 512 * 512 / 600) / 2, 0), atol=1e-3)  # whole, centered


def test_a_picture_per_frame_with_all_its_faces() -> None:
    both = replace(reference_faces(), frames=torch.tensor([1, 1]))
    frames, seen = placed_faces(both, (256, 256)), []
    pictures = control_pictures("mediapipe_face", frames, (256, 256), seen.append)
    assert pictures.shape == (3, 256, 256, 3) and pictures.dtype == torch.float32 and seen == [1, 2, 3]
    assert not pictures[0].any() and not pictures[2].any()
    drawn = [draw("mediapipe_face", [face], (256, 256)) for face in frames[1]]
    shown = (pictures[1] * 255).round().numpy()
    front = drawn[0].any(axis=2)
    assert (shown[front] == drawn[0][front]).all()  # the first face is in front
    assert (shown[~front] == drawn[1][~front]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_faces_at_the_edge_and_outside(kind: str) -> None:
    [face] = grace_hopper()
    whole, half = draw(kind, [face], SIZE), draw(kind, [face - (face[:, 0].mean(), 0)], SIZE)
    assert 0.35 < half.sum(dtype=float) / whole.sum(dtype=float) < 0.65
    assert not draw(kind, [face + 2000], SIZE).any() and not draw(kind, [face - 2000], SIZE).any()
    assert draw(kind, [face * 0 + 50], SIZE).any(axis=2).sum() < 60  # all landmarks at one point


def test_small_faces_are_counted() -> None:
    assert small_faces(placed_faces(reference_faces(), (512, 512)), (512, 512)) == 0
    tiny = [[grace_hopper()[0] * 0.1, grace_hopper()[0]]]
    assert small_faces(tiny, SIZE) == 1
