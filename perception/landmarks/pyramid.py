"""Faces of any size and turn: the short-range detector slid over the whole picture, at several sizes and turns.

BlazeFace is fully convolutional: run on a picture larger than it was trained on, it gives for every place what it would
give for a tile around that place, without computing anything twice where tiles would overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .blazeface import INPUT_SIZE, MULTIPLE, BlazeFace
from .boxes import Detections, move, weighted_nms
from .networks import run

SMALL = 640  # pixels: a picture whose longer side is shorter than this is enlarged, twofold, too
PART = 1024  # pixels: larger ones are worked on in parts, which bounds the memory …
SHARED = 192  # … and share this much with their neighbours; what is larger is found at a coarser size
TURNS = 4  # quarter turns …
TURNED = 1280  # … the last three of them where the longer side is no longer: heads on their side are rarely small


def search(detector: BlazeFace, pictures: Tensor, *, min_score: float, max_faces: int) -> Detections:
    """The faces in pictures of one shape, (N, H, W, 3) uint8, each up to `max_faces`, whichever way they are turned.

    In a picture longer than 1280 pixels heads that lie on their side or upside down are looked for at half its size or
    less, where they must be 24 pixels high; in small ones not in the enlarged size. Candidates of all sizes and turns
    compete; those of one turn are averaged.
    Memory: 25 bytes per pixel of the pictures, 60 where they are enlarged, and 300 MB.
    """
    points, scores, turns = [], [], []
    for level, scale in _sizes(pictures):
        for turn in range(TURNS if scale <= 1 and max(level.shape[2:]) <= TURNED else 1):
            for corner, part in _parts(level.rot90(-turn, (2, 3))):
                found_points, found_scores = _candidates(detector, part, min_score)
                found_points = move(found_points, scale=1.0, offset=found_points.new_tensor(corner))
                # A pixel of a coarser size lies amid the pixels that it is the mean of.
                upright = _turn_back(found_points, turn, level.shape[2:])
                points.append(move(upright, scale=1 / scale, offset=upright.new_tensor((1 / scale - 1) / 2)))
                scores.append(found_scores)
                turns.append(torch.full_like(found_scores[0], turn))
    return weighted_nms(
        torch.cat(points, dim=1),
        torch.cat(scores, dim=1),
        min_score=min_score,
        max_faces=max_faces,
        kinds=torch.cat(turns),
    )


def _sizes(pictures: Tensor) -> Iterator[tuple[Tensor, float]]:
    """The pictures as (N, 3, h, w) float32 in −1…1 and their scale: halved until the detector sees them whole."""
    level = pictures.permute(0, 3, 1, 2) / 127.5 - 1
    scale = 1.0
    if max(level.shape[2:]) < SMALL:
        yield F.interpolate(level, scale_factor=2, mode="bilinear", align_corners=False), 2.0
    yield level, scale
    while max(level.shape[2:]) > INPUT_SIZE:
        level = F.avg_pool2d(level, 2, ceil_mode=True, count_include_pad=False)
        scale /= 2
        yield level, scale


def _parts(level: Tensor) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Parts of pictures (N, 3, h, w) and where on them each begins (x, y), filled up with black."""
    height, width = level.shape[2:]
    for top in _starts(height):
        for left in _starts(width):
            part = level[:, :, top : top + PART, left : left + PART]
            down, right = -part.shape[2] % MULTIPLE, -part.shape[3] % MULTIPLE
            yield (left, top), F.pad(part, (0, right, 0, down), value=-1.0)


def _starts(length: int) -> range:
    return range(0, max(1, length - SHARED), PART - SHARED)


def _candidates(detector: BlazeFace, part: Tensor, min_score: float) -> tuple[Tensor, Tensor]:
    """The likely ones: points (N, K, 8, 2) in pixels of the part and scores (N, K), some below `min_score`."""
    points, logits = run(detector, part)
    scores = logits.sigmoid()
    most = int((scores >= min_score).sum(dim=1).amax())
    scores, order = scores.topk(most, dim=1)
    return points.gather(1, order[..., None, None].expand(-1, -1, *points.shape[2:])), scores


def _turn_back(points: Tensor, turn: int, shape: Sequence[int]) -> Tensor:
    """Points on a picture of `shape` after `turn` clockwise quarter turns → points on it before."""
    height, width = shape
    x, y = points.unbind(dim=-1)
    if turn == 1:
        x, y = y, height - 1 - x
    elif turn == 2:
        x, y = width - 1 - x, height - 1 - y
    elif turn == 3:
        x, y = width - 1 - y, x
    turned = torch.stack([x, y], dim=-1)
    turned[:, :, 1] = points[:, :, 1].flip(-1) if turn % 2 else points[:, :, 1]
    return turned
