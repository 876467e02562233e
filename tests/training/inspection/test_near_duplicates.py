"""The same photo saved again is found; other photos, and most moments of a moving face, are not."""

from __future__ import annotations

import io

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.inspection.near_duplicates import SAME_PICTURE, near_duplicates
from perception_clip.training.inspection.outliers import FaceSpace


def one_by_one(components: np.ndarray, distance: float) -> list[int]:
    """The definition: each face goes to the first kept one that is closer, or is kept."""
    kept: list[int] = []
    result = []
    for row, face in enumerate(components):
        near = [other for other in kept if ((components[other] - face) ** 2).sum() < distance**2]
        result.append(near[0] if near else row)
        kept += [] if near else [row]
    return result


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000), count=st.integers(0, 60), width=st.integers(2, 16), spread=st.sampled_from([0.3, 1, 4])
)
def test_it_is_what_comparing_one_by_one_gives(seed: int, count: int, width: int, spread: float) -> None:
    faces = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32) * spread / width**0.5
    assert near_duplicates(faces, distance=0.5).tolist() == one_by_one(faces, 0.5)


def test_many_faces_in_clusters() -> None:
    generator = np.random.default_rng(0)
    faces = generator.normal(size=(40, 8)).astype(np.float32)[generator.integers(40, size=700)]
    faces += generator.normal(size=faces.shape).astype(np.float32) * 0.1
    expected = one_by_one(faces, 0.5)
    assert 40 <= len(set(expected)) < 120
    assert near_duplicates(faces, distance=0.5).tolist() == expected


def test_copies_of_a_photo(astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    pictures = []
    for photo in (astronaut, grace_hopper):
        image = Image.fromarray(photo)
        saved = io.BytesIO()
        image.save(saved, "JPEG", quality=75)
        smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4))
        pictures += [image, Image.open(saved), smaller]
    pipeline = PerceptionPipeline(BundledLandmarker())
    faces = [pipeline([torch.tensor(np.asarray(picture.convert("RGB")))]) for picture in pictures]
    vectors = torch.cat([face.vectors[:1] for face in faces]).numpy()
    sizes = torch.cat([face.image_sizes[:1] for face in faces]).numpy().astype(np.int32)
    components, *_ = FaceSpace().measure(vectors, sizes)
    assert near_duplicates(components).tolist() == [0, 0, 0, 3, 3, 3]
    assert np.linalg.norm(components[0] - components[3]) > 3 * SAME_PICTURE
