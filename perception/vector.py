"""The 1441-number perception: its layout, its checks, and the batch of perceptions passed between nodes.

    [0:1434]     478 landmarks × (x, y, z), row-major, in MediaPipe's order and normalized image coordinates:
                 x / image width, y / image height (y down), z depth / image width (smaller is nearer)
    [1434:1441]  P(angry, disgust, fear, happy, sad, surprise, neutral): each ≥ 0, sum 1

x and y are divided by different lengths, so whatever needs true proportions also needs the picture's
(height, width), which is stored with the vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.words import counted
from .origins import DIGEST

LANDMARKS = 478
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # FER2013's order
NEUTRAL = EMOTIONS.index("neutral")
LANDMARK_VALUES = LANDMARKS * 3
PERCEPTION_DIM = LANDMARK_VALUES + len(EMOTIONS)  # 1441
UNKNOWN_SIZE = (512, 512)  # height and width in pixels, assumed for pictures without a face

SUM_TOLERANCE = 1e-3  # float32 rounding, with a margin for vectors stored as float16


def pack(landmarks: Tensor, emotions: Tensor) -> Tensor:
    """Return vectors (N, 1441) float32 that combine landmarks (N, 478, 3) and emotion probabilities (N, 7).

    Raises ValueError for other shapes, NaN or infinite values, or probabilities that do not sum to 1.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (LANDMARKS, 3):
        raise ValueError(f"landmarks must have the shape (N, {LANDMARKS}, 3), not {tuple(landmarks.shape)}")
    if emotions.shape != (len(landmarks), len(EMOTIONS)):
        raise ValueError(
            f"emotions must have the shape ({len(landmarks)}, {len(EMOTIONS)}), not {tuple(emotions.shape)}"
        )
    return validate(torch.cat([landmarks.flatten(1), emotions], dim=1))


def split(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the landmarks (N, 478, 3) and emotion probabilities (N, 7) of vectors (N, 1441), as views."""
    return vectors[:, :LANDMARK_VALUES].unflatten(1, (LANDMARKS, 3)), vectors[:, LANDMARK_VALUES:]


def bounding_boxes(landmarks: Tensor, image_sizes: Tensor) -> Tensor:
    """Return left, top, right, bottom in pixels, (N, 4) float32, of landmarks (N, 478, 3).

    `image_sizes` (N, 2) are the (height, width) of the pictures.
    """
    points = landmarks[..., :2] * image_sizes.to(landmarks).flip(1)[:, None]  # (N, 478, 2)
    return torch.cat([points.amin(dim=1), points.amax(dim=1)], dim=1)


def validate(vectors: Tensor) -> Tensor:
    """Return `vectors` (N, 1441) as float32, or raise ValueError with the first invalid row and the reason."""
    if vectors.ndim != 2 or vectors.shape[1] != PERCEPTION_DIM:
        raise ValueError(f"perceptions must have the shape (N, {PERCEPTION_DIM}), not {tuple(vectors.shape)}")
    vectors = vectors.to(torch.float32)
    problems = (
        (~vectors.isfinite().all(dim=1), "contains NaN or infinite values"),
        ((vectors[:, LANDMARK_VALUES:] < 0).any(dim=1), "has a negative emotion probability"),
        (
            (vectors[:, LANDMARK_VALUES:].sum(dim=1) - 1).abs() > SUM_TOLERANCE,
            "has emotion probabilities that do not sum to 1",
        ),
    )
    for bad, reason in problems:
        rows = bad.nonzero()[:, 0].tolist()
        if rows:
            more = f" (and {counted(len(rows) - 1, 'more row')})" if len(rows) > 1 else ""
            raise InputError(f"perception row {rows[0]} {reason}{more}")
    return vectors


@dataclass(frozen=True)
class Perception:
    """One face."""

    vector: Tensor  # (1441,) float32
    image_size: tuple[int, int]  # (height, width) of the picture, in pixels
    frame: int  # which picture of the batch, from 0
    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels
    score: float  # detector confidence, above 0 up to 1; 0: not detected but filled in (perception/sequences/run.py)
    track: int  # the same number for the same face in the pictures of a sequence, from 0

    @property
    def landmarks(self) -> Tensor:
        """Return the landmarks (478, 3) in normalized image coordinates."""
        return split(self.vector[None])[0][0]

    @property
    def emotions(self) -> Tensor:
        """Return the probabilities (7,) in the order of `EMOTIONS`."""
        return split(self.vector[None])[1][0]


@dataclass(frozen=True)
class Perceptions:
    """The faces of a batch of pictures, as tensors over N faces on the CPU; the node type PERCEPTION.

    Faces are ordered by frame, and within a frame by the order chosen in the pipeline, by default the largest first.
    """

    vectors: Tensor  # (N, 1441) float32
    image_sizes: Tensor  # (N, 2) int32: (height, width) in pixels
    frames: Tensor  # (N,) int64
    boxes: Tensor  # (N, 4) float32: left, top, right, bottom in pixels
    scores: Tensor  # (N,) float32, 0…1; 0: not detected but filled in
    tracks: Tensor  # (N,) int64: the same number for the same face in the pictures of a sequence, from 0
    origins: Tensor  # (N, 32) uint8: the origin of each face (perception/origins.py); zeros if unknown
    frame_count: int
    landmarker: str  # identity of the landmarker
    emotion_model: str  # identity of the emotion model

    def __post_init__(self) -> None:
        count = len(self.vectors)
        validate(self.vectors)
        for name, shape in (
            ("image_sizes", (count, 2)),
            ("frames", (count,)),
            ("boxes", (count, 4)),
            ("scores", (count,)),
            ("tracks", (count,)),
            ("origins", (count, DIGEST)),
        ):
            actual = tuple(getattr(self, name).shape)
            if actual != shape:
                raise ValueError(f"{name} must have the shape {shape} for {counted(count, 'face')}, not {actual}")

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[Perception]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Perception:
        height, width = self.image_sizes[index].tolist()
        left, top, right, bottom = self.boxes[index].tolist()
        return Perception(
            vector=self.vectors[index],
            image_size=(height, width),
            frame=int(self.frames[index]),
            box=(left, top, right, bottom),
            score=float(self.scores[index]),
            track=int(self.tracks[index]),
        )

    @property
    def landmarks(self) -> Tensor:
        """Return the landmarks (N, 478, 3) in normalized image coordinates."""
        return split(self.vectors)[0]

    @property
    def emotions(self) -> Tensor:
        """Return the probabilities (N, 7) in the order of `EMOTIONS`."""
        return split(self.vectors)[1]

    @property
    def empty_frames(self) -> list[int]:
        """Return the frames without a face."""
        occupied = set(self.frames.tolist())
        return [frame for frame in range(self.frame_count) if frame not in occupied]

    @property
    def first_of_frames(self) -> list[int]:
        """Return the index of the first face of each frame that has one, in frame order."""
        rows: dict[int, int] = {}
        for row, frame in enumerate(self.frames.tolist()):
            rows.setdefault(frame, row)
        return [rows[frame] for frame in sorted(rows)]

    def by_frame(self) -> list[list[Perception]]:
        """Return the faces of each frame, in order; an empty list for a frame without faces."""
        faces: list[list[Perception]] = [[] for _ in range(self.frame_count)]
        for face in self:
            faces[face.frame].append(face)
        return faces

    def select(self, indices: Sequence[int]) -> Perceptions:
        """Return the faces at `indices`, in that order; the number of frames stays the same."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        tensors = {
            f.name: getattr(self, f.name)[index] for f in fields(self) if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **tensors)
