"""OpenPose's 70 key points: where they are on real faces, and how other nodes get them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from perception_clip.perception.control.openpose import key_points, pose_keypoint
from perception_clip.perception.control.pictures import placed_faces

from ..reference_faces import reference_faces

SIZE = (512, 600)
JAW, RIGHT_BROW, LEFT_BROW = slice(0, 17), slice(17, 22), slice(22, 27)
RIGHT_EYE, LEFT_EYE, MOUTH, INNER_MOUTH = slice(36, 42), slice(42, 48), slice(48, 60), slice(60, 68)


@pytest.fixture(scope="module")
def grace_hopper() -> np.ndarray:
    """Her 70 points, which face the camera, in pixels."""
    return key_points(placed_faces(reference_faces(), SIZE)[2][0])


def test_the_points_are_in_the_annotations_order(grace_hopper: np.ndarray) -> None:
    x, y = grace_hopper.T
    assert grace_hopper.shape == (70, 2)
    assert (np.diff(x[JAW]) > -1).all() and y[JAW].argmax() == 8  # from the person's right ear past the chin
    assert (np.diff(y[0:9]) > 0).all() and (np.diff(y[8:17]) < 0).all()
    assert (np.diff(x[17:27]) > 0).all()  # both brows from the picture's left to its right
    assert (np.diff(y[27:31]) > 0).all() and (np.diff(x[31:36]) > 0).all()  # down the nose, along the nostrils
    assert y[RIGHT_BROW].max() < y[RIGHT_EYE].min() and y[LEFT_BROW].max() < y[LEFT_EYE].min()


def test_eyes_and_mouth_run_around_their_outlines(grace_hopper: np.ndarray) -> None:
    for feature in (RIGHT_EYE, LEFT_EYE, MOUTH, INNER_MOUTH):
        points = grace_hopper[feature]
        assert points[:, 0].argmin() == 0 and points[:, 0].argmax() == len(points) // 2  # the corners
        x, y = points.T
        assert x @ np.roll(y, -1) - y @ np.roll(x, -1) > 0  # clockwise, over the upper edge first
    lips, inside = grace_hopper[MOUTH], grace_hopper[INNER_MOUTH]
    assert lips[3, 1] + 5 < inside[2, 1] < lips[9, 1] - 5
    assert inside[2, 1] == pytest.approx(inside[6, 1], abs=1)  # closed
    for eye, pupil in ((RIGHT_EYE, 68), (LEFT_EYE, 69)):
        low, high = grace_hopper[eye].min(axis=0), grace_hopper[eye].max(axis=0)
        assert (low < grace_hopper[pupil]).all() and (grace_hopper[pupil] < high).all()


def test_points_of_the_jaw_are_at_nearly_equal_distances(grace_hopper: np.ndarray) -> None:
    steps = np.hypot(*np.diff(grace_hopper[JAW], axis=0).T)
    assert steps.max() / steps.min() < 1.7


def test_pose_keypoint_is_openposes_json() -> None:
    faces = placed_faces(reference_faces(), SIZE)[2]
    frame = pose_keypoint(faces, SIZE)
    assert json.loads(json.dumps(frame)) == frame
    assert (frame["canvas_width"], frame["canvas_height"]) == SIZE
    [person] = frame["people"]
    lengths = {name: len(values) / 3 for name, values in person.items()}
    assert lengths == {
        "pose_keypoints_2d": 18,
        "face_keypoints_2d": 70,
        "hand_left_keypoints_2d": 21,
        "hand_right_keypoints_2d": 21,
    }
    rows = np.array(person["face_keypoints_2d"]).reshape(70, 3)
    assert np.allclose(rows[:, :2], key_points(faces[0])) and (rows[:, 2] == 1).all()
    assert rows[:, :2].max() > 100  # pixels
    assert not any(person["pose_keypoints_2d"]) and not any(person["hand_left_keypoints_2d"])


def test_points_outside_the_picture_are_unknown() -> None:
    face = placed_faces(reference_faces(), SIZE)[2][0]
    cut = face - (face[:, 0].mean(), 0)  # its right half is outside
    rows = np.array(pose_keypoint([cut], SIZE)["people"][0]["face_keypoints_2d"]).reshape(70, 3)
    assert 25 < rows[:, 2].sum() < 45
    assert (rows[rows[:, 2] == 0] == 0).all() and (rows[:, :2] >= 0).all()
    assert pose_keypoint([], SIZE)["people"] == []
