"""Actions: what MediaPipe reads from its own landmarks, sides that are the person's, and input of any kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception import topology
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import ACTIONS, BOTH, INDEX, NAMES, values_of
from perception_clip.perception.landmarks.bundled import BundledLandmarker

from ..reference_faces import reference_faces

MODEL = ActionModel.load()
FACES = reference_faces()
ASTRONAUT, HOPPER = FACES.landmarks
SIZES = FACES.image_sizes


@pytest.fixture(scope="module")
def reference(shared_data: Path) -> dict[str, np.ndarray]:
    """Landmarks, blendshapes and picture sizes of MediaPipe's task, by photo."""
    with np.load(shared_data / "faces" / "reference_blendshapes.npz") as file:
        return dict(file)


def test_parity_from_mediapipes_landmarks(reference: dict[str, np.ndarray]) -> None:
    assert tuple(reference["names"]) == ACTIONS
    photos = [name.removesuffix(":landmarks") for name in reference if name.endswith(":landmarks")]
    faces = [name for name in photos for _ in reference[f"{name}:landmarks"]]
    landmarks, expected = (
        torch.from_numpy(np.concatenate([reference[f"{name}:{kind}"] for name in photos]))
        for kind in ("landmarks", "blendshapes")
    )
    read = MODEL.actions(landmarks, torch.tensor(np.stack([reference[f"{name}:size"] for name in faces])))
    assert len(read) >= 27 and read.dtype == torch.float32
    assert (read - expected).abs().max() < 1e-4


def test_parity_from_our_own_landmarks(reference: dict[str, np.ndarray], shared_data: Path) -> None:
    errors = []
    for name in ("astronaut.png", "grace_hopper.jpg", "biden2.jpg", "obama.jpg", "obama2.jpg", "sergey_rgba.png"):
        with Image.open(shared_data / "faces" / name) as image:
            picture = torch.from_numpy(np.array(image.convert("RGB")))
        (faces,) = BundledLandmarker(detector="standard", max_faces=1).detect([picture])
        read = MODEL.actions(faces.landmarks, torch.tensor([picture.shape[:2]]))
        errors.append((read - torch.from_numpy(reference[f"{name}:blendshapes"][:1])).abs().mean())
    assert torch.stack(errors).mean() < 0.05


def closed(landmarks: Tensor, lids: tuple[int, ...]) -> Tensor:
    """The face with the upper lid of an eye, half of its outline, on the lower one."""
    moved = landmarks.clone()
    lower, upper = lids[1:8], lids[9:16][::-1]
    for low, high in zip(lower, upper, strict=True):
        moved[high] = moved[low] = (landmarks[low] * 3 + landmarks[high]) / 4
    return moved


@pytest.mark.parametrize(
    ("side", "other", "outline"),
    [("Left", "Right", topology.LEFT_EYE_OUTLINE), ("Right", "Left", topology.RIGHT_EYE_OUTLINE)],
)
def test_a_wink_is_on_the_persons_side(side: str, other: str, outline: tuple[int, ...]) -> None:
    before, after = MODEL.actions(torch.stack([HOPPER, closed(HOPPER, outline)]), SIZES[[1, 1]])
    assert after[INDEX[f"eyeBlink{side}"]] - before[INDEX[f"eyeBlink{side}"]] > 0.3
    assert abs(after[INDEX[f"eyeBlink{other}"]] - before[INDEX[f"eyeBlink{other}"]]) < 0.2


def test_a_smile_is_read() -> None:
    smiling, composed = values_of(MODEL.actions(FACES.landmarks, SIZES), "mouthSmile")
    assert smiling > 0.7 and composed < 0.2


def test_only_proportions_count() -> None:
    """Not size and place in the picture, nor how wide the picture is."""
    wide = ASTRONAUT * torch.tensor([0.5, 1, 0.5]) + torch.tensor([0.3, 0, 0])
    small = ASTRONAUT * 0.1 + 0.7
    read = MODEL.actions(torch.stack([ASTRONAUT, wide, small]), torch.tensor([[512, 512], [512, 1024], [512, 512]]))
    assert (read - read[0]).abs().max() < 1e-4


def test_a_batch_reads_like_its_faces() -> None:
    noise = torch.randn(200, 478, 3, generator=torch.Generator().manual_seed(0)) * 0.002
    landmarks, sizes = ASTRONAUT + noise, SIZES[:1].expand(200, 2)
    together = MODEL.actions(landmarks, sizes)
    alone = torch.cat([MODEL.actions(landmarks[i : i + 1], sizes[:1]) for i in range(0, 200, 20)])
    assert together.shape == (200, 52) and together.min() >= 0 and together.max() <= 1
    torch.testing.assert_close(together[::20], alone, atol=1e-5, rtol=0)


def test_no_face_and_a_point_do_no_harm() -> None:
    assert MODEL.actions(torch.zeros(0, 478, 3), torch.zeros(0, 2)).shape == (0, 52)
    assert MODEL.actions(torch.full((1, 478, 3), 0.5), torch.tensor([[10, 10]])).isfinite().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_face_without_finite_landmarks_is_named(value: float) -> None:
    landmarks = FACES.landmarks.clone()
    landmarks[1, 7, 1] = value
    with pytest.raises(ValueError, match="face 1 contain NaN or infinite"):
        MODEL.actions(landmarks, SIZES)


@pytest.mark.parametrize(("shape", "sizes"), [((2, 468, 3), 2), ((2, 478, 2), 2), ((478, 3), 1), ((2, 478, 3), 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...], sizes: int) -> None:
    with pytest.raises(ValueError, match="must have the shape"):
        MODEL.actions(torch.zeros(shape), torch.ones(sizes, 2))


def test_names() -> None:
    assert len(ACTIONS) == len(set(ACTIONS)) == 52
    assert len(NAMES) == 51 + len(BOTH) and "_neutral" not in NAMES
    actions = torch.arange(52.0)[None]
    assert values_of(actions, "eyeBlink").item() == (INDEX["eyeBlinkLeft"] + INDEX["eyeBlinkRight"]) / 2
    assert values_of(actions, "jawOpen").item() == INDEX["jawOpen"]
    with pytest.raises(KeyError):
        values_of(actions, "jawDrop")
