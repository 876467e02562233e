"""Read the output of ComfyUI's own MediaPipe nodes: a landmarker that converts it, and the actions in it.

ComfyUI (0.23 and later) outputs FACE_LANDMARKS: {"frames": [[face, …] per picture], "image_size": (height, width), …}.
Four entries of a face are used here:

    landmarks_xy  (478, 2) in pixels of the picture
    landmarks_3d  (478, 3) in pixels of the network's own picture of the face, 192 × 192
    score         the detector's confidence, 0…1
    blendshapes   the 52 actions by name, 0…1

The picture of the network is a rectangle of the whole picture, rotated with the head and resized to a square. It is
not included, but both sets of landmarks are the same points, so an affine map fitted between them gives the rectangle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..actions.names import ACTIONS
from ..engines import BATCH_SIZE, Faces, check_pictures, largest_first
from ..vector import LANDMARKS, Perceptions

MISFIT = 0.1  # of the face's size; if no affine map comes closer, the two sets of landmarks are of different faces
SAME_FACE = 1e-4  # of the face's size: if any landmark differs by more, the face has been edited or smoothed
LEAST_SCORE = 1e-6  # a score of 0 would mean a face that was not seen
SAME_PICTURES = "connect the same pictures to ComfyUI's face landmarker and to this node"


class ComfyLandmarks:
    """Returns the faces that ComfyUI found in a batch of pictures. Implements `engines.Landmarker`, for one pass.

    `detect` must be called with the same pictures in the same order, any number at a time; `len()` is their total. All
    faces are returned: ComfyUI neither drops those that its network does not consider a face, nor marks those that it
    copied or interpolated into pictures without one.

    Raises ValueError with the face and the problem if `data` is not FACE_LANDMARKS as above.
    """

    identity = "comfyui-face-landmarks/1"
    batch_size = BATCH_SIZE

    def __init__(self, data: Mapping[str, Any]) -> None:
        if not isinstance(data, Mapping):
            raise InputError(f"face landmarks must be a dictionary created by ComfyUI, not {type(data).__name__}")
        self.image_size = _image_size(_entry(data, "image_size", "the face landmarks"))
        frames = _list(_entry(data, "frames", "the face landmarks"), '"frames" of the face landmarks')
        self._faces = [_read_frame(faces, frame, self.image_size) for frame, faces in enumerate(frames)]
        self._next = 0

    def __len__(self) -> int:
        return len(self._faces)

    def detect(self, pictures: Sequence[Tensor], *, min_confidence: float = 0.0) -> list[Faces]:
        """Return the faces of each of the next pictures, (H, W, 3) uint8 RGB, the largest first, at any confidence.

        Raises ValueError if there are more pictures than the landmarks are for, or if their size differs.
        """
        check_pictures(pictures)
        start, self._next = self._next, self._next + len(pictures)
        if self._next > len(self):
            raise InputError(
                f"the face landmarks are for {counted(len(self), 'picture')}, but there are more; {SAME_PICTURES}"
            )
        for index, picture in enumerate(pictures, start):
            size = tuple(picture.shape[:2])
            if size != self.image_size:
                raise InputError(
                    f"picture {index} is {size[1]}×{size[0]}, but the face landmarks are for pictures of "
                    f"{self.image_size[1]}×{self.image_size[0]}; {SAME_PICTURES}"
                )
        return self._faces[start : self._next]


def comfy_actions(data: Mapping[str, Any], perceptions: Perceptions) -> Tensor:
    """Return the actions (N, 52) that ComfyUI measured on faces with the same landmarks; NaN for all other faces.

    Those are faces that have been edited, smoothed or filled in, or that another landmarker detected. Raises
    ValueError as `ComfyLandmarks` does, and if a face has no actions.
    """
    height, width = ComfyLandmarks(data).image_size  # after checking everything else in it
    pixels = perceptions.landmarks[..., :2].double() * torch.tensor([width, height])  # (N, 478, 2)
    actions = torch.full((len(perceptions), len(ACTIONS)), torch.nan)
    for row, frame in enumerate(perceptions.frames.tolist()):
        size = (pixels[row].amax(dim=0) - pixels[row].amin(dim=0)).norm()
        for index, face in enumerate(data["frames"][frame] if frame < len(data["frames"]) else ()):
            points = torch.as_tensor(face["landmarks_xy"], dtype=torch.float64, device="cpu")
            if (points - pixels[row]).norm(dim=1).max() <= SAME_FACE * size:
                actions[row] = _actions(face, f"face {index} of picture {frame}")
    return actions


def _actions(face: Mapping[str, Any], name: str) -> Tensor:
    values = _entry(face, "blendshapes", name)
    try:
        actions = torch.tensor([float(values[action]) for action in ACTIONS])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"blendshapes of {name} must be a dictionary of the 52 actions ({error!r})") from error
    if not ((actions >= 0) & (actions <= 1)).all():
        raise InputError(f"blendshapes of {name} must be between 0 and 1")
    return actions


def _read_frame(faces: Any, frame: int, image_size: tuple[int, int]) -> Faces:
    """Return the faces of one picture, checked and converted from ComfyUI's."""
    rows = _list(faces, f'picture {frame} in "frames" of the face landmarks')
    if not rows:
        return largest_first(torch.empty(0, LANDMARKS, 3), torch.empty(0), image_size)
    named = [(face, f"face {index} of picture {frame}") for index, face in enumerate(rows)]
    pixels = torch.stack([_points(face, "landmarks_xy", 2, name) for face, name in named])  # (F, 478, 2)
    crop = torch.stack([_points(face, "landmarks_3d", 3, name) for face, name in named])  # (F, 478, 3)
    scores = torch.tensor([_score(face, name) for face, name in named])
    height, width = image_size
    xy = pixels / pixels.new_tensor([width, height])
    z = crop[..., 2:] * _pixel_width(crop[..., :2], pixels, frame)[:, None, None] / width
    return largest_first(torch.cat([xy, z], dim=2).float(), scores, image_size)


def _pixel_width(crop: Tensor, pixels: Tensor, frame: int) -> Tensor:
    """Return the width (F,) of a pixel of the crop in pixels of the picture: the width of the region ÷ 192.

    The height of the crop may be scaled differently. MediaPipe scales depth by the width, which is the length of one
    step along the x axis of the crop, however it is rotated.
    """
    crop = crop - crop.mean(dim=1, keepdim=True)
    pixels = pixels - pixels.mean(dim=1, keepdim=True)
    steps = torch.linalg.lstsq(crop, pixels).solution  # (F, 2, 2): one step along x, one along y
    misfit = (crop @ steps - pixels).norm(dim=2).mean(dim=1) / pixels.norm(dim=2).mean(dim=1)
    wrong = (~(misfit <= MISFIT)).nonzero()[:, 0].tolist()  # NaN where all points are one
    if wrong:
        raise InputError(
            f"face {wrong[0]} of picture {frame}: landmarks_xy and landmarks_3d are not from the same face, "
            "or all points coincide"
        )
    widths: Tensor = steps[:, 0].norm(dim=1)
    return widths


def _points(face: Any, key: str, columns: int, name: str) -> Tensor:
    """Return one of the arrays of a face, (478, columns) float64, finite."""
    if not isinstance(face, Mapping):
        raise InputError(f"{name} must be a dictionary, not {type(face).__name__}")
    value = _entry(face, key, name)
    try:
        points = torch.as_tensor(value, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{key} of {name} is not an array of numbers ({error})") from error
    if points.shape != (LANDMARKS, columns):
        raise InputError(f"{key} of {name} must have the shape ({LANDMARKS}, {columns}), not {tuple(points.shape)}")
    if not points.isfinite().all():
        raise InputError(f"{key} of {name} contains NaN or infinite values")
    return points


def _score(face: Mapping[str, Any], name: str) -> float:
    value = _entry(face, "score", name)
    try:
        score = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"score of {name} is not a number ({error})") from error
    if not 0 <= score <= 1:
        raise InputError(f"score of {name} must be between 0 and 1, not {score}")
    return max(score, LEAST_SCORE)


def _image_size(value: Any) -> tuple[int, int]:
    size = tuple(value) if isinstance(value, Sequence) else ()
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise InputError(f'"image_size" of the face landmarks must be (height, width) in pixels, not {value!r:.80}')
    return size[0], size[1]


def _entry(values: Mapping[str, Any], key: str, name: str) -> Any:
    if key not in values:
        raise InputError(f'{name}: there is no "{key}"; connect the output of ComfyUI\'s MediaPipe Face Landmarker')
    return values[key]


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{name} must be a list, not {type(value).__name__}")
    return value
