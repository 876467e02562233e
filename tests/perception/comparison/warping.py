"""Draw known edits: a photo warped along its landmarks."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import map_coordinates

from perception_clip.perception.topology import FACE_OVAL
from perception_clip.perception.vector import Perceptions

SURROUNDINGS = 1.5  # times the face's outline: from there on, the photo stays


def warped(photo: np.ndarray, before: Perceptions, after: Perceptions) -> np.ndarray:
    """The photo (H, W, 3) uint8 of the face `before`, moved so that its landmarks are those of `after`."""
    height, width = photo.shape[:2]
    size = torch.tensor([width, height])
    start, end = ((faces.landmarks[0, :468, :2] * size).double().numpy() for faces in (before, after))
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
