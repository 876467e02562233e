"""What the three detectors find: small, distant, turned and no faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.engines import Faces
from perception_clip.perception.landmarks.boxes import Detections
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.landmarks.detectors import DETECTORS
from perception_clip.perception.landmarks.rescoring import Rescorer
from perception_clip.perception.pictures import read_picture

from .group_pictures import VIDEO, compose, load_portraits, load_scenes, match, read_video

EYES = ([33, 133], [362, 263])


@pytest.fixture(scope="module")
def landmarkers() -> dict[str, BundledLandmarker]:
    return {name: BundledLandmarker(detector=name) for name in DETECTORS}


@pytest.fixture(scope="module")
def thorough(landmarkers: dict[str, BundledLandmarker]) -> BundledLandmarker:
    return landmarkers["thorough"]


def turned(picture: np.ndarray, degrees: float) -> tuple[Tensor, np.ndarray, float]:
    """The picture turned clockwise inside a larger black one; the rotation and the larger one's side."""
    image, angle = Image.fromarray(picture), math.radians(degrees)
    side = math.ceil(math.hypot(*image.size))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    back = np.column_stack([rotation.T, np.array(image.size) / 2 - rotation.T @ [side / 2, side / 2]]).ravel().tolist()
    large = image.transform((side, side), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(large)), rotation, side


def test_thorough_finds_the_small_faces_of_a_group_picture_and_nothing_else(
    thorough: BundledLandmarker, shared_data: Path
) -> None:
    portraits, scenes = load_portraits(shared_data), load_scenes(shared_data)
    group = compose(portraits, scenes, size=(1920, 1080), count=30, seed=51)
    heights = group.boxes[:, 3] - group.boxes[:, 1]
    assert heights.min() < 30 and heights.max() > 70
    (faces,) = thorough.detect([group.picture])
    found, extra = match(faces.boxes, group.boxes)
    assert found >= 29 and extra == 0, f"{found} of 30, {extra} extra"


def test_thorough_finds_small_turned_heads(thorough: BundledLandmarker, shared_data: Path) -> None:
    group = compose(load_portraits(shared_data), load_scenes(shared_data), size=(1280, 720), count=18, turn=180, seed=7)
    (faces,) = thorough.detect([group.picture])
    found, extra = match(faces.boxes, group.boxes)
    assert found >= 17 and extra == 0


# The true number of faces by eye where `fast` finds fewer (see SOURCES.md there), and what `standard` finds.
MISSED_BY_FAST = {
    "strip_5_faces.png": (5, 5),
    "tiny_face_48px.png": (1, 1),
    "tiny_face_24px.png": (0, 1),
    "camera_profile_gray.png": (1, 1),
}


def test_standard_and_thorough_find_what_fast_misses(
    landmarkers: dict[str, BundledLandmarker], shared_data: Path
) -> None:
    for name, (by_standard, true) in MISSED_BY_FAST.items():
        picture = read_picture(shared_data / "faces" / name)
        counts = [len(landmarkers[detector].detect([picture])[0]) for detector in ("fast", "standard", "thorough")]
        assert counts[0] < true and counts[1:] == [by_standard, true], name


def test_standard_checks_again_only_faces_that_are_small_or_rotated(
    landmarkers: dict[str, BundledLandmarker], shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard, counts = landmarkers["standard"], []
    confirm = Rescorer.confirm

    def counting(self: Rescorer, pictures: Sequence[Tensor], candidates: Detections, *, min_score: float) -> Detections:
        counts.append(len(candidates.frames))
        return confirm(self, pictures, candidates, min_score=min_score)

    monkeypatch.setattr(Rescorer, "confirm", counting)
    faces = shared_data / "faces"
    plain, tiny, lying = (
        read_picture(faces / name) for name in ("astronaut.png", "tiny_face_48px.png", "astronaut_rot90.png")
    )
    assert len(standard.detect([plain])[0].scores) == 1 and counts.pop() == 0
    assert len(standard.detect([tiny])[0].scores) == 1 and counts.pop() > 0
    assert len(standard.detect([lying])[0].scores) == 1 and counts.pop() > 0
    fast = landmarkers["fast"].detect([plain])[0].landmarks
    eyes = (fast[0, 33] - fast[0, 263])[:2].norm()
    assert (standard.detect([plain])[0].landmarks - fast)[..., :2].norm(dim=2).mean() < 0.02 * eyes
    assert not len(standard.detect([plain], min_confidence=0.99)[0].scores)


@pytest.mark.parametrize("name", ["obama_240p.jpg", "two_people.jpg", "tiny_image_64.png", "dark_astronaut.png"])
def test_all_detectors_see_the_same_faces_where_fast_sees_them(
    landmarkers: dict[str, BundledLandmarker], shared_data: Path, name: str
) -> None:
    picture = read_picture(shared_data / "faces" / name)
    fast, standard, thorough = (landmarker.detect([picture])[0] for landmarker in landmarkers.values())
    for faces in (standard, thorough):
        assert len(faces) == len(fast)
        # Where the crop lies moves the landmarks less than 5 % of the distance between the eyes.
        nearest = torch.cdist(fast.landmarks[:, 1], faces.landmarks[:, 1]).argmin(dim=1)
        pixels = torch.tensor(picture.shape[1::-1])
        first, second = (each[:, :, :2] * pixels for each in (fast.landmarks, faces.landmarks[nearest]))
        left, right = (first[:, eye].mean(dim=1) for eye in EYES)
        error = (first - second).norm(dim=2).mean(dim=1) / (left - right).norm(dim=1)
        assert (error < 0.05).all(), error


def test_no_face_in_photos_and_film_without_one(landmarkers: dict[str, BundledLandmarker], shared_data: Path) -> None:
    photos = [
        read_picture(shared_data / "faces" / f"noface_{name}")
        for name in ("chelsea_cat.png", "coffee.png", "rocket.jpg")
    ]
    frames = [torch.from_numpy(frame) for frame in read_video(shared_data / "video" / VIDEO)]
    assert len(frames) == 95
    for name, every in (("fast", 6), ("standard", 12), ("thorough", 40)):  # benchmarks/detection.py takes any share
        found = landmarkers[name].detect(photos + frames[::every])
        assert [len(faces) for faces in found] == [0] * len(found), name


def test_no_face_in_texture_text_and_noise(thorough: BundledLandmarker) -> None:
    from skimage import data

    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (64, 96, 3), np.uint8)).resize((384, 256), Image.Resampling.BICUBIC)
    gray = [data.brick(), data.grass(), data.page(), data.text()]
    pictures = [np.stack([picture] * 3, axis=2) for picture in gray] + [np.array(noise)]
    found = thorough.detect([torch.from_numpy(picture[:400, :400].copy()) for picture in pictures])
    assert [len(faces) for faces in found] == [0] * 5


@pytest.mark.parametrize("degrees", [0, 15, 45, 90, 120, 165, 180, 210, 255, 270, 300, 345])
def test_a_head_turned_by_any_angle_keeps_its_landmarks(
    thorough: BundledLandmarker, astronaut: np.ndarray, upright: Faces, degrees: int
) -> None:
    photo = astronaut[:300, 72:372]
    picture, rotation, side = turned(photo, degrees)
    (faces,) = thorough.detect([picture])
    assert len(faces) == 1
    expected = (upright.landmarks[0, :, :2].numpy() * 300 - 150) @ rotation.T + side / 2
    found = faces.landmarks[0, :, :2].numpy() * side
    between_eyes = np.linalg.norm(expected[EYES[0]].mean(axis=0) - expected[EYES[1]].mean(axis=0))
    assert np.linalg.norm(found - expected, axis=1).mean() < 0.06 * between_eyes


@pytest.fixture(scope="module")
def upright(landmarkers: dict[str, BundledLandmarker], astronaut: np.ndarray) -> Faces:
    return landmarkers["fast"].detect([torch.tensor(astronaut[:300, 72:372])])[0]


@pytest.mark.parametrize("detector", ["standard", "thorough"])
def test_company_and_odd_sizes_do_not_matter(
    landmarkers: dict[str, BundledLandmarker], astronaut: np.ndarray, grace_hopper: np.ndarray, detector: str
) -> None:
    photo, other = torch.tensor(astronaut)[:300, 100:350], torch.tensor(grace_hopper)[100:400, 100:400]
    shapes = [(1, 1), (16, 10_000), (10_000, 16), (1, 300), (300, 250)]
    odd = [torch.full((*shape, 3), 128, dtype=torch.uint8) for shape in shapes]
    (alone,), (beside,) = (landmarkers[detector].detect([picture]) for picture in (photo, other))
    together = landmarkers[detector].detect([odd[0], photo, *odd[1:], other, photo])
    assert [len(faces) for faces in together] == [0, 1, 0, 0, 0, 0, len(beside), 1] and len(beside) > 0
    for faces, expected in ((together[1], alone), (together[6], beside), (together[7], alone)):
        torch.testing.assert_close(faces.boxes, expected.boxes, atol=0.05, rtol=0)
        torch.testing.assert_close(faces.landmarks, expected.landmarks, atol=3e-4, rtol=0)
        torch.testing.assert_close(faces.scores, expected.scores, atol=1e-3, rtol=0)


def test_thorough_keeps_the_surest_faces(thorough: BundledLandmarker, shared_data: Path) -> None:
    picture = read_picture(shared_data / "faces" / "strip_5_faces.png")
    (every,) = thorough.detect([picture])
    (two,) = BundledLandmarker(detector="thorough", max_faces=2).detect([picture])
    assert sorted(two.scores.tolist()) == pytest.approx(sorted(every.scores.tolist())[-2:], abs=1e-4)
    (sure,) = thorough.detect([picture], min_confidence=0.87)
    assert 0 < len(sure) == int((every.scores >= 0.87).sum()) < 5
