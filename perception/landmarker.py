"""The bundled landmarker: BlazeFace finds the faces, the face mesh their 478 landmarks. Needs nothing but torch.

The steps are those of MediaPipe 0.10's face landmark graph, without its tracking between frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from . import cropping, weight_files
from .blazeface import INPUT_SIZE, BlazeFace
from .detection import letterbox, weighted_nms
from .engines import Faces
from .face_mesh import CROP_SIZE, FaceMesh
from .vector import LANDMARKS

FACE_FLAG = 0.5  # the mesh network's own verdict: below this the crop is not a face
CPU_BATCH = 16  # pictures or crops per pass: what suits a processor's caches …
GPU_BATCH = 64  # … and what keeps an accelerator busy
ALLOCATOR_LESSON = 31 * 2**20  # bytes


class BundledLandmarker:
    """Finds faces and their landmarks in pictures of any size. Implements `engines.Landmarker`.

    Of each picture's faces the detector's surest `max_faces` are kept, if it gives them at least `min_confidence`
    (0…1) and the face mesh agrees that they are faces. Boxes are the bounding boxes of the landmarks. The result
    for a picture does not depend on which pictures come with it, up to rounding.

    The networks are loaded here, once. Raises weight_files.WeightFileError.
    """

    def __init__(
        self,
        *,
        device: str | torch.device = "cpu",
        max_faces: int = 10,
        min_confidence: float = 0.5,
        weights: Path = weight_files.FOLDER,
    ) -> None:
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, not {max_faces}")
        if not 0 < min_confidence <= 1:
            raise ValueError(f"min_confidence must lie above 0 and not above 1, not {min_confidence}")
        self.device = torch.device(device)
        self.max_faces = max_faces
        self.min_confidence = min_confidence
        self._batch = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        self._detector = BlazeFace()
        self._mesh = FaceMesh()
        digests = [
            weight_files.fill(self._detector, weights / "blazeface.safetensors"),
            weight_files.fill(self._mesh, weights / "face_mesh.safetensors"),
        ]
        for network in (self._detector, self._mesh):
            network.to(self.device)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on processors
        if self.device.type == "cpu":
            _teach_allocator()
        self.identity = f"mediapipe-face-mesh-bundled/1:{hashlib.sha256(''.join(digests).encode()).hexdigest()[:8]}"

    @torch.no_grad()
    def detect(self, pictures: Sequence[Tensor]) -> list[Faces]:
        """Pictures, each (H, W, 3) uint8 RGB of any size, → the faces of each, on the CPU, the largest first.

        Raises ValueError for a picture of another shape or type.
        """
        for index, picture in enumerate(pictures):
            if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.numel():
                raise ValueError(
                    f"picture {index} must be (H, W, 3) uint8 and not empty, not {tuple(picture.shape)} {picture.dtype}"
                )
        starts = range(0, len(pictures), self._batch)
        return [faces for start in starts for faces in self._detect(pictures[start : start + self._batch])]

    def _detect(self, pictures: Sequence[Tensor]) -> list[Faces]:
        pictures = [picture.to(self.device) for picture in pictures]
        image_sizes = torch.tensor([picture.shape[:2] for picture in pictures], device=self.device)  # (N, 2)
        points, logits = self._detector(torch.stack([letterbox(picture, INPUT_SIZE) for picture in pictures]))
        found = weighted_nms(points, logits.sigmoid(), min_score=self.min_confidence, max_faces=self.max_faces)
        if not len(found.frames):
            return _by_picture(found.frames, points.new_zeros(0, LANDMARKS, 3), found.scores, image_sizes)
        sizes = image_sizes[found.frames]  # (F, 2)
        squares = cropping.squares_around(found.points, sizes)
        crops = cropping.cut(pictures, found.frames, squares, CROP_SIZE)  # (F, 3, 192, 192)
        landmarks, flags = self._read(crops)
        landmarks = cropping.normalise(landmarks, squares, sizes, CROP_SIZE)

        keep = flags.sigmoid() > FACE_FLAG
        return _by_picture(found.frames[keep], landmarks[keep], found.scores[keep], image_sizes)

    def _read(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Face crops → landmarks (F, 478, 3) in crop pixels and face logits (F,)."""
        parts = [self._mesh(part) for part in crops.split(self._batch)]
        return torch.cat([landmarks for landmarks, _ in parts]), torch.cat([flags for _, flags in parts])


def _teach_allocator() -> None:
    """Let the C library keep the networks' buffers between passes: up to twice as fast.

    glibc asks the system for each block as large as the largest one freed so far, and the system hands it over
    page by page. Freeing one block that is larger than any of the networks' ends that (mallopt(3),
    M_MMAP_THRESHOLD: it adapts up to 32 MiB). Elsewhere this does nothing.
    """
    torch.empty(ALLOCATOR_LESSON, dtype=torch.uint8)


def _by_picture(frames: Tensor, landmarks: Tensor, scores: Tensor, image_sizes: Tensor) -> list[Faces]:
    """Sort faces by area, add their boxes, move them to the CPU and part them by picture."""
    frames, landmarks, scores, image_sizes = frames.cpu(), landmarks.cpu(), scores.cpu(), image_sizes.cpu()
    pixels = landmarks[..., :2] * image_sizes[frames].flip(1)[:, None]  # (F, 478, 2)
    low, high = pixels.amin(dim=1), pixels.amax(dim=1)
    largest_first = (high - low).prod(dim=1).argsort(descending=True, stable=True)
    order = largest_first[frames[largest_first].argsort(stable=True)]
    counts = torch.bincount(frames, minlength=len(image_sizes)).tolist()
    faces = zip(
        landmarks[order].split(counts),
        torch.cat([low, high], dim=1)[order].split(counts),
        scores[order].split(counts),
        strict=True,
    )
    return [Faces(landmarks=points, boxes=boxes, scores=certainty) for points, boxes, certainty in faces]
