"""Group pictures with known faces: the shared photos' faces, scaled down and pasted into scenes without a face."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from perception_clip.perception.sequences.videos import Video

# One photo per person and pose; the rest of the set are crops, copies and harder cases of these.
PORTRAITS = (
    "astronaut.png",
    "grace_hopper.jpg",
    "obama.jpg",
    "obama2.jpg",
    "obama_1080p.jpg",
    "biden.jpg",
    "biden2.jpg",
    "two_people.jpg",
    "sergey_rgba.png",
    "art_mona_lisa.jpg",
    "art_pearl_earring.jpg",
    "einstein_gray.jpg",
)
SCENES = ("noface_chelsea_cat.png", "noface_coffee.png", "noface_rocket.jpg")
VIDEO = "no_face.mp4"


@dataclass(frozen=True)
class Portrait:
    """A photo and one face in it."""

    image: Image.Image  # RGB
    landmarks: np.ndarray  # (478, 2) pixels


@dataclass(frozen=True)
class GroupPicture:
    picture: Tensor  # (H, W, 3) uint8
    landmarks: Tensor  # (F, 478, 2) float32, pixels: where MediaPipe saw them in the original photos

    @property
    def boxes(self) -> Tensor:
        """(F, 4): left, top, right, bottom in pixels."""
        return torch.cat([self.landmarks.amin(dim=1), self.landmarks.amax(dim=1)], dim=1)


def load_portraits(shared_data: Path) -> list[Portrait]:
    portraits = []
    with np.load(shared_data / "faces" / "reference_legacy.npz", allow_pickle=False) as reference:
        for name in PORTRAITS:
            with Image.open(shared_data / "faces" / name) as file:
                image = file.convert("RGB")
            portraits += [Portrait(image, landmarks[:, :2] * image.size) for landmarks in reference[name]]
    return portraits


def load_scenes(shared_data: Path) -> list[Image.Image]:
    scenes = []
    for name in SCENES:
        with Image.open(shared_data / "faces" / name) as file:
            scenes.append(file.convert("RGB"))
    return scenes + [Image.fromarray(frame) for frame in read_video(shared_data / "video" / VIDEO)[20::25]]


def read_video(path: Path) -> list[np.ndarray]:
    """Every frame, (H, W, 3) uint8."""
    return [frame.picture.numpy() for frame in Video(path).frames()]


def compose(
    portraits: list[Portrait],
    scenes: list[Image.Image],
    *,
    size: tuple[int, int],
    count: int,
    heights: tuple[float, float] = (24, 96),
    turn: float = 15,
    seed: int = 0,
) -> GroupPicture:
    """A picture of `size` (width, height) with `count` faces, each `heights` pixels from brow to chin.

    Everything varies with the seed: place (up to the border), size, how much of the photo is around the face, turn
    (up to so many degrees either way), brightness, sharpness, and how strongly the whole is compressed (JPEG).
    """
    random = np.random.default_rng(seed)
    canvas = fill(scenes[random.integers(len(scenes))], size, random)
    faces: list[np.ndarray] = []
    taken: list[np.ndarray] = []
    for _ in range(100 * count):
        if len(faces) == count:
            break
        portrait = portraits[random.integers(len(portraits))]
        patch, mask, landmarks = scale(portrait, random, heights, turn)
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        room = np.array(size) - (high - low) - 4
        if (room <= 0).any():
            continue
        corner = np.round(2 + random.random(2) * room - low).astype(int)
        area = np.concatenate([corner, corner + patch.size])
        box = np.concatenate([low + corner, high + corner])
        if any(overlap(area, face) or overlap(box, other) for other, face in taken):
            continue
        canvas.paste(patch, tuple(corner), mask)
        taken.append((area, box))
        faces.append(landmarks + corner)
    assert len(faces) == count, f"{count} faces do not fit into {size}"
    return GroupPicture(
        picture=torch.from_numpy(compress(canvas, quality=int(random.integers(70, 96)))),
        landmarks=torch.from_numpy(np.stack(faces)).float(),
    )


def fill(scene: Image.Image, size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """Enlarge a scene, or a part of it, until it fills the picture."""
    part = random.uniform(0.6, 1)
    scaled = max(size[0] / scene.width, size[1] / scene.height) / part
    scene = scene.resize((math.ceil(scene.width * scaled), math.ceil(scene.height * scaled)), Image.Resampling.BICUBIC)
    left, top = (int(random.integers(have - want + 1)) for have, want in zip(scene.size, size, strict=True))
    return scene.crop((left, top, left + size[0], top + size[1]))


def scale(
    portrait: Portrait, random: np.random.Generator, heights: tuple[float, float], turn: float
) -> tuple[Image.Image, Image.Image, np.ndarray]:
    """A patch with the face, a mask of its valid pixels, and the landmarks (478, 2) on it."""
    low, high = portrait.landmarks.min(axis=0), portrait.landmarks.max(axis=0)
    height = math.exp(random.uniform(math.log(heights[0]), math.log(heights[1])))
    factor = height / (high - low)[1]
    image = portrait.image.resize([round(side * factor) for side in portrait.image.size], Image.Resampling.LANCZOS)
    landmarks = portrait.landmarks * (np.array(image.size) / portrait.image.size)
    center = (low + high) / 2 * factor

    angle = math.radians(random.uniform(-turn, turn))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    reach = np.ceil((high - low) * factor * (0.5 + random.uniform(0.25, 1.0)))
    back = np.column_stack([rotation.T, center - rotation.T @ reach]).ravel().tolist()  # patch → photo
    shape = tuple((2 * reach).astype(int).tolist())
    patch = image.transform(shape, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    mask = Image.new("L", image.size, 255).transform(shape, Image.Transform.AFFINE, back, Image.Resampling.NEAREST)
    brightness = random.uniform(0.6, 1.25)
    patch = patch.point([min(255, round(level * brightness)) for level in range(256)] * 3)
    if random.random() < 0.3:
        patch = patch.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 0.8)))
    return patch, mask, (landmarks - center) @ rotation.T + reach


def overlap(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((first[:2] < second[2:]).all() and (second[:2] < first[2:]).all())


def compress(image: Image.Image, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer).convert("RGB"))


def match(found: Tensor, expected: Tensor) -> tuple[int, int]:
    """Boxes found (F, 4) and expected (E, 4) → how many of the expected are found, and how many found are extra.

    Two boxes show the same face when they share 40 % of what they cover together; each counts once.
    """
    low = torch.maximum(found[:, None, :2], expected[None, :, :2])
    high = torch.minimum(found[:, None, 2:], expected[None, :, 2:])
    shared = (high - low).clamp_min(0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (found, expected)]
    overlaps = shared / (areas[0][:, None] + areas[1][None] - shared)
    hits = 0
    while overlaps.numel() and overlaps.max() > 0.4:
        row, column = divmod(int(overlaps.argmax()), overlaps.shape[1])
        overlaps[row], overlaps[:, column] = 0, 0
        hits += 1
    return hits, len(found) - hits
