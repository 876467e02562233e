"""Faces go to ComfyUI's own nodes for face landmarks and come back as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import ACTIONS
from perception_clip.perception.editing.edit import edit
from perception_clip.perception.landmarks.comfyui import ComfyLandmarks, comfy_actions
from perception_clip.perception.landmarks.comfyui_export import connection_sets, face_landmarks
from perception_clip.perception.topology import FACE_OVAL
from perception_clip.perception.vector import Perceptions, bounding_boxes, pack

from ..reference_faces import MODEL, posed, reference_faces

SIZE = (600, 512)
ENTRIES = {
    "bbox_xyxy": (4,),
    "landmarks_xy": (478, 2),
    "landmarks_3d": (478, 3),
    "transformation_matrix": (4, 4),
}
ACTION_MODEL = ActionModel.load()


def several() -> Perceptions:
    """Two faces in picture 0, an edited one in picture 2, none in pictures 1 and 3; all 512 × 600."""
    faces = replace(reference_faces(), image_sizes=torch.tensor([SIZE, SIZE], dtype=torch.int32))
    small, smiling = posed(faces).select([0]), edit(faces.select([1]), {"happy": 1.0}, 1.5, MODEL)
    landmarks = torch.cat([faces.landmarks[:1], small.landmarks, smiling.landmarks])
    all_three = faces.select([0, 0, 1])
    return replace(
        all_three,
        vectors=pack(landmarks, all_three.emotions),
        boxes=bounding_boxes(landmarks, all_three.image_sizes),
        frames=torch.tensor([0, 0, 2]),
        scores=torch.tensor([0.9, 0.6, 0.0]),
        frame_count=4,
    )


def actions_of(faces: Perceptions) -> Tensor:
    return ACTION_MODEL.actions(faces.landmarks, faces.image_sizes)


@pytest.fixture(scope="module")
def exported() -> dict[str, Any]:
    faces = several()
    return face_landmarks(faces, actions_of(faces), SIZE)


def test_all_entries_are_as_comfyui_has_them(exported: dict[str, Any]) -> None:
    assert [len(frame) for frame in exported["frames"]] == [2, 0, 1, 0]
    assert exported["image_size"] == SIZE
    for face in (face for frame in exported["frames"] for face in frame):
        for name, shape in ENTRIES.items():
            assert isinstance(face[name], np.ndarray) and face[name].dtype == np.float32 and face[name].shape == shape
        assert tuple(face["blendshapes"]) == ACTIONS and all(0 <= value <= 1 for value in face["blendshapes"].values())
        assert face.keys() == {*ENTRIES, "blendshapes", "score", "presence"}
        low, high = face["landmarks_xy"].min(axis=0), face["landmarks_xy"].max(axis=0)
        assert face["bbox_xyxy"] == pytest.approx([*low, *high], abs=1e-3)
        crop = face["landmarks_3d"][:, :2]
        assert crop.min() > 0 and crop.max() < 192 and np.ptp(crop, axis=0).max() == pytest.approx(128, abs=0.1)
        assert crop[33, 1] == pytest.approx(crop[263, 1], abs=1e-3) and crop[33, 0] < crop[263, 0]  # upright
    assert exported["frames"][0][0]["score"] == pytest.approx(0.9)
    assert 1 / (1 + np.exp(-exported["frames"][0][0]["presence"])) == pytest.approx(0.9, abs=1e-5)


def test_faces_come_back_within_float_error(exported: dict[str, Any]) -> None:
    faces = several()
    read = ComfyLandmarks(exported).detect([torch.zeros(*SIZE, 3, dtype=torch.uint8)] * 4)
    assert [len(found.scores) for found in read] == [2, 0, 1, 0]
    found = torch.cat([frame.landmarks for frame in read])
    torch.testing.assert_close(found, faces.landmarks, atol=2e-6, rtol=0)
    torch.testing.assert_close(torch.cat([frame.boxes for frame in read]), faces.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(comfy_actions(exported, faces), actions_of(faces), atol=1e-7, rtol=0)


def test_faces_edited_since_have_none_of_comfyuis_actions(exported: dict[str, Any]) -> None:
    faces = several()
    edited = edit(faces, {"happy": 1.0}, 0.3, MODEL)
    assert comfy_actions(exported, edited).isnan().all()
    later = replace(faces, frames=torch.tensor([1, 3, 7]), frame_count=8)
    assert comfy_actions(exported, later).isnan().all()
    assert comfy_actions(exported, faces.select([])).shape == (0, 52)


@pytest.mark.parametrize(
    ("blendshapes", "message"),
    [
        ({}, "blendshapes of face 1 of picture 0 must be a dictionary of the 52 actions .*_neutral"),
        (None, "blendshapes of face 1 of picture 0 must be a dictionary"),
        (dict.fromkeys(ACTIONS, 1.5), "blendshapes of face 1 of picture 0 must be between 0 and 1"),
        (dict.fromkeys(ACTIONS, float("nan")), "must be between 0 and 1"),
        (dict.fromkeys(ACTIONS, "wide"), "must be a dictionary of the 52 actions .*wide"),
    ],
)
def test_actions_that_are_wrong_are_named(exported: dict[str, Any], blendshapes: Any, message: str) -> None:
    first, second = exported["frames"][0]
    data = exported | {"frames": [[first, second | {"blendshapes": blendshapes}]]}
    with pytest.raises(ValueError, match=message):
        comfy_actions(data, several())


def test_connections_are_mediapipes() -> None:
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    for name, ours in connection_sets().items():
        theirs = getattr(vision.FaceLandmarksConnections, f"FACE_LANDMARKS_{name.upper()}", None)
        if theirs is not None:
            assert {frozenset(pair) for pair in ours} == {frozenset((edge.start, edge.end)) for edge in theirs}, name
    assert len(connection_sets()["tesselation"]) == 2556
    sets = connection_sets()
    assert sets["irises"] == sets["left_iris"] | sets["right_iris"] and sets["nose"] <= sets["all"]


def rings_of(edges: frozenset[tuple[int, int]]) -> list[list[int]]:
    """The closed lines of a set, as ComfyUI's mask node walks them: from each landmark on to its next neighbor."""
    neighbors: dict[int, list[int]] = {}
    for start, end in edges:
        neighbors.setdefault(start, []).append(end)
        neighbors.setdefault(end, []).append(start)
    assert all(len(found) == 2 for found in neighbors.values())
    rings, left = [], set(neighbors)
    while left:
        ring = [min(left)]
        while following := [landmark for landmark in neighbors[ring[-1]] if landmark not in ring]:
            ring.append(following[0])
        left -= set(ring)
        rings.append(ring)
    return rings


def test_masks_can_be_filled(exported: dict[str, Any]) -> None:
    """The outlines close, and a face's mask has the area of its oval."""
    assert [len(rings_of(connection_sets()[name])) for name in ("face_oval", "left_eye", "lips", "irises")] == [
        *(1, 1, 2, 2)
    ]
    [ring] = rings_of(exported["connection_sets"]["face_oval"])
    assert {frozenset(pair) for pair in zip(ring, [*ring[1:], ring[0]], strict=True)} == {
        frozenset(pair) for pair in zip(FACE_OVAL, [*FACE_OVAL[1:], FACE_OVAL[0]], strict=True)
    }
    xy = exported["frames"][0][0]["landmarks_xy"]
    mask = Image.new("L", SIZE[::-1], 0)
    ImageDraw.Draw(mask).polygon([tuple(xy[index]) for index in ring], fill=255)
    x, y = xy[list(FACE_OVAL)].T.astype(float)
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert np.asarray(mask).sum() / 255 == pytest.approx(area, rel=0.02)


def test_pictures_of_two_sizes_and_no_face_at_all() -> None:
    faces = reference_faces()
    with pytest.raises(ValueError, match="of one size, here 512×512, but a face is from a picture of 512×600"):
        face_landmarks(faces, actions_of(faces), (512, 512))
    none = face_landmarks(faces.select([]), torch.empty(0, 52), (20, 30))
    assert none["frames"] == [[], [], []] and none["image_size"] == (20, 30)
