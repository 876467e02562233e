"""The bundled landmarker: BlazeFace finds the faces, the face mesh their 478 landmarks. It needs only torch.

With the detector `fast` the steps are those of the face landmark graph of MediaPipe 0.10, without tracking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...common import threads
from .. import weight_files
from ..engines import MIN_CONFIDENCE, MOST_FACES, Faces, check_confidence, check_pictures
from ..pictures import batches
from ..vector import LANDMARKS, bounding_boxes
from . import cropping
from .boxes import Detections, distinct
from .cropping import Squares
from .detectors import DETECTORS
from .face_mesh import CROP_SIZE, FaceMesh
from .networks import CPU_BATCH, GPU_BATCH, load, run

CROPS = 256  # at once, which bounds the memory
ALLOCATOR_LESSON = 31 * 2**20  # bytes


class FaceLandmarkNetworks(nn.ModuleList):
    """All networks that a landmarker keeps on its device, under a class name shown in the log of the host."""


class BundledLandmarker:
    """Finds faces and their landmarks in pictures of any size. Implements `engines.Landmarker`.

    `detector` is `fast`, `standard` or `thorough` (see detectors.py). The `max_faces` faces with the highest confidence
    are kept in each picture. Boxes are the bounding boxes of the landmarks. The result for a picture does not depend on
    the other pictures of the batch, except for rounding.

    All detectors share one identity: the landmarks come from the face mesh, and differences in the crop move them less
    than a slightly different photo would (benchmarks/README.md).

    The networks are loaded here, once. Raises weight_files.WeightFileError.
    """

    def __init__(
        self,
        *,
        detector: str = "fast",
        device: str | torch.device = "cpu",
        max_faces: int = MOST_FACES,
        weights: Path = weight_files.FOLDER,
    ) -> None:
        if detector not in DETECTORS:
            raise ValueError(f"detector must be one of {', '.join(DETECTORS)}, not {detector!r}")
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, not {max_faces}")
        self.device = torch.device(device)
        self.max_faces = max_faces
        batch = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        self.batch_size = 1 if detector == "thorough" else batch
        self._detector = DETECTORS[detector](self.device, weights)
        self._mesh = load(FaceMesh, "face_mesh", self.device, weights)
        self.networks = FaceLandmarkNetworks([*self._detector.networks, self._mesh])
        if self.device.type == "cpu":
            _teach_allocator()
        digests = "".join(weight_files.read(weights / f"{name}.safetensors")[1] for name in ("blazeface", "face_mesh"))
        self.identity = f"mediapipe-face-mesh-bundled/1:{hashlib.sha256(digests.encode()).hexdigest()[:8]}"

    def detect(self, pictures: Sequence[Tensor], *, min_confidence: float = MIN_CONFIDENCE) -> list[Faces]:
        """Return the faces of each picture, (H, W, 3) uint8 RGB of any size, on the CPU, the largest first.

        A face needs a detector confidence of at least `min_confidence` (above 0, up to 1) and confirmation by the face
        mesh. On a CPU, the pictures are distributed over the cores, with one thread each.
        Raises ValueError for a picture of another shape or type.
        """
        check_pictures(pictures)
        check_confidence(min_confidence)

        def in_batches(some: Sequence[Tensor]) -> list[Faces]:
            return [faces for batch in batches(some, self.batch_size) for faces in self._detect(batch, min_confidence)]

        with torch.inference_mode():  # less to keep track of in each of many small operations
            shares = [pictures] if self.device.type != "cpu" else threads.split(pictures)
            detected = [faces for part in threads.share(in_batches, shares) for faces in part]
        return [Faces(faces.landmarks.clone(), faces.boxes.clone(), faces.scores.clone()) for faces in detected]

    def _detect(self, pictures: Sequence[Tensor], min_confidence: float) -> list[Faces]:
        pictures = [picture.to(self.device) for picture in pictures]
        image_sizes = torch.tensor([picture.shape[:2] for picture in pictures])  # (N, 2)
        detections = self._detector.find(pictures, min_score=min_confidence, max_faces=self.max_faces)
        if not len(detections.frames):
            return _by_picture(detections, detections.points.new_zeros(0, LANDMARKS, 3), image_sizes, self.max_faces)
        squares = cropping.squares_around(detections.points)
        landmarks, flags = self._read(pictures, detections.frames, squares)
        xy = squares.locate(landmarks[..., :2] / CROP_SIZE - 0.5)  # (F, 478, 2) pixels
        detections = replace(detections, scores=self._detector.rescore(detections, xy, flags.sigmoid()))
        sizes = image_sizes.to(self.device)[detections.frames]
        landmarks = cropping.to_image_coordinates(landmarks, squares, sizes, CROP_SIZE)
        keep = detections.scores >= min_confidence
        return _by_picture(detections.take(keep), landmarks[keep], image_sizes, self.max_faces)

    def _read(self, pictures: Sequence[Tensor], frames: Tensor, squares: Squares) -> tuple[Tensor, Tensor]:
        """Return the landmarks (F, 478, 3), in crop pixels, and face logits (F,) of squares on pictures."""
        parts = []
        for some in torch.arange(len(frames), device=self.device).split(CROPS):
            crops = cropping.cut(pictures, frames[some], squares.take(some), CROP_SIZE)  # (F, 3, 192, 192)
            parts.append(run(self._mesh, crops))
        return torch.cat([landmarks for landmarks, _ in parts]), torch.cat([flags for _, flags in parts])


def _teach_allocator() -> None:
    """Make the C library keep the buffers of the networks between passes, which is up to twice as fast.

    glibc asks the system for each block as large as the largest one freed so far, and the system hands it over
    page by page. Freeing one block that is larger than any of the networks' ends that (mallopt(3),
    M_MMAP_THRESHOLD: it adapts up to 32 MiB). Elsewhere this does nothing.
    """
    torch.empty(ALLOCATOR_LESSON, dtype=torch.uint8)


def _by_picture(detections: Detections, landmarks: Tensor, image_sizes: Tensor, max_faces: int) -> list[Faces]:
    """Return the `Faces` of each of N pictures; of overlapping faces only the one with the highest score."""
    frames, landmarks, scores = detections.frames.cpu(), landmarks.cpu(), detections.scores.cpu()
    boxes = bounding_boxes(landmarks, image_sizes[frames])
    counts = torch.bincount(frames, minlength=len(image_sizes)).tolist()
    parts = zip(landmarks.split(counts), boxes.split(counts), scores.split(counts), strict=True)
    return [_choose(*part, max_faces) for part in parts]


def _choose(landmarks: Tensor, boxes: Tensor, scores: Tensor, max_faces: int) -> Faces:
    if len(scores) > 1:
        keep = distinct(boxes[:, :2], boxes[:, 2:], scores)[:max_faces]  # by descending score
        areas = (boxes[keep, 2:] - boxes[keep, :2]).prod(dim=1)
        order = keep[areas.argsort(descending=True, stable=True)]
        landmarks, boxes, scores = landmarks[order], boxes[order], scores[order]
    return Faces(landmarks=landmarks, boxes=boxes, scores=scores)
