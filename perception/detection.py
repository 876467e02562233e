"""Around the face detector: its input cut from any picture, and its candidates merged into faces.

Both follow MediaPipe 0.10's face detection graph, short range.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

OVERLAP = 0.3  # candidates whose intersection over union exceeds this are the same face


def letterbox(picture: Tensor, size: int) -> Tensor:
    """Fit a whole picture (H, W, 3) uint8 into a square: (3, size, size) float32 in −1…1, bilinear.

    The picture is centred and its surroundings are black.
    """
    height, width = picture.shape[:2]
    side = max(height, width)
    steps = torch.arange(size, device=picture.device) * (side / size)
    x, y = steps + (width - side) / 2, steps + (height - side) / 2  # where to sample, in pixels

    # Of a large picture few rows matter: take the two around each sample, and convert only these.
    above = y.floor()
    rows = torch.stack([above, above + 1], dim=1).flatten()  # (2 · size,)
    inside = (rows >= 0) & (rows < height)
    taken = picture.index_select(0, rows.clamp(0, height - 1).to(torch.int64)) * inside[:, None, None]
    y = torch.arange(size, device=picture.device) * 2 + (y - above)

    # grid_sample counts −1…1 from border to border, pixel centres half a pixel inside.
    grid = torch.stack(torch.meshgrid((2 * x + 1) / width - 1, (2 * y + 1) / len(rows) - 1, indexing="xy"), dim=-1)
    sampled = F.grid_sample(taken.permute(2, 0, 1)[None].float(), grid[None], align_corners=False)
    return sampled[0] / 127.5 - 1


@dataclass(frozen=True)
class Detections:
    """F faces in N pictures, by picture, within one the surest first."""

    frames: Tensor  # (F,) int64: which picture
    points: Tensor  # (F, 8, 2): as BlazeFace gives them
    scores: Tensor  # (F,) 0…1


def weighted_nms(points: Tensor, scores: Tensor, *, min_score: float, max_faces: int) -> Detections:
    """Candidates, points (N, K, 8, 2) and scores (N, K), → at most `max_faces` faces in each of N pictures.

    Again and again the surest candidate takes all that overlap it, and they are averaged, weighted by score.
    All pictures take a step at once.
    """
    low, high = points[:, :, 0] - points[:, :, 1] / 2, points[:, :, 0] + points[:, :, 1] / 2  # (N, K, 2)
    remaining = torch.where(scores >= min_score, scores, 0.0)
    merged, best = [], []
    for _ in range(max_faces):
        score, leader = remaining.max(dim=1, keepdim=True)  # (N, 1)
        if not score.any():
            break
        lead = leader[..., None].expand(-1, -1, 2)
        same = _overlap(low, high, low.gather(1, lead), high.gather(1, lead)) > OVERLAP
        same.scatter_(1, leader, True)  # a box without area does not even overlap itself
        weights = torch.where(same, remaining, 0.0)
        total = weights.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)  # 0: no face left
        merged.append(torch.einsum("nk,nkpc->npc", weights / total, points))
        best.append(score[:, 0])
        remaining = torch.where(same, 0.0, remaining)
    if not best:
        return Detections(points.new_zeros(0, dtype=torch.int64), points[:0, 0], scores[:0, 0])
    found = torch.stack(best, dim=1)  # (N, steps)
    frames, steps = found.nonzero(as_tuple=True)
    return Detections(frames=frames, points=torch.stack(merged, dim=1)[frames, steps], scores=found[frames, steps])


def _overlap(low: Tensor, high: Tensor, other_low: Tensor, other_high: Tensor) -> Tensor:
    """Intersection over union of boxes given by two corners (…, 2)."""
    shared = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp_min(0).prod(dim=-1)
    union = (high - low).prod(dim=-1) + (other_high - other_low).prod(dim=-1) - shared
    return shared / union.clamp_min(torch.finfo(union.dtype).tiny)
