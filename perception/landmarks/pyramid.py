"""Find faces of any size and rotation: the short-range detector runs over the whole picture, scaled and rotated.

BlazeFace is fully convolutional: on a picture larger than its training size, it returns for every position the result
of a tile around that position, without computing overlapping areas twice.
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
SHARED = 192  # … and share this much with their neighbors; larger faces are found at a coarser size
TURNS = 4  # quarter turns …
TURNED = 1280  # … the last three of them where the longer side is no longer: heads on their side are rarely small


def search(detector: BlazeFace, pictures: Tensor, *, min_score: float, max_faces: int) -> Detections:
    """Return up to `max_faces` faces, in any rotation, in each of the pictures of one shape, (N, H, W, 3) uint8.

    In pictures longer than 1280 pixels, heads lying sideways or upside down are searched at half size or less, where
    they must be 24 pixels high; in small pictures they are not searched in the enlarged size. Candidates of all sizes
    and rotations compete; those of the same rotation are averaged. It needs 25 bytes of memory per pixel, 60 if
    enlarged, plus 300 MB.
    """
    points, scores, turns = [], [], []
    for level, scale in _sizes(pictures):
        for turn in range(TURNS if scale <= 1 and max(level.shape[2:]) <= TURNED else 1):
            for corner, part in _parts(level.rot90(-turn, (2, 3))):
                part_points, part_scores = _candidates(detector, part, min_score)
                part_points = move(part_points, scale=1.0, offset=part_points.new_tensor(corner))
                # A pixel of a coarser size lies amid the pixels that it is the mean of.
                upright = _turn_back(part_points, turn, level.shape[2:])
                points.append(move(upright, scale=1 / scale, offset=upright.new_tensor((1 / scale - 1) / 2)))
                scores.append(part_scores)
                turns.append(torch.full_like(part_scores[0], turn))
    return weighted_nms(
        torch.cat(points, dim=1),
        torch.cat(scores, dim=1),
        min_score=min_score,
        max_faces=max_faces,
        kinds=torch.cat(turns),
    )


def _sizes(pictures: Tensor) -> Iterator[tuple[Tensor, float]]:
    """Yield the pictures as (N, 3, h, w) float32 in −1…1 and their scale, halved until they fit the detector."""
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
    """Yield parts of pictures (N, 3, h, w), padded with black, and the position (x, y) of each."""
    height, width = level.shape[2:]
    for top in _starts(height):
        for left in _starts(width):
            part = level[:, :, top : top + PART, left : left + PART]
            down, right = -part.shape[2] % MULTIPLE, -part.shape[3] % MULTIPLE
            yield (left, top), F.pad(part, (0, right, 0, down), value=-1.0)


def _starts(length: int) -> range:
    return range(0, max(1, length - SHARED), PART - SHARED)


def _candidates(detector: BlazeFace, part: Tensor, min_score: float) -> tuple[Tensor, Tensor]:
    """Return likely candidates: points (N, K, 8, 2) in pixels of the part and scores (N, K), some below `min_score`."""
    points, logits = run(detector, part)
    scores = logits.sigmoid()
    most = int((scores >= min_score).sum(dim=1).amax())
    scores, order = scores.topk(most, dim=1)
    return points.gather(1, order[..., None, None].expand(-1, -1, *points.shape[2:])), scores


def _turn_back(points: Tensor, turn: int, shape: Sequence[int]) -> Tensor:
    """Return points on a picture of `shape`, rotated by `turn` clockwise quarter turns, on the original picture."""
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
