"""The bundled landmarker against MediaPipe's own results, and on everything a user may feed it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.engines import Faces
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.pictures import read_picture

REFERENCE = Path(__file__).parents[1] / "reference_landmarks.npz"  # made by tools/measure_reference_landmarks.py
MEDIAN_BOUND, WORST_BOUND = 0.15, 2.5  # pixels; MediaPipe's own answer to one gray level of noise: 0.11 and 2.79


@pytest.fixture(scope="module")
def landmarker() -> BundledLandmarker:
    return BundledLandmarker()


@pytest.fixture(scope="module")
def photos(astronaut: np.ndarray, grace_hopper: np.ndarray) -> dict[str, Tensor]:
    return {"astronaut": torch.tensor(astronaut), "grace_hopper": torch.tensor(grace_hopper)}


@pytest.fixture(scope="module")
def pair(photos: dict[str, Tensor]) -> Tensor:
    """Both side by side: her face, 92×106 pixels, on the left, and his, 187×203, on the right, from x = 300."""
    return torch.cat([photos["astronaut"][:300, 72:372], photos["grace_hopper"][100:400, 100:400]], dim=1)


def errors(faces: Faces, reference: np.ndarray, picture: Tensor) -> list[tuple[float, float]]:
    """Per reference face, the mean distance in x and y and the mean difference in z, both in pixels."""
    height, width = picture.shape[:2]
    pixels = torch.tensor([width, height, width])
    found, expected = faces.landmarks * pixels, torch.from_numpy(reference) * pixels
    nearest = torch.cdist(expected[..., :2].mean(dim=1), found[..., :2].mean(dim=1)).argmin(dim=1)
    assert len(set(nearest.tolist())) == len(expected), "two reference faces match the same found face"
    difference = found[nearest] - expected
    xy, z = difference[..., :2].norm(dim=2).mean(dim=1), difference[..., 2].abs().mean(dim=1)
    return list(zip(xy.tolist(), z.tolist(), strict=True))


def assert_same(left: Faces, right: Faces, pixels: float = 0.02) -> None:
    assert len(left) == len(right)
    torch.testing.assert_close(left.boxes, right.boxes, atol=pixels, rtol=0)
    torch.testing.assert_close(left.scores, right.scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(left.landmarks, right.landmarks, atol=1e-4, rtol=0)


def test_matches_mediapipe_on_the_two_packaged_photos(landmarker: BundledLandmarker, photos: dict[str, Tensor]) -> None:
    with np.load(REFERENCE, allow_pickle=False) as reference:
        for name, faces in zip(photos, landmarker.detect(list(photos.values())), strict=True):
            assert len(faces) == len(reference[name]) == 1
            for error in errors(faces, reference[name], photos[name]):
                assert max(error) <= MEDIAN_BOUND, name


def test_matches_mediapipe_on_every_shared_photo(landmarker: BundledLandmarker, shared_data: Path) -> None:
    measured = []
    with np.load(shared_data / "faces" / "reference_legacy.npz", allow_pickle=False) as reference:
        for name in reference.files:
            picture = read_picture(shared_data / "faces" / name)
            (faces,) = landmarker.detect([picture])
            assert len(faces) == len(reference[name]), name
            if len(faces):
                measured += errors(faces, reference[name], picture)
    assert len(measured) == 27
    for bounds in zip(np.median(measured, axis=0), np.max(measured, axis=0), strict=True):
        assert bounds[0] <= MEDIAN_BOUND and bounds[1] <= WORST_BOUND


def test_result_is_complete_and_in_range(landmarker: BundledLandmarker, photos: dict[str, Tensor]) -> None:
    (faces,) = landmarker.detect([photos["astronaut"]])
    assert faces.landmarks.shape == (1, 478, 3) and faces.boxes.shape == (1, 4) and faces.scores.shape == (1,)
    assert {t.dtype for t in (faces.landmarks, faces.boxes, faces.scores)} == {torch.float32}
    assert not faces.landmarks.is_inference() and not faces.landmarks.requires_grad
    assert 0.9 < float(faces.scores[0]) <= 1
    pixels = faces.landmarks[0, :, :2] * 512
    torch.testing.assert_close(faces.boxes[0], torch.cat([pixels.amin(dim=0), pixels.amax(dim=0)]))
    # Her face from hairline to chin, by eye, in the 512×512 photo.
    torch.testing.assert_close(faces.boxes[0], torch.tensor([178.0, 71.0, 271.0, 178.0]), atol=4, rtol=0)


def test_batch_equals_one_by_one_with_mixed_sizes_and_more_than_one_pass(
    landmarker: BundledLandmarker, photos: dict[str, Tensor], pair: Tensor
) -> None:
    astronaut, hopper = photos.values()
    black = torch.zeros(40, 30, 3, dtype=torch.uint8)
    pictures = [astronaut, hopper, black, pair, hopper[::2, ::2], astronaut[30:300, 100:400]]
    pictures *= 3  # 18 pictures: two passes on a processor
    together = landmarker.detect(pictures)
    assert landmarker.detect([]) == []
    assert [len(faces) for faces in together] == [1, 1, 0, 2, 1, 1] * 3
    for picture, faces in zip(pictures[:6], together[:6], strict=True):
        assert_same(landmarker.detect([picture])[0], faces)
    for first, again in zip(together[:6], together[12:], strict=True):
        assert_same(first, again)


def test_two_faces_come_largest_first_where_they_are(landmarker: BundledLandmarker, pair: Tensor) -> None:
    swapped = torch.cat([pair[:, 300:], pair[:, :300]], dim=1)
    for picture, on_the_right in ((pair, [True, False]), (swapped, [False, True])):
        (faces,) = landmarker.detect([picture])
        assert len(faces) == 2
        width, height = (faces.boxes[:, 2:] - faces.boxes[:, :2]).unbind(dim=1)
        assert width[0] * height[0] > 3 * width[1] * height[1]
        assert (faces.boxes[:, 0] >= 300).tolist() == on_the_right


def test_a_mirrored_memory_layout_does_not_matter(landmarker: BundledLandmarker, photos: dict[str, Tensor]) -> None:
    picture = photos["grace_hopper"]
    strided = picture.permute(2, 0, 1).contiguous().permute(1, 2, 0)  # the same picture, stored plane by plane
    assert not strided.is_contiguous()
    assert_same(landmarker.detect([picture])[0], landmarker.detect([strided])[0])


def test_max_faces_keeps_the_surest(landmarker: BundledLandmarker, pair: Tensor) -> None:
    pair = torch.cat([pair[:, :300], pair[:, 300:] // 4], dim=1)  # a darker face is less sure, though larger
    (both,) = landmarker.detect([pair])
    (one,) = BundledLandmarker(max_faces=1).detect([pair])
    assert len(both) == 2 and len(one) == 1
    assert both.scores[1] - both.scores[0] > 0.01
    torch.testing.assert_close(one.landmarks[0], both.landmarks[1], atol=1e-4, rtol=0)


def test_min_confidence_decides_what_counts(landmarker: BundledLandmarker, photos: dict[str, Tensor]) -> None:
    astronaut = photos["astronaut"]  # her score is 0.92
    assert len(landmarker.detect([astronaut], min_confidence=0.9)[0]) == 1
    assert len(landmarker.detect([astronaut], min_confidence=0.95)[0]) == 0


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (2, 2), (16, 10000), (10000, 16), (1, 3000), (192, 192), (128, 128)]
)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_uniform_pictures_of_any_shape_hold_no_face(
    landmarker: BundledLandmarker, shape: tuple[int, int], shade: int
) -> None:
    (faces,) = landmarker.detect([torch.full((*shape, 3), shade, dtype=torch.uint8)])
    assert faces.landmarks.shape == (0, 478, 3) and faces.boxes.shape == (0, 4) and faces.scores.shape == (0,)


def test_noise_and_slivers_of_a_face_give_finite_numbers(photos: dict[str, Tensor]) -> None:
    random = np.random.default_rng(0)
    sizes = [(1, 1), (3, 1), (1, 5), (16, 9000), (64, 64), (333, 77)]
    pictures = [torch.from_numpy(random.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
    pictures += [photos["astronaut"][:, 200:201], photos["astronaut"][100:101], photos["astronaut"][:, 215:]]
    # A bar so low that anything is cropped and measured, even where no face is.
    for faces in BundledLandmarker(max_faces=2).detect(pictures, min_confidence=1e-6):
        assert all(t.isfinite().all() for t in (faces.landmarks, faces.boxes, faces.scores))


def test_works_made_and_used_in_and_out_of_inference_mode(
    landmarker: BundledLandmarker, photos: dict[str, Tensor]
) -> None:
    pictures = [photos["astronaut"]]
    with torch.inference_mode():  # as ComfyUI runs every node
        made_inside = BundledLandmarker()
        inside = made_inside.detect(pictures)[0], landmarker.detect(pictures)[0]
    for faces in (*inside, made_inside.detect(pictures)[0]):
        assert_same(landmarker.detect(pictures)[0], faces)


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(8, 8, 3),
        torch.zeros(8, 8, 4, dtype=torch.uint8),
        torch.zeros(8, 8, dtype=torch.uint8),
        torch.zeros(0, 8, 3, dtype=torch.uint8),
    ],
)
def test_another_shape_or_type_is_refused_by_name(landmarker: BundledLandmarker, picture: Tensor) -> None:
    good = torch.zeros(8, 8, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"picture 1 must be \(H, W, 3\) uint8"):
        landmarker.detect([good, picture])


def test_senseless_settings_are_refused(landmarker: BundledLandmarker) -> None:
    with pytest.raises(ValueError, match="max_faces"):
        BundledLandmarker(max_faces=0)
    with pytest.raises(ValueError, match="detector must be one of fast, standard, thorough, not 'nearby'"):
        BundledLandmarker(detector="nearby")
    for confidence in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="min_confidence"):
            landmarker.detect([], min_confidence=confidence)


def test_identity_names_family_version_and_weights_and_not_the_detector(landmarker: BundledLandmarker) -> None:
    assert re.fullmatch(r"mediapipe-face-mesh-bundled/1:[0-9a-f]{8}", landmarker.identity)
    assert BundledLandmarker(detector="standard").identity == landmarker.identity


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_gives_the_same_faces(landmarker: BundledLandmarker, photos: dict[str, Tensor]) -> None:
    pictures = list(photos.values())
    on_device = BundledLandmarker(device="cuda").detect(pictures)
    for expected, found in zip(landmarker.detect(pictures), on_device, strict=True):
        assert found.landmarks.device.type == "cpu"
        assert_same(expected, found, pixels=0.5)
