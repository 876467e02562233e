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
from .second_look import SEEN, SecondLook

FACE_FLAG = 0.5  # fast: below this the face mesh says that it sees no face
# standard: a face needs no second look with at least this score, this size in units of the picture's longer side, and
# this cosine of its roll. What only looks like one reached 0.5 in the photos of benchmarks/detection.py.
PLAIN_SCORE, PLAIN_SIZE, PLAIN_COS = 0.85, 0.12, 0.9
CANDIDATES = 300  # per picture, at most
CPU_PIXELS, GPU_PIXELS = 2**20, 2**25  # pixels of pictures searched per pass


class Detector(Protocol):
    """Finds faces."""

    networks: list[nn.Module]  # that it keeps on its device

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        """Return faces that may reach `min_score`, at least the `max_faces` with the highest scores in each picture."""
        ...

    def judge(self, found: Detections, landmarks: Tensor, flags: Tensor) -> Tensor:
        """Return the final scores (F,) after the face mesh: from its landmarks (F, 478, 2), in pixels, and its
        face probability (F,)."""
        ...


class Fast:
    """BlazeFace, short range, on the whole picture: nearly upright faces of at least a tenth of its longer side."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        self._network = load(BlazeFace(), "blazeface", device, weights)
        self.networks: list[nn.Module] = [self._network]

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        points, scores = _on_whole(pictures, self._network, blazeface.INPUT_SIZE, min_score)
        return weighted_nms(points, scores, min_score=min_score, max_faces=max_faces)

    def judge(self, found: Detections, landmarks: Tensor, flags: Tensor) -> Tensor:
        return torch.where(flags > FACE_FLAG, found.scores, 0.0)


class Standard:
    """Both ranges of BlazeFace on the whole picture, then a second look at each face that is not clearly visible."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        self._short, self._full = load_both(device, weights)
        self.networks: list[nn.Module] = [self._short, self._full]
        self._second_look = SecondLook(self._short, self._full)
        self.judge = self._second_look.judge

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        short = _on_whole(pictures, self._short, blazeface.INPUT_SIZE, SEEN)
        full = _on_whole(pictures, self._full, blazeface_full_range.INPUT_SIZE, SEEN)
        points, scores = (torch.cat(pair, dim=1) for pair in zip(short, full, strict=True))
        found = weighted_nms(points, scores, min_score=SEEN, max_faces=max(CANDIDATES, max_faces))
        plain = _plain(found, pictures)
        looked_at = self._second_look.confirm(pictures, found.take(~plain), min_score=min_score)
        plain &= found.scores >= min_score
        return join([found.take(plain), looked_at])


class Thorough:
    """BlazeFace, short range, on all parts of the picture at several sizes and rotations, then a second look."""

    def __init__(self, device: torch.device, weights: Path) -> None:
        self._short, full = load_both(device, weights)
        self.networks: list[nn.Module] = [self._short, full]
        self._second_look = SecondLook(self._short, full)
        self.judge = self._second_look.judge
        self._pixels = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS

    def find(self, pictures: Sequence[Tensor], *, min_score: float, max_faces: int) -> Detections:
        candidates = max(CANDIDATES, max_faces)
        found = join([part for same in by_shape(pictures) for part in self._search(pictures, same, candidates)])
        return self._second_look.confirm(pictures, found, min_score=min_score)

    def _search(self, pictures: Sequence[Tensor], indices: list[int], candidates: int) -> list[Detections]:
        """Return the candidates in pictures of one shape, with a maximum per picture, one batch at a time."""
        height, width = pictures[indices[0]].shape[:2]
        portion = max(1, self._pixels // (height * width))
        found = []
        for start in range(0, len(indices), portion):
            chosen = indices[start : start + portion]
            stack = torch.stack([pictures[index] for index in chosen])
            part = search(self._short, stack, min_score=SEEN, max_faces=candidates)
            found.append(replace(part, frames=part.frames.new_tensor(chosen)[part.frames]))
        return found


DETECTORS: dict[str, Callable[[torch.device, Path], Detector]] = {
    "fast": Fast,
    "standard": Standard,
    "thorough": Thorough,
}

# Defaults: standard finds three more of 32 faces than fast in twice the time, which matters for a video but not for a
# picture (benchmarks/README.md, detection).
FOR_PICTURES, FOR_VIDEOS = "standard", "fast"


def load_both(device: torch.device, weights: Path) -> tuple[BlazeFace, BlazeFaceFullRange]:
    return (
        load(BlazeFace(), "blazeface", device, weights),
        load(BlazeFaceFullRange(), "blazeface_full_range", device, weights),
    )


def _plain(found: Detections, pictures: Sequence[Tensor]) -> Tensor:
    """Return which faces (F,) need no second look: those with a high score that are large and nearly upright."""
    longest = torch.tensor([max(picture.shape[:2]) for picture in pictures]).to(found.points)
    large = found.points[:, 1].amax(dim=1) >= PLAIN_SIZE * longest[found.frames]
    upright = squares_around(found.points).angles.cos() >= PLAIN_COS
    return (found.scores >= PLAIN_SCORE) & large & upright


def _on_whole(pictures: Sequence[Tensor], network: nn.Module, size: int, min_score: float) -> tuple[Tensor, Tensor]:
    """A network's candidates on whole pictures: points (N, K, 8, 2) in their pixels and scores (N, K).

    Of all candidates it gives those that reach `min_score` in one of the pictures at least.
    """
    points, logits = run(network, letterbox(pictures, size))
    scores = logits.sigmoid()
    likely = (scores >= min_score).any(dim=0)
    image_sizes = torch.tensor([picture.shape[:2] for picture in pictures], device=points.device)
    return from_letterbox(points[:, likely], image_sizes, size), scores[:, likely]
