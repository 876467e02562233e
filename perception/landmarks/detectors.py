"""Three face detectors: `fast`, `standard`, which finds smaller faces, and `thorough`, which finds the most.

Each accepts pictures of any size, (H, W, 3) uint8 on its device, and returns `Detections` in their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from . import blazeface, blazeface_full_range
from .blazeface import BlazeFace
from .blazeface_full_range import BlazeFaceFullRange
from .boxes import Detections, by_shape, from_letterbox, join, letterbox, weighted_nms
from .cropping import squares_around
from .networks import load, run
from .pyramid import search
from .rescoring import CANDIDATE_SCORE, Rescorer

FACE_FLAG = 0.5  # fast: a face with a lower face probability from the face mesh is dropped
# standard: a face is not checked again with at least this score, this size in units of the picture's longer side, and
# this cosine of its roll. False positives reached 0.5 in the photos of benchmarks/detection.py.
PLAIN_SCORE, PLAIN_SIZE, PLAIN_COS = 0.85, 0.12, 0.9
CANDIDATES = 300  # per picture, at most
CPU_PIXELS, GPU_PIXELS = 2**20, 2**25  # pixels of pictures searched per pass


class Detector(Protocol):
    """Finds faces."""

    networks: list[nn.Module]  # that it keeps on its device

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        """Return faces that may reach `min_score`, at least the `max_faces` with the highest scores in each picture."""
        ...

    def rescore(self, detections: Detections, landmarks: Tensor, flags: Tensor) -> Tensor:
        """Return the final scores (F,) from the mesh's landmarks (F, 478, 2), in pixels, and face probability (F,)."""
        ...


class Fast:
    """BlazeFace, short range, on the whole picture: nearly upright faces of at least a tenth of its longer side."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        self._network = load(BlazeFace, "blazeface", device, weights)
        self.networks: list[nn.Module] = [self._network]

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        networks = [(self._network, blazeface.INPUT_SIZE)]
        return _on_whole(pictures, networks, min_score=min_score, max_faces=max_faces)

    def rescore(self, detections: Detections, landmarks: Tensor, flags: Tensor) -> Tensor:
        return torch.where(flags > FACE_FLAG, detections.scores, 0.0)


class BothRanges:
    """Both ranges of BlazeFace, and a rescorer that uses them."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        self._short = load(BlazeFace, "blazeface", device, weights)
        self._full = load(BlazeFaceFullRange, "blazeface_full_range", device, weights)
        self.networks: list[nn.Module] = [self._short, self._full]
        self._rescorer = Rescorer(self._short, self._full)
        self.rescore = self._rescorer.rescore


class Standard(BothRanges):
    """Both ranges of BlazeFace on the whole picture, then again on a crop of each face that is not clearly visible."""

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        networks = [(self._short, blazeface.INPUT_SIZE), (self._full, blazeface_full_range.INPUT_SIZE)]
        most = max(CANDIDATES, max_faces)
        candidates = _on_whole(pictures, networks, min_score=CANDIDATE_SCORE, max_faces=most)
        plain = _plain(candidates, pictures)
        confirmed = self._rescorer.confirm(pictures, candidates.take(~plain), min_score=min_score)
        return join([candidates.take(plain & (candidates.scores >= min_score)), confirmed])


class Thorough(BothRanges):
    """BlazeFace, short range, on the picture at many sizes and rotations, then both ranges on a crop of each face."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        super().__init__(device, weights)
        self._pixels = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        most = max(CANDIDATES, max_faces)
        candidates = join([part for same in by_shape(pictures) for part in self._search(pictures, same, most)])
        return self._rescorer.confirm(pictures, candidates, min_score=min_score)

    def _search(self, pictures: Sequence[Tensor], indices: list[int], most: int) -> list[Detections]:
        """Return up to `most` candidates in each of the pictures of one shape, a batch at a time."""
        height, width = pictures[indices[0]].shape[:2]
        batch_size = max(1, self._pixels // (height * width))
        parts = []
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            stack = torch.stack([pictures[index] for index in chosen])
            part = search(self._short, stack, min_score=CANDIDATE_SCORE, max_faces=most)
            parts.append(replace(part, frames=part.frames.new_tensor(chosen)[part.frames]))
        return parts


DETECTORS: dict[str, Callable[[torch.device, Path], Detector]] = {
    "fast": Fast,
    "standard": Standard,
    "thorough": Thorough,
}

# Defaults: standard finds three more of 32 faces than fast in twice the time, which matters for a video but not for a
# picture (benchmarks/README.md, detection).
FOR_PICTURES, FOR_VIDEOS = "standard", "fast"


def _plain(candidates: Detections, pictures: Sequence[Tensor]) -> Tensor:
    """Return which faces (F,) need no second check: those with a high score that are large and nearly upright."""
    longest = torch.tensor([max(picture.shape[:2]) for picture in pictures]).to(candidates.points)
    large = candidates.points[:, 1].amax(dim=1) >= PLAIN_SIZE * longest[candidates.frames]
    upright = squares_around(candidates.points).angles.cos() >= PLAIN_COS
    return (candidates.scores >= PLAIN_SCORE) & large & upright


def _on_whole(
    pictures: Sequence[Tensor], networks: Sequence[tuple[nn.Module, int]], *, min_score: float, max_faces: int
) -> Detections:
    """Return the faces that networks of these input sizes detect together on whole pictures."""
    points, scores = [], []
    for network, size in networks:
        pixels, logits = run(network, letterbox(pictures, size))
        points.append(pixels / size)
        scores.append(logits.sigmoid())
    faces = weighted_nms(torch.cat(points, dim=1), torch.cat(scores, dim=1), min_score=min_score, max_faces=max_faces)
    image_sizes = torch.tensor([picture.shape[:2] for picture in pictures], device=faces.frames.device)
    return replace(faces, points=from_letterbox(faces.points, image_sizes[faces.frames]))
