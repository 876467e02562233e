"""Check each face that a detector may have found again: alone, upright, and at the best size for the detector."""

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

SEEN = 0.3  # the score at one look that makes the next one worth it
VIEW, SHARE = 128, 0.3  # pixels per side of a view, and how much of it the face takes up
NEAR_CENTER = 0.5  # the face is expected this close to the view's center, in units of its own size …
SIZES = (0.5, 2.0)  # … and this large, in the same units

KEY_POINTS = ((33, 133), (362, 263), (1,), (13, 14))  # both eyes, nose tip and mouth among the landmarks
DISAGREEMENT = 0.8  # how much of the score is lost where key points and landmarks lie a whole face apart
UNSEEN = 0.2  # how much is lost where the face mesh is sure that it sees no face
TILT = 0.1  # what a head that lies on its side has to be surer by than an upright one: it is rarer
TINY, TINY_COST = 24, 0.3  # pixels: a smaller box must be surer too, by up to so much; a button looks like a face

CPU_VIEWS, GPU_VIEWS = 32, 256  # per pass


class SecondLook:
    """Checks faces with both ranges of BlazeFace.

    A real face scores higher when it is alone, upright and large enough; a false positive does not. The score is the
    mean of both ranges, minus penalties for rotated heads, tiny faces, and disagreement of the networks.
    All constants were chosen on group pictures and on pictures without a face (benchmarks/README.md).
    """

    def __init__(self, short: BlazeFace, full: BlazeFaceFullRange) -> None:
        self._short = short
        self._full = full

    def confirm(self, pictures: Sequence[Tensor], found: Detections, *, min_score: float) -> Detections:
        """Return the candidate faces that are confirmed, at the position from the range with the higher score."""
        points, short = look(self._short, pictures, found, size=VIEW, share=SHARE)
        seen = short >= SEEN
        found, short = replace(found, points=points).take(seen), short[seen]
        points, full = look(self._full, pictures, found, size=VIEW, share=SHARE)
        points = torch.where((full > short)[:, None, None], points, found.points)
        found = replace(found, points=points)
        tilt = TILT * (1 - squares_around(found.points).angles.cos())
        tiny = TINY_COST * (1 - found.points[:, 1].amax(dim=1) / TINY).clamp_min(0)
        found = replace(found, scores=(short + full) / 2 - tilt - tiny)
        return found.take(found.scores >= min_score)

    def judge(self, found: Detections, landmarks: Tensor, flags: Tensor) -> Tensor:
        """Implements `detectors.Detector`."""
        seen = torch.stack([landmarks[:, list(points)].mean(dim=1) for points in KEY_POINTS], dim=1)
        distances = (seen - found.points[:, RIGHT_EYE : RIGHT_EYE + len(KEY_POINTS)]).norm(dim=2).mean(dim=1)
        scores: Tensor = found.scores - DISAGREEMENT * distances / found.points[:, 1].amax(dim=1) - UNSEEN * (1 - flags)
        return scores


def look(
    network: nn.Module, pictures: Sequence[Tensor], found: Detections, *, size: int, share: float
) -> tuple[Tensor, Tensor]:
    """Return the points (F, 8, 2), in pixels, and scores (F,) of a detector on a view of each of F faces.

    A view is a square of `size` pixels, rotated so that the eyes are level, in which the box of the face takes `share`
    of the side. If nothing is detected in its middle, the score is 0 and the points are unchanged.
    """
    if not len(found.frames):
        return found.points, found.scores
    squares = squares_around(found.points)
    squares = replace(squares, sides=squares.sides / FACE_MARGIN / share)
    device = found.frames.device
    parts = []
    for some in torch.arange(len(found.frames), device=device).split(CPU_VIEWS if device.type == "cpu" else GPU_VIEWS):
        views = cut(pictures, found.frames[some], squares.take(some), size) * 2 - 1
        parts.append(_middle(*run(network, views), size=size, face=size * share))
    points, scores = (torch.cat(each) for each in zip(*parts, strict=True))
    on_picture = squares.locate(points / size - 0.5)
    on_picture[:, 1] = points[:, 1] / size * squares.sides[:, None]  # the box's size is no position
    return torch.where(scores[:, None, None] > 0, on_picture, found.points), scores


def _middle(points: Tensor, logits: Tensor, *, size: int, face: float) -> tuple[Tensor, Tensor]:
    """Return the face in the middle of each view from candidates (F, K, …): points (F, 8, 2), scores (F,) or 0."""
    off_center = (points[:, :, 0] - size / 2).abs().amax(dim=2) / face
    relative = points[:, :, 1].amax(dim=2) / face
    fits = (off_center < NEAR_CENTER) & (relative > SIZES[0]) & (relative < SIZES[1])
    scores = torch.where(fits, logits.sigmoid(), 0.0)
    best = weighted_nms(points, scores, min_score=torch.finfo(scores.dtype).tiny, max_faces=1)
    seen, certainty = torch.zeros_like(points[:, 0]), torch.zeros_like(scores[:, 0])
    seen[best.frames], certainty[best.frames] = best.points, best.scores
    return seen, certainty
