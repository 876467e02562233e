"""A landmarker that uses MediaPipe's own Face Landmarker, for its exact numbers. It needs the `mediapipe` wheel.

The bundled landmarker (perception/landmarks/bundled.py) needs neither the wheel nor a file and runs on any device; the
two agree within about two hundredths of the distance between the pupils, as MediaPipe's own two face meshes do.
"""

from __future__ import annotations

import hashlib
import io
import weakref
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...common.errors import MissingLibraryError, PerceptionClipError
from ..engines import BATCH_SIZE, MIN_CONFIDENCE, MOST_FACES, Faces, check_confidence, check_pictures, largest_first
from ..topology import LEFT_IRIS, RIGHT_IRIS
from ..vector import LANDMARKS

TASK_NAME = "face_landmarker.task"
TASK_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
TASK_BYTES = 3_758_596
TASK_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
TASK_PARTS = {"face_detector.tflite", "face_landmarks_detector.tflite"}  # required in a .task, which is a zip file

BUNDLED_NEEDS_NOTHING = "The bundled landmarker needs neither the wheel nor the file."
KEPT = 4  # open landmarkers; each takes some 30 MB

_open: dict[tuple[Path, int], MediaPipeLandmarker] = {}  # the most recently used one is last
_failed: list[Any] = []  # tasks that could not be closed


class MediaPipeMissingError(MissingLibraryError):
    """The mediapipe wheel is not installed, too old, or cannot be loaded on this machine."""

    def __init__(self, reason: object) -> None:
        super().__init__(
            f"MediaPipe's Face Landmarker needs the mediapipe wheel, which cannot be loaded ({reason}). Install it "
            'with\npip install "mediapipe>=0.10.30"\n(the extra `mediapipe` of this pack) and restart. '
            f"{BUNDLED_NEEDS_NOTHING}"
        )


class TaskFileError(PerceptionClipError, ValueError):
    """The .task file is missing or not a Face Landmarker bundle; the message states where to download it."""

    def __init__(self, problem: str, folder: Path | None) -> None:
        super().__init__(
            f"{problem}. Download {TASK_NAME} ({TASK_BYTES:,} bytes, SHA-256 {TASK_SHA256}) from\n{TASK_ADDRESS}\n"
            f"and {'pass its path' if folder is None else f'put it into {folder}'}. {BUNDLED_NEEDS_NOTHING}"
        )


def find_task(folders: Sequence[Path]) -> Path:
    """Return the first `face_landmarker.task` in `folders`. Raises TaskFileError with instructions if there is none."""
    for folder in folders:
        if (folder / TASK_NAME).is_file():
            return folder / TASK_NAME
    looked = f"It is not in {', '.join(map(str, folders))}" if folders else "No folder to search was given"
    raise TaskFileError(
        f"MediaPipe's Face Landmarker needs the file {TASK_NAME}. {looked}", folders[0] if folders else None
    )


def open_landmarker(model: Path, *, max_faces: int = MOST_FACES) -> MediaPipeLandmarker:
    """Return the landmarker with these options, created on first use and then kept.

    It is closed if its file changes, or if it is the least recently used and more than `KEPT` are open: call this again
    rather than keep the result. Raises the errors of MediaPipeLandmarker.
    """
    key = (model.resolve(), max_faces)
    landmarker = _open.pop(key, None)
    if landmarker is not None and landmarker.file_state != _file_state(model):
        landmarker.close()
        landmarker = None
    _open[key] = landmarker or MediaPipeLandmarker(model, max_faces=max_faces)
    while len(_open) > KEPT:
        _open.pop(next(iter(_open))).close()
    return _open[key]


class MediaPipeLandmarker:
    """Finds faces and their landmarks with the Face Landmarker task, picture by picture on the CPU.

    Implements `engines.Landmarker`. The `max_faces` faces with the highest confidence are kept in each picture. The
    task does not report the confidence of a face, only that it reaches the minimum: `scores` contain that minimum.

    The task is loaded here, and again for another `min_confidence`, which it accepts only on creation. `close()` frees
    it. Raises MediaPipeMissingError and TaskFileError.
    """

    batch_size = BATCH_SIZE

    def __init__(self, model: Path, *, max_faces: int = MOST_FACES) -> None:
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, not {max_faces}")
        self.file_state = _file_state(model)
        self._model = model
        self._max_faces = max_faces
        self._content = _read_task(model)
        self._open(MIN_CONFIDENCE)
        digest = hashlib.sha256(self._content).hexdigest()
        self.identity = f"mediapipe-face-landmarker/{self._version}:{digest[:8]}"

    def _open(self, min_confidence: float) -> None:
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions
            from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, RunningMode
        except ImportError as error:
            raise MediaPipeMissingError(error) from error
        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=self._content),  # a path with an umlaut would fail on Windows
            running_mode=RunningMode.IMAGE,
            num_faces=self._max_faces,
            min_face_detection_confidence=min_confidence,
        )
        try:
            task = FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, FileNotFoundError) as error:
            raise _not_a_task(self._model, error) from error
        except OSError as error:  # a system library that the wheel's own needs
            raise MediaPipeMissingError(error) from error
        self._min_confidence = min_confidence
        self._detect = task.detect
        # If freed by Python's cyclic garbage collector, a task waits forever for its own thread, which has ended then
        # (seen in mediapipe 1.2.3). So weakref's registry keeps the task until it is closed.
        self._close = weakref.finalize(self, _close, task)
        self._image = mediapipe.Image
        self._rgb = mediapipe.ImageFormat.SRGB
        self._version = mediapipe.__version__

    def detect(self, pictures: Sequence[Tensor], *, min_confidence: float = MIN_CONFIDENCE) -> list[Faces]:
        """Return the faces of each picture, (H, W, 3) uint8 RGB of any size, on the CPU, the largest first.

        Raises ValueError for a picture of another shape or type, RuntimeError after `close()`, and TaskFileError if
        the networks in the file are not those of the Face Landmarker.
        """
        if not self._close.alive:
            raise RuntimeError("this MediaPipe landmarker has been closed; open another one")
        check_pictures(pictures)
        check_confidence(min_confidence)
        if min_confidence != self._min_confidence:
            self.close()
            self._open(min_confidence)
        return [self._find(picture) for picture in pictures]

    def close(self) -> None:
        """Free the memory and threads of the task. This also happens automatically; calling it twice is harmless."""
        self._close()

    def _find(self, picture: Tensor) -> Faces:
        height, width = picture.shape[:2]
        pixels = np.ascontiguousarray(picture.cpu().numpy())
        try:
            faces: list[list[Any]] = self._detect(self._image(self._rgb, pixels)).face_landmarks
        except (RuntimeError, ValueError) as error:
            raise _not_a_task(self._model, error) from error
        points = [[(point.x, point.y, point.z) for point in face] for face in faces]
        if any(len(face) != LANDMARKS for face in points):
            raise _not_a_task(self._model, f"it returns {len(points[0])} landmarks, not {LANDMARKS}")
        landmarks = torch.tensor(points, dtype=torch.float32).view(-1, LANDMARKS, 3)
        landmarks[..., 2] /= _depth_unit(landmarks, height, width)[:, None]
        scores = torch.full((len(landmarks),), self._min_confidence)
        return largest_first(landmarks, scores, (height, width))


def _depth_unit(landmarks: Tensor, height: int, width: int) -> Tensor:
    """Return the task's unit of depth in image widths, (F,): 1 for an upright face or a square picture.

    The task measures depth in lengths along the x axis of the face, in normalized coordinates (MediaPipe,
    LandmarkProjectionCalculator). With the head on its side that axis runs down the picture: image heights.
    """
    pupils = landmarks[:, LEFT_IRIS[0], :2] - landmarks[:, RIGHT_IRIS[0], :2]  # (F, 2)
    across, down = (pupils * pupils.new_tensor([width, height])).unbind(dim=1)
    angle = torch.atan2(down, across)
    return torch.hypot(angle.cos(), angle.sin() * (width / height))


def _close(task: Any) -> None:
    try:
        task.close()
    except (RuntimeError, ValueError):
        # A failed task raises again here. If freed, now or at exit, it would close itself once more and wait forever or
        # fail; so it is kept, and its close does nothing.
        task.close = lambda: None
        _failed.append(task)


def _file_state(model: Path) -> tuple[int, int]:
    """Return a value that changes with the file; (0, 0) if there is none."""
    if not model.is_file():
        return 0, 0
    status = model.stat()
    return status.st_mtime_ns, status.st_size


def _read_task(model: Path) -> bytes:
    """Return the bytes of a complete Face Landmarker bundle. Raises TaskFileError."""
    if not model.exists():
        raise TaskFileError(f"There is no file {model}", model.parent)
    try:
        content = model.read_bytes()
    except OSError as error:
        raise _not_a_task(model, error.strerror) from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            missing = TASK_PARTS.difference(bundle.namelist())
            damaged = bundle.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise _not_a_task(model, error) from error
    if missing:
        raise _not_a_task(model, f"it contains no {' and no '.join(sorted(missing))}")
    if damaged is not None:
        raise _not_a_task(model, f"its part {damaged} is damaged")
    return content


def _not_a_task(model: Path, reason: object) -> TaskFileError:
    return TaskFileError(f"{model} is not a Face Landmarker bundle that MediaPipe can use ({reason})", model.parent)
