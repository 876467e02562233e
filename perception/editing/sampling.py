"""Sample faces that do something: actions, a direction of gaze, a head pose."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..actions.basis import ActionBasis
from ..emotions.expression import ExpressionModel, placed, random_poses
from .actions import ACTION_SLIDERS, HEAD, lengths

GAZE = ("gaze_yaw", "gaze_pitch")  # degrees as actions/gaze.py has them
GAZE_SLIDERS = {"gaze_x": 40.0, "gaze_y": 24.0}  # degrees that an amount of 1 turns the eyes of sampled faces
SLIDERS = tuple(name for name in ACTION_SLIDERS if name not in (*HEAD, *GAZE_SLIDERS))
DOING = (*SLIDERS, *GAZE, *HEAD)  # what `sample_faces` can add to an expression
WANDERING = 4.0  # degrees: standard deviation of a gaze without a direction


def sample_faces(
    emotions: Tensor,
    strengths: Tensor,
    doing: Mapping[str, Tensor],
    model: ExpressionModel,
    basis: ActionBasis,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return random faces: normalized landmarks (N, 478, 3) float32, and (height, width) (N, 2) int32.

    Emotions and strengths (N,) are those of `ExpressionModel.sample_shapes`. `doing` has amounts (N,) by the names in
    `DOING`: of `SLIDERS`, as in `edit_actions`; of `GAZE`, degrees in the picture; of `HEAD`, degrees that are added to
    a mild random pose. Eyes without a direction look somewhere between the camera and where the head points. The same
    generator state gives the same faces.
    """
    count = len(emotions)
    shapes = model.sample_shapes(emotions, strengths, generator)
    zeros = torch.zeros(count)
    added = torch.stack([-doing.get("head_pitch", zeros), -doing.get("head_yaw", zeros), doing.get("head_roll", zeros)])
    poses = random_poses(count, generator) + added.T
    head = -poses[:, [1, 0]]  # yaw and pitch, with the signs of `head_pose`
    wandering = torch.rand(count, 1, generator=generator) * head + WANDERING * torch.randn(
        count, 2, generator=generator
    )
    wanted = torch.stack([doing.get(name, zeros) for name in GAZE], dim=1)
    directed = (wanted != 0).any(dim=1, keepdim=True)
    turns = torch.where(directed, wanted, wandering) - head  # (N, 2) degrees of the eyes in the head
    amounts = {name: doing.get(name, zeros) for name in SLIDERS}
    amounts |= {name: turn / degrees for (name, degrees), turn in zip(GAZE_SLIDERS.items(), turns.T, strict=True)}
    shapes = shapes + torch.tensordot(lengths(amounts, basis), basis.directions, dims=1)
    return placed(shapes, poses, generator)
