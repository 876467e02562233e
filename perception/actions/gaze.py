"""Measure where the eyes look, from their irises and lids.

An eye is a ball that turns about a center behind its corners, and is seen from far away. Then the displacement of the
iris from that center in the picture, divided by the iris' distance from it, is the x and y of the direction of gaze,
however the head is turned: the center follows the head, the iris the gaze.

A gaze is yaw and pitch in degrees, as seen in the picture, with the signs of the head pose (perception/geometry.py):

    yaw     above 0: the eyes look to the picture's right; below: to its left       −90…90
    pitch   above 0: they look up; below: down                                      −90…90

Both are 0 for eyes that look straight out of the picture, into the camera. Closed eyes have no gaze: as both close,
the gaze becomes the direction of the head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..geometry import align, true_proportions
from ..topology import LEFT_EYE_CORNERS, LEFT_IRIS, RIGHT_EYE_CORNERS, RIGHT_IRIS

# Lengths are in distances between the pupils, about 63 mm.
# From the eye's center of rotation to the pupil: 13.5 mm from the cornea less 3.5 mm.
RADIUS = 0.159
# From the middle of an eye's corners to its center of rotation: outward and down as where the pupil is on average in
# photos of people who look into the camera; back so that the pupil of an eye that looks straight ahead is 0.073 in
# front of its corners. So the landmarks have it: MediaPipe's actions `eyeLook*` are 0 there on turned heads.
OUTWARD, DOWN, BACK = 0.012, -0.025, RADIUS - 0.073
# Gap between the lids ÷ distance between the corners: from the first down an eye is closed, from the second up its iris
# is seen. In photos, eyes that look straight ahead have 0.3, eyes that look far down 0.15, closed ones 0.06 to 0.12.
CLOSED, OPEN = 0.08, 0.14
FARTHEST = 0.98  # the sine of the largest angle
LARGEST_TURN = 0.85  # sine of 58°: no eye turns further in its head, but the landmarks of an eye behind a hand may
SMALLEST = 1e-12  # instead of 0, of a face whose points coincide
# Corners, the middles of the upper and the lower lid, pupil, and the side on which it is in an upright picture.
EYES = ((RIGHT_EYE_CORNERS, (159, 145), RIGHT_IRIS[0], -1.0), (LEFT_EYE_CORNERS, (386, 374), LEFT_IRIS[0], 1.0))


def gaze(landmarks: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
    """Return yaw and pitch (N, 2) in degrees, float32, of N faces; see the module for the signs.

    Landmarks (N, 478, 3) are normalized, of pictures with (height, width) (N, 2). The template (478, 3) is a face that
    looks straight out of the picture, such as `ExpressionModel.template`.
    """
    points = true_proportions(landmarks, image_sizes)
    pose = align(points, template)
    into_picture = pose.rotation.transpose(1, 2)  # (N, 3, 3): directions in the template frame → in the picture's
    eyes = [_eye(points, pose.scale[:, None], into_picture, *eye) for eye in EYES]
    directions, openness, sizes = (torch.stack(parts) for parts in zip(*eyes, strict=True))  # (2, N, …)
    # Of a turned head's eyes, the one that the picture shows larger is measured better.
    weights = openness * sizes**2
    seen = (weights * directions).sum(dim=0) / weights.sum(dim=0).clamp_min(SMALLEST)  # (N, 2)
    ahead = (into_picture.new_tensor([0.0, 0.0, -1.0]) @ into_picture)[:, :2]
    turn = openness.amax(dim=0) * (seen - ahead)
    turn = turn * (LARGEST_TURN / turn.norm(dim=1, keepdim=True).clamp_min(LARGEST_TURN))
    x, y = (ahead + turn).unbind(dim=1)
    length = torch.hypot(x, y)
    shrunk = FARTHEST / length.clamp_min(FARTHEST)
    x, y = x * shrunk, y * shrunk
    depth = (1 - x**2 - y**2).sqrt()
    return torch.stack([torch.atan2(x, depth), -y.asin()], dim=1).rad2deg()


def _eye(
    points: Tensor,
    scale: Tensor,
    into_picture: Tensor,
    corners: tuple[int, int],
    lids: tuple[int, int],
    pupil: int,
    side: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the direction x and y (N, 2), how far the eye is open, 0…1 (N, 1), and its width as seen (N, 1)."""
    first, second = (points[:, corner] for corner in corners)
    # (N, 3), from the middle of the corners, as the pupil is below.
    center = into_picture.new_tensor([side * OUTWARD, DOWN, BACK]) @ into_picture
    moved = (points[:, pupil] - (first + second) / 2) * scale - center
    gap = (points[:, lids[0]] - points[:, lids[1]]).norm(dim=1, keepdim=True)
    width = (first - second).norm(dim=1, keepdim=True).clamp_min(SMALLEST)
    openness = ((gap / width - CLOSED) / (OPEN - CLOSED)).clamp(0, 1)
    return moved[:, :2] / RADIUS, openness, (first - second)[:, :2].norm(dim=1, keepdim=True) * scale
