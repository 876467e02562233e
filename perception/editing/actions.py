"""Edit what faces do: brows, eyes, gaze, mouth, and the pose of the head."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..actions.basis import DIRECTIONS, ActionBasis
from ..actions.model import ActionModel
from ..actions.names import values_of
from ..emotions.expression import ExpressionModel, rotations
from ..geometry import align, angles, from_true_proportions, true_proportions
from ..vector import Perceptions
from .edit import checked_amounts, following

SIDES = ("left", "right")
# Sliders of both sides → the direction of positive amounts, and of negative ones.
PAIRS = {
    "brow_up": ("brow up", "brow down"),
    "eye_closed": ("eye closed", None),
    "smile": ("smile", None),
}
SINGLE = {name: name.replace("_", " ") for name in ("gaze_x", "gaze_y", "jaw_open", "frown", "pucker", "press")}
# Negative amounts of these remove what a face shows, and no more: no mouth is more closed than closed.
REMOVED = (
    {"jaw_open": "jawOpen"},
    {"smile_left": "mouthSmileLeft", "smile_right": "mouthSmileRight"},
    {"frown": "mouthFrown"},
    {"press": "mouthPress"},
)
HEAD = ("head_yaw", "head_pitch", "head_roll")  # in degrees; the others have amounts of −1…1
ACTION_SLIDERS = (
    *(f"{pair}_{side}" for pair in ("brow_up", "eye_closed") for side in SIDES),
    *("gaze_x", "gaze_y", "jaw_open"),
    *(f"smile_{side}" for side in SIDES),
    *("frown", "pucker", "press"),
    *HEAD,
)
EARS = (234, 454)  # at the edges of the face; a head turns about the middle between them
STEEPEST = 85.0  # degrees of pitch: beyond, yaw and roll are no longer defined


def edit_actions(
    perceptions: Perceptions,
    sliders: Mapping[str, float],
    strength: float,
    model: ExpressionModel,
    basis: ActionBasis,
    actions: ActionModel,
) -> Perceptions:
    """Return perceptions with other actions; the person stays, and boxes and emotions follow the landmarks.

    `sliders` has an amount for each action to change, by its name in `ACTION_SLIDERS`: 0.5 raises what the action
    network reads by about 0.5, and −0.5 lowers it. Negative amounts of smile, frown, press and jaw remove what a face
    shows, and no more. Left and right are the person's own. `head_yaw`, `head_pitch` and `head_roll` are degrees that
    are added to the head pose, with the signs of perception/geometry.py. All are multiplied by `strength`; if nothing
    changes, the same perceptions are returned. Raises ValueError for an unknown name and for amounts that are not
    finite.
    """
    amounts = checked_amounts(sliders, strength, "action", ACTION_SLIDERS)
    if len(perceptions) == 0 or not any(amounts.values()):
        return perceptions
    edited, sizes = perceptions.landmarks, perceptions.image_sizes
    if any(amount for name, amount in amounts.items() if name not in HEAD):
        start, end = courses(perceptions, amounts, actions)
        move = torch.tensordot(lengths(end, basis) - lengths(start, basis), basis.directions, dims=1)  # (N, 478, 3)
        edited = edited + from_true_proportions(model.align(edited, sizes).to_image_frame(move), sizes)
    degrees = [amounts.get(name, 0.0) for name in HEAD]
    if any(degrees):
        edited = turned(edited, sizes, degrees, model.template)
    models = " ".join(part.identity for part in (basis, actions, model))
    before = model.probabilities(perceptions.landmarks, sizes)
    return following(perceptions, edited, before, amounts, models, model)


def courses(
    perceptions: Perceptions, amounts: Mapping[str, float], actions: ActionModel
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return where each slider starts and ends, (N,) each: from 0, or from what the faces show if that is removed."""
    zeros = torch.zeros(len(perceptions))
    start = {name: zeros for name in ACTION_SLIDERS if name not in HEAD}
    end = {name: zeros + amounts.get(name, 0.0) for name in start}
    removed = [names for names in REMOVED if any(amounts.get(name, 0.0) < 0 for name in names)]
    if removed:
        shown = actions.actions(perceptions.landmarks, perceptions.image_sizes)
        for slider, action in (pair for names in removed for pair in names.items()):
            start[slider] = values_of(shown, action)
            end[slider] = (start[slider] + end[slider]).clamp_min(0)
    return start, end


def lengths(values: Mapping[str, Tensor], basis: ActionBasis) -> Tensor:
    """Return the length of the move along each direction, (N, 18), for values (N,) of the sliders."""
    moves = {direction: basis.length(direction, values[name]) for name, direction in SINGLE.items()}
    for name, (positive, negative) in PAIRS.items():
        both = [values[f"{name}_{side}"] for side in SIDES]
        for sign in (1.0, -1.0):
            # What both sides do is one move, as one is not the sum of the other two; a side adds what it does more.
            left, right = ((sign * value).clamp_min(0) for value in both)
            common = torch.minimum(left, right)
            direction, sense = (negative, 1.0) if sign < 0 and negative else (positive, sign)
            added = {direction: basis.length(direction, common)}
            for side, value in zip(SIDES, (left, right), strict=True):
                one = f"{direction} {side}"
                added[one] = basis.length(one, value) - basis.length(one, common)
            for key, length in added.items():
                moves[key] = moves.get(key, torch.zeros_like(length)) + sense * length
    return torch.stack([moves[name] for name in DIRECTIONS], dim=1)


def turned(landmarks: Tensor, image_sizes: Tensor, degrees: list[float], template: Tensor) -> Tensor:
    """Return landmarks (N, 478, 3) of heads whose yaw, pitch and roll have grown by `degrees`.

    A head turns about its middle, which is behind the face, so a face that looks to a side also moves to that side.
    """
    points = true_proportions(landmarks, image_sizes)
    rotation = align(points, template).rotation  # (N, 3, 3)
    yaw, pitch, roll = torch.tensor(degrees).deg2rad()
    pose = angles(rotation) + torch.stack([-pitch, -yaw, roll])  # the signs are those of `head_pose`
    steepest = math.radians(STEEPEST)
    pose = torch.cat([pose[:, :1].clamp(-steepest, steepest), pose[:, 1:]], dim=1)
    turn = rotation @ rotations(pose).transpose(1, 2)
    center = points[:, list(EARS)].mean(dim=1, keepdim=True)
    move = (points - center) @ turn + center - points
    move = move - move.mean(dim=1, keepdim=True) * move.new_tensor([0.0, 0.0, 1.0])  # depth is relative to the face
    return landmarks + from_true_proportions(move, image_sizes)
