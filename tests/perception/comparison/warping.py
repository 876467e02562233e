"""Draw known edits: a photo warped along its landmarks."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import map_coordinates

from perception_clip.perception.topology import FACE_OVAL, LEFT_EYE_OUTLINE, RIGHT_EYE_OUTLINE
from perception_clip.perception.vector import Perceptions

CLOSED = 0.3  # pixels between closed lids
SURROUNDINGS = 1.5  # times the face's outline: from there on, the photo stays


def warped(photo: np.ndarray, before: Perceptions, after: Perceptions) -> np.ndarray:
    """The photo (H, W, 3) uint8 of the face `before`, moved so that its landmarks are those of `after`."""
    height, width = photo.shape[:2]
    size = torch.tensor([width, height])
    start, end = ((faces.landmarks[0, :468, :2] * size).double().numpy() for faces in (before, after))
    part_lids(start, end)
    center = start.mean(axis=0)
    outside = center + (start[list(FACE_OVAL)] - center) * SURROUNDINGS
    fixed = np.concatenate([outside, [[0, 0], [width, 0], [0, height], [width, height]]])
    y, x = np.mgrid[:height, :width]
    moved = LinearNDInterpolator(
        np.concatenate([end, fixed]), np.concatenate([start - end, np.zeros_like(fixed)]), fill_value=0
    )(x, y)  # (H, W, 2)
    source = [y + moved[..., 1], x + moved[..., 0]]
    layers = [map_coordinates(photo[..., layer].astype(float), source, order=1, mode="nearest") for layer in range(3)]
    return np.stack(layers, axis=-1).round().clip(0, 255).astype(np.uint8)


def part_lids(start: np.ndarray, end: np.ndarray) -> None:
    """Move the lids of `end` (468, 2) apart where an edit crosses them: a picture folded there shows no eye at all."""
    for outline in (RIGHT_EYE_OUTLINE, LEFT_EYE_OUTLINE):
        lower, upper = list(outline[1:8]), list(outline[:8:-1])
        down = start[lower] - start[upper]
        down /= np.linalg.norm(down, axis=1, keepdims=True)
        gap = ((end[lower] - end[upper]) * down).sum(axis=1, keepdims=True)
        lift = (CLOSED - gap).clip(0) / 2 * down
        end[lower] += lift
        end[upper] -= lift
