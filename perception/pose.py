"""Which way a head is turned: yaw, pitch and roll in degrees, from a face's landmarks.

All three are as the picture shows them, and 0 for a face that looks straight out of it:

    yaw     above 0: the nose points to the picture's right; below: to its left       −180…180
    pitch   above 0: the face looks up; below: down                                    −90…90
    roll    above 0: the head is turned clockwise in the picture; below: counter-      −180…180

A picture turned by some degrees changes the roll by as many and nothing else, and a mirrored picture changes the
signs of yaw and roll. The zero of pitch is that of the template, the average of photos of people who look into
the camera.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .alignment import align, true_proportions

AXES = ("yaw", "pitch", "roll")


def head_pose(landmarks: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
    """Yaw, pitch and roll (N, 3) in degrees, float32, of N faces; see the module for the signs.

    Args:
        landmarks: (N, 478, 3), normalised image coordinates.
        image_sizes: (N, 2), the pictures' (height, width).
        template: (478, 3), a centred face that looks straight out of the picture, such as
            `ExpressionModel.template`.

    The angles are those of the rotation that best lays the template onto the face. Faces whose points all
    coincide have no pose; they come back as some finite angles.
    """
    rotation = align(true_proportions(landmarks, image_sizes), template).rotation
    pitch, yaw, roll = angles(rotation).rad2deg().unbind(dim=1)
    # In image coordinates, with y down and z away from the viewer, a positive turn about y points the nose to
    # the left, and one about x points it down.
    return torch.stack([-yaw, -pitch, roll], dim=1)


def angles(rotation: Tensor) -> Tensor:
    """Rotations (N, 3, 3) → pitch, yaw and roll (N, 3) in radians: the inverse of `expression.rotations`."""
    pitch = rotation[:, 2, 1].clamp(-1, 1).asin()
    yaw = torch.atan2(-rotation[:, 2, 0], rotation[:, 2, 2])
    roll = torch.atan2(-rotation[:, 0, 1], rotation[:, 1, 1])
    return torch.stack([pitch, yaw, roll], dim=1)
