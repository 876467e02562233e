"""Prepare pictures as input of a face detector, and merge its candidates into faces.

Both follow MediaPipe 0.10's face detection graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

OVERLAP = 0.3  # candidates whose intersection over union exceeds this are the same face
SAME = 0.5  # so are landmarks whose boxes share more than this part of the smaller one


def letterbox(pictures: Sequence[Tensor], size: int) -> Tensor:
    """Return whole pictures, each (H, W, 3) uint8, fitted into squares: (N, 3, size, size) float32 in −1…1, bilinear.

    Each is centered on black.
    """
    if pictures[0].device.type == "cpu":  # its caches prefer one picture after the other
        return torch.cat([_letterbox([picture], size) for picture in pictures])
    boxes = pictures[0].new_empty(len(pictures), 3, size, size, dtype=torch.float32)
    for indices in by_shape(pictures):
        boxes[indices] = _letterbox([pictures[index] for index in indices], size)
    return boxes


def by_shape(pictures: Sequence[Tensor]) -> list[list[int]]:
    """Return the indices of the pictures of each shape, which can be processed together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, picture in enumerate(pictures):
        groups.setdefault(tuple(picture.shape), []).append(index)
    return list(groups.values())


def _letterbox(pictures: Sequence[Tensor], size: int) -> Tensor:
    """Return the squares of `letterbox` for pictures of one shape."""
    height, width = pictures[0].shape[:2]
    rows, outside, grid = _letterbox_grid(height, width, size, pictures[0].device)
    taken = torch.stack([picture.index_select(0, rows) for picture in pictures])
    if len(outside):
        taken[:, outside] = 0
    planes = taken.permute(0, 3, 1, 2).float()
    boxes = F.grid_sample(planes, grid.expand(len(pictures), -1, -1, -1), align_corners=False)
    return boxes.div_(127.5).sub_(1)


@lru_cache(maxsize=32)  # pictures of one size follow each other
@torch.inference_mode(False)  # ordinary tensors, usable wherever they are used next
def _letterbox_grid(height: int, width: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows (2 · size,) needed for sampling, those of them outside the picture, and the sampling grid.

    Only the two rows around each sample of a large picture are converted. The grid (1, size, size, 2) is in the
    coordinates of grid_sample.
    """
    side = max(height, width)
    steps = torch.arange(size, device=device) * (side / size)
    x, y = steps + (width - side) / 2, steps + (height - side) / 2  # where to sample, in pixels
    above = y.floor()
    rows = torch.stack([above, above + 1], dim=1).flatten()
    outside = ((rows < 0) | (rows >= height)).nonzero()[:, 0]
    y = torch.arange(size, device=device) * 2 + (y - above)
    # grid_sample counts −1…1 from border to border, pixel centers half a pixel inside.
    grid = torch.stack(torch.meshgrid((2 * x + 1) / width - 1, (2 * y + 1) / len(rows) - 1, indexing="xy"), dim=-1)
    return rows.clamp(0, height - 1).to(torch.int64), outside, grid[None]


def from_letterbox(points: Tensor, image_sizes: Tensor) -> Tensor:
    """Return points (F, 8, 2), in 0…1 of the letterbox, in pixels of pictures of (height, width) (F, 2)."""
    image_sizes = image_sizes.to(points)
    sides = image_sizes.amax(dim=1)  # (F,)
    corners = (image_sizes.flip(1) - sides[:, None]) / 2  # (F, 2): the letterbox's upper left on the picture
    return move(points, scale=sides[:, None, None], offset=corners[:, None])


def move(points: Tensor, *, scale: Tensor | float, offset: Tensor) -> Tensor:
    """Return points (…, 8, 2) in the pixels of another picture: scaled, then shifted; box sizes are only scaled."""
    points = points * scale
    center, size, key_points = points.split([1, 1, points.shape[-2] - 2], dim=-2)
    return torch.cat([center + offset, size, key_points + offset], dim=-2)


@dataclass(frozen=True)
class Detections:
    """F faces in N pictures, sorted by picture, then by descending score."""

    frames: Tensor  # (F,) int64: which picture
    points: Tensor  # (F, 8, 2) pixels: box center, box size, six key points, as from BlazeFace
    scores: Tensor  # (F,) 0…1

    def take(self, which: Tensor) -> Detections:
        """Return the detections selected by indices or a mask."""
        return Detections(frames=self.frames[which], points=self.points[which], scores=self.scores[which])


def join(parts: Sequence[Detections]) -> Detections:
    """Return detections in different pictures as one, sorted by picture."""
    whole = Detections(
        frames=torch.cat([part.frames for part in parts]),
        points=torch.cat([part.points for part in parts]),
        scores=torch.cat([part.scores for part in parts]),
    )
    return whole.take(whole.frames.argsort(stable=True))


def distinct(low: Tensor, high: Tensor, scores: Tensor) -> Tensor:
    """Return the indices of boxes, two corners (F, 2) each, that show another face than all boxes with higher scores.

    Two boxes show the same face if they share more than half of the smaller one. Boxes are sorted by score.
    """
    order = scores.argsort(descending=True, stable=True)
    low, high = low[order], high[order]
    areas = (high - low).prod(dim=1)
    shared = shared_area(low[:, None], high[:, None], low, high)
    clash = (shared > torch.minimum(areas[:, None], areas) * SAME).tril(diagonal=-1)  # with each higher score
    keep = torch.ones_like(order, dtype=torch.bool)
    while True:  # each round settles at least one more
        kept = ~(clash & keep).any(dim=1)
        if torch.equal(kept, keep):
            return order[keep]
        keep = kept


def weighted_nms(
    points: Tensor, scores: Tensor, *, min_score: float, max_faces: int, kinds: Tensor | None = None
) -> Detections:
    """Return up to `max_faces` faces in each of N pictures from candidates: points (N, K, 8, 2) and scores (N, K).

    Repeatedly, the candidate with the highest score and all that overlap it are averaged, weighted by score, in all
    pictures in parallel. With `kinds` (K,), only candidates of the same kind as the highest are averaged.
    """
    likely = (scores >= min_score).any(dim=0)  # (K,): mostly few
    points, scores = points[:, likely], scores[:, likely]
    kinds = None if kinds is None else kinds[likely]
    low, high = corners(points)  # (N, K, 2)
    remaining = torch.where(scores >= min_score, scores, 0.0)
    merged, best = [], []
    for _ in range(max_faces if scores.shape[1] else 0):
        score, leader = remaining.max(dim=1, keepdim=True)  # (N, 1)
        if not score.any():
            break
        lead = leader[..., None].expand(-1, -1, 2)
        same = overlap(low, high, low.gather(1, lead), high.gather(1, lead)) > OVERLAP
        same.scatter_(1, leader, True)  # a box without area does not even overlap itself
        alike = same if kinds is None else same & (kinds == kinds[leader])
        weights = torch.where(alike, remaining, 0.0)
        total = weights.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)  # 0: no face left
        merged.append(torch.einsum("nk,nkpc->npc", weights / total, points))
        best.append(score[:, 0])
        remaining = torch.where(same, 0.0, remaining)
    if not best:
        return Detections(
            points.new_zeros(0, dtype=torch.int64), points.new_zeros(0, *points.shape[2:]), scores.new_zeros(0)
        )
    best_scores = torch.stack(best, dim=1)  # (N, steps)
    frames, steps = best_scores.nonzero(as_tuple=True)
    return Detections(
        frames=frames, points=torch.stack(merged, dim=1)[frames, steps], scores=best_scores[frames, steps]
    )


def corners(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and upper corners (…, 2) of the boxes at the start of points (…, 8, 2)."""
    return points[..., 0, :] - points[..., 1, :] / 2, points[..., 0, :] + points[..., 1, :] / 2


def overlap(low: Tensor, high: Tensor, other_low: Tensor, other_high: Tensor) -> Tensor:
    """Return the intersection over union of boxes given by two corners (…, 2)."""
    shared = shared_area(low, high, other_low, other_high)
    union = (high - low).prod(dim=-1) + (other_high - other_low).prod(dim=-1) - shared
    return shared / union.clamp_min(torch.finfo(union.dtype).tiny)


def shared_area(low: Tensor, high: Tensor, other_low: Tensor, other_high: Tensor) -> Tensor:
    """Return the shared area of boxes given by two corners (…, 2)."""
    return (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp_min(0).prod(dim=-1)
