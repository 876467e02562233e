"""Editing actions: what is asked for is read, little else changes, and faces turn by the degrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.actions.basis import ActionBasis
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import values_of
from perception_clip.perception.editing.actions import ACTION_SLIDERS, HEAD, edit_actions
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.topology import FACE_OVAL
from perception_clip.perception.vector import NEUTRAL, Perceptions, bounding_boxes, pack

from ..reference_faces import MODEL, posed, read, reference_faces

FACES = reference_faces()
BASIS, ACTIONS = ActionBasis.load(), ActionModel.load()
AMOUNT = 0.5
SIGNED = ("brow_up_left", "brow_up_right", "gaze_x", "gaze_y")  # what a neutral face can do in both directions
RAISED = [name for name in ACTION_SLIDERS if name not in HEAD]
TOGETHER = [("brow_up_left", "brow_up_right"), ("eye_closed_left", "eye_closed_right"), ("smile_left", "smile_right")]


def edited(faces: Perceptions, **sliders: float) -> Perceptions:
    return edit_actions(faces, sliders, 1.0, MODEL, BASIS, ACTIONS)


def readings(faces: Perceptions) -> dict[str, Tensor]:
    """What the action network reads of each slider, (N,). A brow that is up, and one that is down, are two readings."""
    actions = ACTIONS.actions(faces.landmarks, faces.image_sizes)

    def value(name: str) -> Tensor:
        return values_of(actions, name)

    sides = {
        f"{slider}_{side.lower()}": value(f"{name}{side}")
        for slider, name in (("brow_up", "browOuterUp"), ("brow_down", "browDown"), ("eye_closed", "eyeBlink"))
        for side in ("Left", "Right")
    }
    right = (value("eyeLookOutLeft") + value("eyeLookInRight")) / 2
    left = (value("eyeLookInLeft") + value("eyeLookOutRight")) / 2
    return sides | {
        "gaze_x": right - left,
        "gaze_y": value("eyeLookUp") - value("eyeLookDown"),
        "jaw_open": value("jawOpen"),
        "smile_left": value("mouthSmileLeft"),
        "smile_right": value("mouthSmileRight"),
        "frown": value("mouthFrown"),
        "pucker": value("mouthPucker"),
        "press": value("mouthPress"),
    }


def poses(faces: Perceptions) -> Tensor:
    return head_pose(faces.landmarks, faces.image_sizes, MODEL.template)


def many(landmarks: Tensor, sizes: Tensor) -> Perceptions:
    count = len(landmarks)
    return replace(
        FACES.select([0] * count),
        vectors=pack(landmarks, MODEL.probabilities(landmarks, sizes)),
        image_sizes=sizes.int(),
        boxes=bounding_boxes(landmarks, sizes),
    )


@pytest.fixture(scope="module")
def sampled() -> Perceptions:
    emotions, generator = torch.full((60,), NEUTRAL), torch.Generator().manual_seed(3)
    return many(*MODEL.sample(emotions, torch.zeros(60), generator, variety=0.75))


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Perceptions:
    """Neutral faces of photos that look ahead."""
    with np.load(shared_data / "expression_landmarks.npz") as file:
        rows = np.flatnonzero(file["label"] == "neutral")[7::40]
        landmarks, sizes = torch.from_numpy(file["landmarks"][rows]).float(), torch.from_numpy(file["image_size"][rows])
    ahead = head_pose(landmarks, sizes, MODEL.template)[:, :2].abs().amax(dim=1) < 15
    return many(landmarks[ahead], sizes[ahead])


@pytest.mark.parametrize("kind", ["sampled", "real"])
def test_an_edit_is_read_as_edited_and_little_else_is(kind: str, request: pytest.FixtureRequest) -> None:
    faces: Perceptions = request.getfixturevalue(kind)
    before = readings(faces)
    edits = [({name: AMOUNT}, 1.0) for name in RAISED] + [({name: -AMOUNT}, -1.0) for name in SIGNED]
    edits += [(dict.fromkeys(pair, AMOUNT), 1.0) for pair in TOGETHER]
    for sliders, sign in edits:
        own = [name.replace("up", "down") if "brow" in name and sign < 0 else name for name in sliders]
        after = readings(edited(faces, **sliders))
        changes = {name: float((after[name] - before[name]).mean()) / AMOUNT for name in before}
        gaze = sign if own[0].startswith("gaze") else 1.0
        assert all(0.7 <= gaze * changes[name] <= 1.3 for name in own), (sliders, changes)
        # By nature, a brow that rises is no longer down, and lips that smile are no longer puckered.
        natural = {"b": "brow", "s": "pucker"}.get(own[0][0], "none")
        others = [name for name in changes if name not in own and not name.startswith(natural)]
        assert max(abs(changes[name]) for name in others) <= 0.35, (sliders, changes)
    assert len(faces) >= 50


def test_negative_amounts_take_away_what_there_is_and_no_more() -> None:
    removed = ("smile_left", "smile_right", "jaw_open", "frown", "press")
    for asked in (removed[:2], removed[2:3], removed[3:4], removed[4:]):
        shown = edited(FACES.select([1]), **dict.fromkeys(asked, 0.6))
        less, none = (edited(shown, **dict.fromkeys(asked, amount)) for amount in (-0.4, -1.0))
        for name in asked:
            first, second, third = (readings(faces)[name].item() for faces in (shown, less, none))
            assert 0.7 < (first - second) / 0.4 < 1.5, name
            assert third < 0.05, name
    calm = edited(FACES.select([1]), **dict.fromkeys(removed, -1.0))
    moved = (calm.landmarks - FACES.landmarks[1:]).norm(dim=2).max() * FACES.image_sizes[1, 1]
    assert moved < 3  # pixels


def test_the_head_turns_by_the_degrees_and_nothing_else_changes() -> None:
    for faces in (FACES, posed(FACES)):
        before, emotions = poses(faces), read(faces)
        for degrees in ((30.0, 0.0, 0.0), (0.0, -20.0, 0.0), (0.0, 0.0, 45.0), (-25.0, 15.0, 10.0)):
            turned = edited(faces, **dict(zip(HEAD, degrees, strict=True)))
            assert torch.allclose(poses(turned), before + torch.tensor(degrees), atol=0.05)
            assert torch.allclose(read(turned), emotions, atol=1e-3)
            shapes = [MODEL.align(one.landmarks, one.image_sizes).points for one in (faces, turned)]
            assert (shapes[0] - shapes[1]).abs().max() < 1e-3
            depth = turned.landmarks[..., 2].mean(dim=1) - faces.landmarks[..., 2].mean(dim=1)
            assert depth.abs().max() < 1e-4
    nose, middle = (edited(FACES, head_yaw=30.0).landmarks[0, rows, 0].mean() for rows in ([1], list(FACE_OVAL)))
    assert nose > middle + 0.02  # to the right of the picture
    assert poses(edited(FACES, head_pitch=90.0)).isfinite().all()


def test_the_person_and_the_pose_stay() -> None:
    before = poses(FACES)
    upper = [landmark for landmark in FACE_OVAL if MODEL.template[landmark, 1] < MODEL.template[4, 1]]
    shape = MODEL.align(FACES.landmarks, FACES.image_sizes).points[:, upper]
    for name in RAISED:
        after = edited(FACES, **{name: 1.0})
        assert (poses(after) - before).abs().max() < 0.1, name  # degrees
        moved = MODEL.align(after.landmarks, after.image_sizes).points[:, upper] - shape
        assert moved.norm(dim=2).mean() < 0.03, name  # inter-ocular distances


def test_nothing_to_do_is_the_identity_bit_for_bit() -> None:
    zeros = dict.fromkeys(ACTION_SLIDERS, 0.0)
    for sliders, strength in ((zeros, 1.0), ({}, 1.0), (dict.fromkeys(ACTION_SLIDERS, 1.0), 0.0)):
        same = edit_actions(FACES, sliders, strength, MODEL, BASIS, ACTIONS)
        assert torch.equal(same.vectors, FACES.vectors) and torch.equal(same.boxes, FACES.boxes)
        assert torch.equal(same.origins, FACES.origins)


def test_emotions_boxes_and_origins_follow() -> None:
    smiling = edited(FACES, smile_left=0.8, smile_right=0.8)
    assert torch.allclose(smiling.emotions, read(smiling), atol=1e-3)
    assert smiling.emotions[1, 3] > FACES.emotions[1, 3] + 0.1  # happy
    margin = smiling.boxes - bounding_boxes(smiling.landmarks, smiling.image_sizes)
    assert torch.allclose(margin, torch.tensor([[-5.0, -5.0, 5.0, 5.0]]).expand(2, 4), atol=1e-3)
    assert not torch.equal(smiling.origins, FACES.origins)
    doubled = edit_actions(FACES, {"smile_left": 0.4, "smile_right": 0.4}, 2.0, MODEL, BASIS, ACTIONS)
    assert torch.equal(smiling.vectors, doubled.vectors)


def test_bad_sliders_are_named_and_no_face_is_no_crash() -> None:
    with pytest.raises(ValueError, match="unknown action 'ears'; choose from brow_up_left"):
        edited(FACES, ears=1.0)
    with pytest.raises(ValueError, match="the amount of frown is nan"):
        edited(FACES, frown=float("nan"))
    assert len(edited(FACES.select([]), frown=1.0)) == 0
    point = replace(FACES, vectors=pack(torch.full((2, 478, 3), 0.5), FACES.emotions))
    assert torch.allclose(edited(point, frown=1.0, head_yaw=20.0).landmarks, point.landmarks, atol=1e-6)
