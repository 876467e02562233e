"""MediaPipe's Face Landmarker as a landmarker: like the bundled one, and clear about what is missing or wrong."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.engines import Faces
from perception_clip.perception.landmarks import mediapipe
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.landmarks.mediapipe import (
    KEPT,
    TASK_BYTES,
    TASK_NAME,
    TASK_SHA256,
    MediaPipeLandmarker,
    MediaPipeMissingError,
    TaskFileError,
    find_task,
    open_landmarker,
)
from perception_clip.perception.pictures import read_picture

RIGHT_PUPIL, LEFT_PUPIL, RIGHT_CORNER, LEFT_CORNER = 468, 473, 33, 263
# Mean distance of a face's landmarks. MediaPipe's own two face meshes, the legacy one and the task's, differ on the
# same photos by 0.022 distances between the pupils in the median, 0.016 between the outer corners of the eyes, the
# usual inter-ocular distance (300-W).
PUPIL_BOUND, CORNER_BOUND, WORST_BOUND = 0.025, 0.020, 0.05


@pytest.fixture(scope="module")
def task(shared_data: Path) -> Path:
    return shared_data / TASK_NAME


@pytest.fixture(scope="module")
def landmarker(task: Path) -> MediaPipeLandmarker:
    pytest.importorskip("mediapipe", reason='needs the extra: pip install "mediapipe>=0.10.30"')
    return MediaPipeLandmarker(task)


@pytest.fixture(scope="module")
def bundled() -> BundledLandmarker:
    return BundledLandmarker()


@pytest.fixture
def photo(astronaut: np.ndarray) -> Tensor:
    return torch.tensor(astronaut)


def differences(faces: Tensor, expected: Tensor, picture: Tensor) -> list[tuple[float, float]]:
    """Per expected face (E, 478, 3), the mean distance of the nearest face's landmarks (in x and y), in distances
    between the pupils and in distances between the outer corners of the eyes."""
    pixels = torch.tensor([picture.shape[1], picture.shape[0]])
    found, expected = faces[..., :2] * pixels, expected[..., :2] * pixels
    distances = (expected[:, None] - found).norm(dim=3).mean(dim=2).amin(dim=1)  # (E,)
    scales = [
        (expected[:, a] - expected[:, b]).norm(dim=1)
        for a, b in ((RIGHT_PUPIL, LEFT_PUPIL), (RIGHT_CORNER, LEFT_CORNER))
    ]
    return [(float(d / p), float(d / c)) for d, p, c in zip(distances, *scales, strict=True)]


def assert_alike(measured: list[tuple[float, float]]) -> None:
    pupils, corners = np.median(measured, axis=0)
    assert pupils <= PUPIL_BOUND and corners <= CORNER_BOUND
    assert max(pupil for pupil, _ in measured) <= WORST_BOUND


def test_bundled_landmarker_is_like_the_recorded_task(bundled: BundledLandmarker, shared_data: Path) -> None:
    measured = []
    with np.load(shared_data / "faces" / "reference_tasks.npz", allow_pickle=False) as reference:
        for name in reference.files:
            picture = read_picture(shared_data / "faces" / name)
            if len(expected := torch.from_numpy(reference[name])):
                measured += differences(bundled.detect([picture])[0].landmarks, expected, picture)
    assert len(measured) == 27
    assert_alike(measured)


def test_repeats_the_recorded_task(landmarker: MediaPipeLandmarker, shared_data: Path) -> None:
    with np.load(shared_data / "faces" / "reference_tasks.npz", allow_pickle=False) as reference:
        for name in ("obama.jpg", "two_people.jpg", "strip_5_faces.png", "noface_coffee.png", "one_pixel.png"):
            picture, expected = read_picture(shared_data / "faces" / name), torch.from_numpy(reference[name])
            (faces,) = landmarker.detect([picture])
            assert len(faces) == len(expected), name
            if len(expected):
                assert max(differences(faces.landmarks, expected, picture))[0] < 0.002  # versions differ a little


def test_result_is_complete_in_range_and_largest_first(landmarker: MediaPipeLandmarker, shared_data: Path) -> None:
    picture = read_picture(shared_data / "faces" / "strip_5_faces.png")
    (faces,) = landmarker.detect([picture])
    count = len(faces)
    assert count >= 4
    assert faces.landmarks.shape == (count, 478, 3) and faces.boxes.shape == (count, 4)
    assert {t.dtype for t in (faces.landmarks, faces.boxes, faces.scores)} == {torch.float32}
    assert faces.scores.tolist() == [0.5] * count  # as sure as it was asked to be
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(dim=1)
    assert areas.tolist() == sorted(areas.tolist(), reverse=True)
    pixels = faces.landmarks[..., :2] * torch.tensor([picture.shape[1], picture.shape[0]])
    torch.testing.assert_close(faces.boxes, torch.cat([pixels.amin(dim=1), pixels.amax(dim=1)], dim=1))


@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("shape", [(600, 1200), (1200, 600)])
def test_depth_counts_image_widths_however_the_head_is_turned(
    landmarker: MediaPipeLandmarker, grace_hopper: np.ndarray, turns: int, shape: tuple[int, int]
) -> None:
    with Image.fromarray(grace_hopper[60:420, 80:440]) as face:
        upright = torch.from_numpy(np.array(face.resize((600, 600))))
    top, left = (shape[0] - 600) // 2, (shape[1] - 600) // 2
    picture = torch.zeros(*shape, 3, dtype=torch.uint8)
    picture[top : top + 600, left : left + 600] = upright.rot90(turns)
    expected, faces = landmarker.detect([upright, picture])
    assert len(faces) == 1
    expected_depth, depth = expected.landmarks[0, :, 2] * 600, faces.landmarks[0, :, 2] * shape[1]
    ratio = float((depth * expected_depth).sum() / expected_depth.square().sum())
    assert 0.95 < ratio < 1.05  # the task's own numbers of a turned head would give 2 or 1/2


def test_options_reach_the_task(landmarker: MediaPipeLandmarker, task: Path, shared_data: Path) -> None:
    picture = read_picture(shared_data / "faces" / "two_people.jpg")
    assert len(landmarker.detect([picture])[0]) == 2
    assert len(MediaPipeLandmarker(task, max_faces=1).detect([picture])[0]) == 1
    assert len(landmarker.detect([picture], min_confidence=0.99)[0]) == 0
    assert len(landmarker.detect([picture])[0]) == 2  # as before


def test_order_shape_and_memory_layout_of_pictures(landmarker: MediaPipeLandmarker, photo: Tensor) -> None:
    blank = torch.zeros(30, 40, 3, dtype=torch.uint8)
    for shape in ((1, 1), (1, 7), (2, 2), (10000, 16), (16, 10000), (1, 3000)):
        (faces,) = landmarker.detect([torch.full((*shape, 3), 128, dtype=torch.uint8)])
        assert faces.landmarks.shape == (0, 478, 3) and faces.boxes.shape == (0, 4) and faces.scores.shape == (0,)
    strided = photo.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    faces = landmarker.detect([blank, photo, blank, strided])
    assert [len(found) for found in faces] == [0, 1, 0, 1]
    assert torch.equal(faces[1].landmarks, faces[3].landmarks)
    assert landmarker.detect([]) == []


def test_identity_names_wheel_and_file(landmarker: MediaPipeLandmarker) -> None:
    assert re.fullmatch(rf"mediapipe-face-landmarker/\d+\.\d+\.\d+:{TASK_SHA256[:8]}", landmarker.identity)


def test_address_card_is_that_of_the_official_file(task: Path) -> None:
    content = task.read_bytes()
    assert len(content) == TASK_BYTES and hashlib.sha256(content).hexdigest() == TASK_SHA256


def test_one_instance_per_option_set_and_closed_when_replaced(
    landmarker: MediaPipeLandmarker, task: Path, photo: Tensor, tmp_path: Path
) -> None:
    model = tmp_path / TASK_NAME
    model.write_bytes(task.read_bytes())
    first = open_landmarker(model, max_faces=3)
    assert open_landmarker(model, max_faces=3) is first
    assert open_landmarker(model, max_faces=2) is not first
    assert len(first.detect([photo])[0]) == 1  # another option set does not replace it …
    os.utime(model, ns=(1, 1))
    second = open_landmarker(model, max_faces=3)
    assert second is not first and len(second.detect([photo])[0]) == 1
    with pytest.raises(RuntimeError, match="has been closed"):
        first.detect([photo])  # … a new version of its file does …
    for faces in range(10, 10 + KEPT):
        open_landmarker(model, max_faces=faces)
    with pytest.raises(RuntimeError, match="has been closed"):
        second.detect([photo])  # … and so does being left unused
    assert len(mediapipe._open) == KEPT
    second.close()  # again: no harm


def test_senseless_settings_are_refused(landmarker: MediaPipeLandmarker, photo: Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_faces"):
        MediaPipeLandmarker(tmp_path / TASK_NAME, max_faces=0)
    for confidence in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="min_confidence"):
            landmarker.detect([photo], min_confidence=confidence)


def test_find_task_takes_the_first_folder_that_has_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        with pytest.raises(TaskFileError):
            find_task([first, second])
    (second / TASK_NAME).write_bytes(b"")
    assert find_task([first, second]) == second / TASK_NAME
    (first / TASK_NAME).write_bytes(b"")
    assert find_task([first, second]) == first / TASK_NAME


def test_missing_file_says_what_where_from_and_where_to(tmp_path: Path) -> None:
    for attempt in (lambda: find_task([tmp_path, tmp_path / "b"]), lambda: MediaPipeLandmarker(tmp_path / TASK_NAME)):
        with pytest.raises(TaskFileError) as caught:
            attempt()
        message = str(caught.value)
        for part in (
            TASK_NAME,
            "https://storage.googleapis.com/mediapipe-models/",
            "3,758,596 bytes",
            TASK_SHA256,
            f"put it into {tmp_path}",
            "bundled landmarker",
        ):
            assert part in message


def spoil(kind: str, task: Path, path: Path) -> None:
    content = task.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "another zip":
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("hand_detector.tflite", b"x" * 1000)
    elif kind == "random networks":
        with zipfile.ZipFile(path, "w") as bundle:
            for name in ("face_detector.tflite", "face_landmarks_detector.tflite"):
                bundle.writestr(name, np.random.default_rng(0).bytes(5000))
    elif kind == "swapped networks":
        with zipfile.ZipFile(task) as bundle, zipfile.ZipFile(path, "w") as other:
            names = ["face_detector.tflite", "face_landmarks_detector.tflite"]
            for name, content_of in zip(names, reversed(names), strict=True):
                other.writestr(name, bundle.read(content_of))
    elif kind == "flipped bytes":
        path.write_bytes(content[:500_000] + bytes(200) + content[500_200:])
    else:
        path.write_bytes({"empty": b"", "random": np.random.default_rng(0).bytes(5000), "cut": content[:-5000]}[kind])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("folder", ".*"),
        ("empty", "not a zip file"),
        ("random", "not a zip file"),
        ("cut", "not a zip file"),
        ("another zip", "it contains no face_detector.tflite and no face_landmarks_detector.tflite"),
        ("flipped bytes", "is damaged"),
        ("random networks", ".*"),
        ("swapped networks", ".*"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the wheel's, of a task that failed
def test_a_task_that_is_not_one_is_refused_by_name(
    landmarker: MediaPipeLandmarker, task: Path, photo: Tensor, tmp_path: Path, kind: str, reason: str
) -> None:
    path = tmp_path / TASK_NAME
    spoil(kind, task, path)
    with pytest.raises(TaskFileError, match=rf"(?s){TASK_NAME} is not a Face Landmarker bundle.*{reason}.*Download"):
        MediaPipeLandmarker(path).detect([photo])
    (faces,) = landmarker.detect([photo])  # and the process lives on
    assert isinstance(faces, Faces) and len(faces) == 1


def test_without_the_wheel_the_error_says_what_to_install(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)  # what Python does for a module that is not there
    with pytest.raises(MediaPipeMissingError, match=r'pip install "mediapipe>=0\.10\.30"(?s:.*)bundled landmarker'):
        MediaPipeLandmarker(task)


def test_a_task_that_failed_does_not_hang_the_process(task: Path, tmp_path: Path) -> None:
    """Freed by the cyclic garbage collector, the wheel's own object would wait for ever for its thread."""
    path = tmp_path / TASK_NAME
    spoil("swapped networks", task, path)
    code = (
        "import gc, sys, torch\n"
        "from pathlib import Path\n"
        "from perception_clip.perception.landmarks.mediapipe import MediaPipeLandmarker, TaskFileError\n"
        "def fail():\n"
        "    landmarker = MediaPipeLandmarker(Path(sys.argv[1]))\n"
        "    landmarker.myself = landmarker\n"
        "    landmarker.detect([torch.full((200, 200, 3), 128, dtype=torch.uint8)])\n"
        "for _ in range(1):\n"
        "    try:\n"
        "        fail()\n"
        "    except TaskFileError:\n"
        "        pass\n"
        "    gc.collect()\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "alive"
    assert "Exception ignored" not in done.stderr
