"""Crops of faces: where they are, what they show, and the faces as seen in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.geometry import head_pose
from perception_clip.perception.landmarks.cropping import Squares
from perception_clip.perception.regions.crops import Crops, crops_of, cut
from perception_clip.perception.regions.masks import mask
from perception_clip.perception.vector import Perceptions, pack

from ..reference_faces import MODEL, posed, reference_faces


def face() -> Perceptions:
    """The astronaut's face in a single picture of 512 × 512."""
    return replace(reference_faces().select([0]), frame_count=1)


def square(x: float, y: float, side: float, degrees: float = 0.0) -> Squares:
    return Squares(torch.tensor([[x, y]]), torch.tensor([side]), torch.tensor([degrees]).deg2rad())


def as_image(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture)[None] / 255


def test_a_square_around_the_whole_picture_changes_nothing(astronaut: np.ndarray) -> None:
    image = as_image(astronaut)
    crops = Crops(face(), square(255.5, 255.5, 512), 512)
    assert (cut(image, crops) - image).abs().max() < 1e-4
    assert torch.allclose(crops.seen.landmarks, face().landmarks, atol=1e-5)


@pytest.mark.parametrize("margin", [0.0, 0.4])
def test_an_upright_crop_takes_the_roll_out_and_nothing_else(margin: float) -> None:
    tilted = posed(reference_faces())
    upright, straight = (crops_of(tilted, 512, margin, template).seen for template in (MODEL.template, None))
    before, after, kept = (
        head_pose(one.landmarks, one.image_sizes, MODEL.template) for one in (tilted, upright, straight)
    )
    assert before[:, 2].abs().min() > 20 and after[:, 2].abs().max() < 0.01
    assert torch.allclose(after[:, :2], before[:, :2], atol=0.1) and torch.allclose(kept, before, atol=0.1)
    assert torch.equal(upright.emotions, tilted.emotions) and upright.frames.tolist() == [0, 1]
    assert upright.image_sizes.tolist() == [[512, 512]] * 2 and not torch.equal(upright.origins, straight.origins)
    extent = upright.landmarks[..., :2].amax(dim=1) - upright.landmarks[..., :2].amin(dim=1)
    assert torch.allclose(extent.amax(dim=1), torch.tensor(1 / (1 + 2 * margin)), atol=1e-4)
    middle = (upright.landmarks[..., :2].amax(dim=1) + upright.landmarks[..., :2].amin(dim=1)) / 2
    assert torch.allclose(middle, torch.tensor(0.5), atol=1e-2)


@pytest.mark.parametrize("size", [64, 320])
@pytest.mark.parametrize("degrees", [0.0, 35.0, 180.0])
def test_landmarks_stay_on_what_they_mark(size: int, degrees: float) -> None:
    """A bright spot at the tip of the nose is seen where the crop's landmark is."""
    x, y = (face().landmarks[0, 4, :2] * 512).tolist()
    steps = torch.arange(512)
    spot = torch.exp(-((steps[None] - x) ** 2 + (steps[:, None] - y) ** 2) / 18)
    crops = Crops(face(), square(x + 10, y - 14, 160, degrees), size)
    crop = cut(spot[None, ..., None].expand(-1, -1, -1, 3), crops)[0, ..., 0]
    places = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy"), dim=2)
    center = (places * crop[..., None]).sum(dim=(0, 1)) / crop.sum()
    assert torch.allclose(center, crops.seen.landmarks[0, 4, :2] * size, atol=0.15)


def test_a_mask_in_the_crop_is_that_in_the_picture() -> None:
    """Each pixel of the crop shows 4 × 4 of the picture."""
    crop = Crops(face(), square(229.5, 109.5, 160), 40).seen[0]
    whole = mask(face()[0], (512, 512), "face oval")[30:190, 150:310]
    assert np.abs(mask(crop, (40, 40), "face oval") - whole.reshape(40, 4, 40, 4).mean(axis=(1, 3))).max() < 1e-3


def test_outside_the_picture_its_border_is_repeated(astronaut: np.ndarray) -> None:
    image = as_image(astronaut)
    landmarks = face().landmarks - torch.tensor([0.45, 0.2, 0.0])
    cornered = replace(face(), vectors=pack(landmarks, face().emotions))
    crop = cut(image, crops_of(cornered, 96, 0.4, None))[0]
    assert torch.allclose(crop[:8, :8], image[0, 0, 0].expand(8, 8, 3), atol=0.03)
    assert crop.isfinite().all() and crop[-1, -1].sub(image[0, 0, 0]).abs().max() > 0.05
    far = replace(face(), vectors=pack(face().landmarks + 40, face().emotions))  # as an edit could move it
    assert torch.allclose(cut(image, crops_of(far, 64, 0.4, None))[0], image[0, -1, -1].expand(64, 64, 3), atol=0.03)


def test_each_face_is_cut_out_of_its_own_picture() -> None:
    several = replace(reference_faces().select([0, 0, 0]), frames=torch.tensor([2, 0, 2]), frame_count=3)
    shades = torch.tensor([0.1, 0.5, 0.9])[:, None, None, None].expand(3, 512, 512, 4)
    done: list[int] = []
    crops = cut(shades, crops_of(several, 64, 0.4, MODEL.template), done.append)
    assert crops.shape == (3, 64, 64, 3) and done == [1, 2, 3]
    assert torch.allclose(crops[:, 5, 5, 0], torch.tensor([0.9, 0.1, 0.9]), atol=1e-5)
    none = crops_of(several.select([]), 64, 0.4, MODEL.template)
    assert len(none) == len(none.seen) == 0 and cut(shades, none).shape == (0, 64, 64, 3)


def test_other_pictures_are_refused() -> None:
    crops = crops_of(face(), 64, 0.4, None)
    with pytest.raises(ValueError, match="the faces are from 1 picture, but image has 2; connect the pictures that"):
        cut(torch.zeros(2, 512, 512, 3), crops)
    with pytest.raises(
        ValueError, match="image is 640 × 512 pixels, but face 0 was detected in a picture of 512 × 512"
    ):
        cut(torch.zeros(1, 512, 640, 3), crops)
