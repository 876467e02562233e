"""Measure the pose of a face, and remove rotation, position, scale and picture shape from its landmarks.

The rigid fit is the least-squares similarity transform of Umeyama (1991), "Least-squares estimation of
transformation parameters between two point patterns", IEEE TPAMI 13(4).

A pose is yaw, pitch and roll in degrees, as seen in the picture, 0 for a face that looks straight out of it:

    yaw     above 0: the nose points to the picture's right; below: to its left       −180…180
    pitch   above 0: the face looks up; below: down                                    −90…90
    roll    above 0: the head is turned clockwise in the picture; below: counter-      −180…180

Rotating the picture changes the roll by the same angle and nothing else; mirroring it changes the signs of yaw and
roll. The zero of pitch is that of the template, the average of photos of people who look into
the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

AXES = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Alignment:
    """N faces aligned with a template: points in the template frame = (points − center) @ rotation × scale."""

    points: Tensor  # (N, L, 3) in the template frame
    rotation: Tensor  # (N, 3, 3), proper: determinant 1
    scale: Tensor  # (N,)
    center: Tensor  # (N, 1, 3)

    def to_image_frame(self, displacements: Tensor) -> Tensor:
        """Return displacements (N or 1, L, 3) from the template frame in the frame of each face.

        A face without extent does not move.
        """
        scale = torch.where(self.scale > 0, self.scale, torch.inf)
        delta: Tensor = (displacements / scale[:, None, None]) @ self.rotation.transpose(1, 2)
        return delta


def true_proportions(landmarks: Tensor, image_sizes: Tensor) -> Tensor:
    """Return normalized landmarks (N, L, 3), of pictures (height, width) (N, 2), in units of the image width."""
    ratio = image_sizes[:, 0].to(landmarks) / image_sizes[:, 1].to(landmarks)  # (N,)
    factors = torch.stack([torch.ones_like(ratio), ratio, torch.ones_like(ratio)], dim=1)  # (N, 3)
    return landmarks * factors[:, None]


def from_true_proportions(points: Tensor, image_sizes: Tensor) -> Tensor:
    """Return points (N, L, 3) in normalized image coordinates: the inverse of `true_proportions`."""
    return true_proportions(points, image_sizes.flip(1))


def align(points: Tensor, template: Tensor) -> Alignment:
    """Return points (N, L, 3), in true proportions, aligned with a centered template (L, 3): rotated, moved and scaled.

    Both are on the CPU: other devices have no float64 (Apple) or are slow for such small decompositions.

    Faces whose points all coincide have no scale; they become zeros.
    """
    # Where float32 sums of squares decide a rotation, and where huge coordinates would overflow, use float64.
    wide, target = points.double(), template.double()
    center = wide.mean(dim=1, keepdim=True)  # (N, 1, 3)
    wide = wide - center
    u, singular, vt = torch.linalg.svd(wide.transpose(1, 2) @ target)  # (N, 3, 3), (N, 3), (N, 3, 3)
    signs = torch.ones_like(singular)
    signs[:, 2] = torch.det(u @ vt).sign()  # a rotation, never a mirror image
    rotation = (u * signs[:, None]) @ vt
    spread = wide.square().sum(dim=(1, 2))
    scale = torch.where(spread > 0, (singular * signs).sum(dim=1) / spread.clamp_min(1e-30), 0.0)
    aligned = wide @ rotation * scale[:, None, None]
    return Alignment(*(tensor.to(points) for tensor in (aligned, rotation, scale, center)))


def head_pose(landmarks: Tensor, image_sizes: Tensor, template: Tensor) -> Tensor:
    """Return yaw, pitch and roll (N, 3) in degrees, float32, of N faces; see the module for the signs.

    Args:
        landmarks: (N, 478, 3), normalized image coordinates.
        image_sizes: (N, 2), the (height, width) of the pictures.
        template: (478, 3), a centered face that looks straight out of the picture, such as
            `ExpressionModel.template`.

    The angles are those of the rotation that best aligns the template with the face. Faces whose points all coincide
    have no pose; their angles are arbitrary but finite.
    """
    return pose_of(align(true_proportions(landmarks, image_sizes), template).rotation)


def pose_of(rotation: Tensor) -> Tensor:
    """Return yaw, pitch and roll (N, 3) in degrees of faces with these rotations (N, 3, 3), as `align` returns them."""
    pitch, yaw, roll = angles(rotation).rad2deg().unbind(dim=1)
    # In image coordinates, with y down and z away from the viewer, a positive turn about y points the nose to
    # the left, and one about x points it down.
    return torch.stack([-yaw, -pitch, roll], dim=1)


def angles(rotation: Tensor) -> Tensor:
    """Return pitch, yaw and roll (N, 3) in radians of rotations (N, 3, 3): the inverse of `expression.rotations`."""
    pitch = rotation[:, 2, 1].clamp(-1, 1).asin()
    yaw = torch.atan2(-rotation[:, 2, 0], rotation[:, 2, 2])
    roll = torch.atan2(-rotation[:, 0, 1], rotation[:, 1, 1])
    return torch.stack([pitch, yaw, roll], dim=1)
