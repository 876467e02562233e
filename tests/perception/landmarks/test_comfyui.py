"""ComfyUI's face landmarks, rebuilt from real faces by ComfyUI's own rule, come back as the faces they were."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.engines import Faces
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.landmarks.comfyui import ComfyLandmarks
from perception_clip.perception.pipeline import PerceptionPipeline

CROP = 192


@pytest.fixture(scope="module")
def photo(grace_hopper: np.ndarray) -> Tensor:
    return torch.tensor(grace_hopper)


@pytest.fixture(scope="module")
def faces(photo: Tensor) -> Faces:
    """The bundled landmarker's answer to a photo of 512×600."""
    (found,) = BundledLandmarker().detect([photo])
    return found


def comfy_face(
    landmarks: Tensor,
    image_size: tuple[int, int],
    *,
    region: tuple[float, float] = (300, 360),
    degrees: float = 20,
    score: float = 0.9,
) -> dict[str, Any]:
    """One face as ComfyUI gives it: cut with a rectangle (width, height) around its middle, turned, squeezed to
    192 × 192; depth in the same unit as the crop's x."""
    height, width = image_size
    pixels = landmarks[:, :2].double() * torch.tensor([width, height])
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    offset = pixels - (pixels.amin(dim=0) + pixels.amax(dim=0)) / 2
    across = (offset[:, 0] * cos + offset[:, 1] * sin) / region[0] * CROP + CROP / 2
    down = (offset[:, 1] * cos - offset[:, 0] * sin) / region[1] * CROP + CROP / 2
    depth = landmarks[:, 2].double() * width / region[0] * CROP
    return {
        "landmarks_xy": pixels.numpy().astype(np.float32),
        "landmarks_3d": torch.stack([across, down, depth], dim=1).numpy().astype(np.float32),
        "bbox_xyxy": torch.cat([pixels.amin(dim=0), pixels.amax(dim=0)]).numpy().astype(np.float32),
        "score": score,
        "presence": 8.3,
        "blendshapes": {"_neutral": 0.0},
    }


@pytest.fixture
def payload(faces: Faces, photo: Tensor) -> dict[str, Any]:
    face = comfy_face(faces.landmarks[0], (600, 512))
    return {"frames": [[face], [], [face]], "image_size": (600, 512), "connection_sets": {}}


@pytest.mark.parametrize("degrees", [0, -35, 90, 180])
@pytest.mark.parametrize("region", [(300, 300), (250, 400), (400, 250)])
def test_landmarks_and_depth_come_back(
    faces: Faces, photo: Tensor, degrees: float, region: tuple[float, float]
) -> None:
    face = comfy_face(faces.landmarks[0], (600, 512), region=region, degrees=degrees)
    (found,) = ComfyLandmarks({"frames": [[face]], "image_size": (600, 512)}).detect([photo])
    assert found.landmarks.dtype == found.boxes.dtype == found.scores.dtype == torch.float32
    torch.testing.assert_close(found.landmarks, faces.landmarks, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.boxes, faces.boxes, atol=1e-3, rtol=0)
    assert found.scores.tolist() == pytest.approx([0.9])


def test_through_the_pipeline_it_equals_the_bundled_landmarker(payload: dict[str, Any], photo: Tensor) -> None:
    pictures = [photo, photo, photo]
    expected = PerceptionPipeline()(pictures)
    found = PerceptionPipeline(landmarker=ComfyLandmarks(payload))(pictures)
    assert found.frames.tolist() == [0, 2] and found.frame_count == 3
    torch.testing.assert_close(found.vectors, expected.vectors[[0, 2]], atol=1e-3, rtol=0)
    assert found.landmarker == "comfyui-face-landmarks/1"


def test_pictures_may_come_in_any_batches(faces: Faces, photo: Tensor) -> None:
    frames = [[comfy_face(faces.landmarks[0], (600, 512), score=(i + 1) / 10)] for i in range(7)]
    data = {"frames": frames, "image_size": (600, 512)}
    landmarks = ComfyLandmarks(data)
    assert len(landmarks) == 7
    found = [face for count in (3, 0, 1, 3) for face in landmarks.detect([photo] * count)]
    assert [float(face.scores[0]) for face in found] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    with pytest.raises(ValueError, match="for 7 pictures, but there are more"):
        landmarks.detect([photo])


def test_faces_come_largest_first_and_empty_pictures_are_empty(faces: Faces, photo: Tensor) -> None:
    half = faces.landmarks[0] / 2
    small, large = comfy_face(half, (600, 512), score=0.99), comfy_face(faces.landmarks[0], (600, 512), score=0.6)
    both, none = ComfyLandmarks({"frames": [[small, large], []], "image_size": [600, 512]}).detect([photo, photo])
    assert both.scores.tolist() == pytest.approx([0.6, 0.99])
    torch.testing.assert_close(both.landmarks[1], half, atol=1e-6, rtol=1e-4)
    assert none.landmarks.shape == (0, 478, 3) and none.boxes.shape == (0, 4) and none.scores.shape == (0,)


def test_interpolated_faces_are_taken(faces: Faces, photo: Tensor) -> None:
    # ComfyUI fills gaps with the mean of two faces' entries, each from a crop of its own.
    one = comfy_face(faces.landmarks[0], (600, 512), degrees=0)
    other = comfy_face(faces.landmarks[0] * 1.2, (600, 512), degrees=25, region=(420, 380))
    mixed = {key: (one[key] + other[key]) / 2 for key in ("landmarks_xy", "landmarks_3d", "bbox_xyxy", "score")}
    (found,) = ComfyLandmarks({"frames": [[mixed]], "image_size": (600, 512)}).detect([photo])
    depth = faces.landmarks[0, :, 2] * 1.1
    ratio = float((found.landmarks[0, :, 2] * depth).sum() / depth.square().sum())
    assert ratio == pytest.approx(1, abs=0.05)


def test_tensors_and_a_score_of_zero_are_taken(payload: dict[str, Any], photo: Tensor) -> None:
    face = payload["frames"][0][0]
    face |= {key: torch.from_numpy(face[key]) for key in ("landmarks_xy", "landmarks_3d")} | {"score": np.float32(0)}
    (found,) = ComfyLandmarks(payload).detect([photo])
    assert 0 < float(found.scores[0]) < 1e-5  # 0 would mean: not seen


def test_pictures_of_another_size_are_refused(payload: dict[str, Any], photo: Tensor) -> None:
    with pytest.raises(ValueError, match="picture 1 is 256×300, but the face landmarks are for pictures of 512×600"):
        ComfyLandmarks(payload).detect([photo, photo[::2, ::2]])


def spoil(key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def apply(data: dict[str, Any]) -> None:
        face = data["frames"][2][0] = dict(data["frames"][2][0])
        face[key] = change(face[key])

    return apply


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[5, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("frames"), 'the face landmarks: there is no "frames"'),
        (lambda data: data.pop("image_size"), 'the face landmarks: there is no "image_size"'),
        (lambda data: data.update(image_size=(600,)), '"image_size" .* must be .height, width. in pixels'),
        (lambda data: data.update(image_size=(600, 0)), '"image_size" .* must be .height, width. in pixels'),
        (lambda data: data.update(image_size=None), '"image_size" .* must be .height, width. in pixels'),
        (lambda data: data.update(frames={}), '"frames" .* must be a list, not dict'),
        (lambda data: data["frames"].__setitem__(1, None), "picture 1 .* must be a list, not NoneType"),
        (lambda data: data["frames"][1].append(7), "face 0 of picture 1 must be a dictionary, not int"),
        (lambda data: data["frames"][1].append({}), 'face 0 of picture 1: there is no "landmarks_xy"'),
        (
            spoil("landmarks_xy", lambda xy: xy[:468]),
            r"landmarks_xy of face 0 of picture 2 .*\(478, 2\), not \(468, 2\)",
        ),
        (
            spoil("landmarks_3d", lambda xyz: xyz[:, :2]),
            r"landmarks_3d .* must have the shape \(478, 3\), not \(478, 2\)",
        ),
        (spoil("landmarks_xy", with_nan), "landmarks_xy of face 0 of picture 2 contains NaN"),
        (spoil("landmarks_3d", with_nan), "landmarks_3d of face 0 of picture 2 contains NaN"),
        (spoil("landmarks_xy", lambda _: "a"), "landmarks_xy of face 0 of picture 2 is not an array of numbers"),
        (spoil("landmarks_3d", lambda _: None), "landmarks_3d of face 0 of picture 2 is not an array of numbers"),
        (spoil("landmarks_3d", lambda xyz: xyz[::-1].copy()), "face 0 of picture 2: .* not from the same face"),
        (spoil("landmarks_3d", lambda xyz: xyz * 0), "face 0 of picture 2: .* or all points coincide"),
        (spoil("landmarks_xy", lambda xy: xy * 0), "face 0 of picture 2: .* or all points coincide"),
        (spoil("score", lambda _: None), "score of face 0 of picture 2 is not a number"),
        (spoil("score", lambda _: math.nan), "score of face 0 of picture 2 must be between 0 and 1"),
        (spoil("score", lambda _: 1.5), "score of face 0 of picture 2 must be between 0 and 1"),
    ],
)
def test_what_is_wrong_is_named(payload: dict[str, Any], change: Callable[[Any], Any], message: str) -> None:
    change(payload)
    with pytest.raises(ValueError, match=message):
        ComfyLandmarks(payload)


def test_anything_but_a_dictionary_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a dictionary created by ComfyUI, not list"):
        ComfyLandmarks([])  # type: ignore[arg-type]
