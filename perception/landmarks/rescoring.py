"""Check candidate faces again: each alone, upright, and at the best size for the detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from .blazeface import RIGHT_EYE, BlazeFace
from .blazeface_full_range import BlazeFaceFullRange
from .boxes import Detections, weighted_nms
from .cropping import FACE_MARGIN, cut, squares_around
from .networks import run

CANDIDATE_SCORE = 0.3  # a detection with a lower score is not checked
CROP_SIZE, FACE_SHARE = 128, 0.3  # pixels per side of a crop, and the share of it that the face takes up
CENTER_DISTANCE = 0.5  # the face is expected this close to the crop's center, in units of its own size …
SIZES = (0.5, 2.0)  # … and this large, in the same units

KEY_POINTS = ((33, 133), (362, 263), (1,), (13, 14))  # both eyes, nose tip and mouth among the landmarks
# What is subtracted from the score:
DISAGREEMENT = 0.8  # times the distance between key points and landmarks, in units of the face
NO_FACE = 0.2  # times the probability, by the face mesh, that it is no face
TILT = 0.1  # for a head that lies on its side; twice this if upside down: such heads are rarer
TINY, TINY_COST = 24, 0.3  # the largest cost, for boxes smaller than TINY pixels: a button resembles a face

CPU_CROPS, GPU_CROPS = 32, 256  # per pass


class Rescorer:
    """Checks candidate faces again with both ranges of BlazeFace, on a crop of each.

    A real face scores higher when it is alone, upright and large enough; a false positive does not. The score is the
    mean of both ranges, minus penalties for rotated heads, tiny faces, and disagreement of the networks.
    All constants were chosen on group pictures and on pictures without a face (benchmarks/README.md).
    """

    def __init__(self, short: BlazeFace, full: BlazeFaceFullRange) -> None:
        self._short = short
        self._full = full

    def confirm(self, pictures: Sequence[Tensor], candidates: Detections, *, min_score: float) -> Detections:
        """Return the confirmed candidates, each at the position from the range with the higher score."""
        points, short = detect_on_crops(self._short, pictures, candidates, size=CROP_SIZE, share=FACE_SHARE)
        likely = short >= CANDIDATE_SCORE
        faces, short = replace(candidates, points=points).take(likely), short[likely]
        points, full = detect_on_crops(self._full, pictures, faces, size=CROP_SIZE, share=FACE_SHARE)
        points = torch.where((full > short)[:, None, None], points, faces.points)
        tilt = TILT * (1 - squares_around(points).angles.cos())
        tiny = TINY_COST * (1 - points[:, 1].amax(dim=1) / TINY).clamp_min(0)
        scores = (short + full) / 2 - tilt - tiny
        return replace(faces, points=points, scores=scores).take(scores >= min_score)

    def rescore(self, detections: Detections, landmarks: Tensor, flags: Tensor) -> Tensor:
        """Implements `detectors.Detector`."""
        means = torch.stack([landmarks[:, list(points)].mean(dim=1) for points in KEY_POINTS], dim=1)
        key_points = detections.points[:, RIGHT_EYE : RIGHT_EYE + len(KEY_POINTS)]
        distances = (means - key_points).norm(dim=2).mean(dim=1) / detections.points[:, 1].amax(dim=1)
        scores: Tensor = detections.scores - DISAGREEMENT * distances - NO_FACE * (1 - flags)
        return scores


def detect_on_crops(
    network: nn.Module, pictures: Sequence[Tensor], candidates: Detections, *, size: int, share: float
) -> tuple[Tensor, Tensor]:
    """Return the points (F, 8, 2), in pixels of the pictures, and scores (F,) of a detector on crops of F candidates.

    A crop is a square of `size` pixels, rotated so that the eyes are level, in which the box of the face takes `share`
    of the side. If nothing is detected in its middle, the score is 0 and the points are unchanged.
    """
    if not len(candidates.frames):
        return candidates.points, candidates.scores
    squares = squares_around(candidates.points)
    squares = replace(squares, sides=squares.sides / FACE_MARGIN / share)
    frames = candidates.frames
    batch = CPU_CROPS if frames.device.type == "cpu" else GPU_CROPS
    parts = []
    for some in torch.arange(len(frames), device=frames.device).split(batch):
        crops = cut(pictures, frames[some], squares.take(some), size) * 2 - 1
        parts.append(_middle(*run(network, crops), size=size, face=size * share))
    points, scores = (torch.cat(each) for each in zip(*parts, strict=True))
    on_picture = squares.locate(points / size - 0.5)
    on_picture[:, 1] = points[:, 1] / size * squares.sides[:, None]  # the box's size is no position
    return torch.where(scores[:, None, None] > 0, on_picture, candidates.points), scores


def _middle(points: Tensor, logits: Tensor, *, size: int, face: float) -> tuple[Tensor, Tensor]:
    """Return the face in the middle of each crop from candidates (F, K, …): points (F, 8, 2), scores (F,) or 0."""
    off_center = (points[:, :, 0] - size / 2).abs().amax(dim=2) / face
    relative = points[:, :, 1].amax(dim=2) / face
    fits = (off_center < CENTER_DISTANCE) & (relative > SIZES[0]) & (relative < SIZES[1])
    candidate_scores = torch.where(fits, logits.sigmoid(), 0.0)
    best = weighted_nms(points, candidate_scores, min_score=torch.finfo(points.dtype).tiny, max_faces=1)
    best_points, scores = torch.zeros_like(points[:, 0]), torch.zeros_like(candidate_scores[:, 0])
    best_points[best.frames], scores[best.frames] = best.points, best.scores
    return best_points, scores
