"""The one public entry: pictures in, perceptions out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .engines import EmotionModel, Faces, Landmarker
from .pictures import separate, to_picture
from .vector import EMOTIONS, LANDMARKS, Perceptions, pack

if TYPE_CHECKING:
    from .pictures import Pictures

CHUNK = 16  # pictures per step: large enough for full speed, small enough to cancel and to fit


class PerceptionPipeline:
    """Finds every face in pictures, its 478 landmarks and its 7 emotion probabilities.

    Models are loaded when the pipeline is made, and kept: make one and call it many times.

    Args:
        landmarker: finds faces; the bundled one when None.
        emotion_model: judges them; the bundled expression model when None.
        device: where the bundled models run; given engines stay where they are.
        max_faces: at most this many per picture, 1 or more (bundled landmarker).
        min_confidence: faces that the detector is less sure of are dropped, 0…1 (bundled landmarker).
    """

    def __init__(
        self,
        landmarker: Landmarker | None = None,
        emotion_model: EmotionModel | None = None,
        *,
        device: str | torch.device = "cpu",
        max_faces: int = 10,
        min_confidence: float = 0.5,
    ) -> None:
        if landmarker is None:
            from .landmarker import BundledLandmarker

            landmarker = BundledLandmarker(device=device, max_faces=max_faces, min_confidence=min_confidence)
        if emotion_model is None:
            from .expression import ExpressionModel

            emotion_model = ExpressionModel.load(device=device)
        self.landmarker = landmarker
        self.emotion_model = emotion_model

    def __call__(self, pictures: Pictures, progress: Callable[[int], None] | None = None) -> Perceptions:
        """Pictures in any form that `to_pictures` takes → the faces in them.

        `progress`, if given, is called after each chunk with the number of pictures done; what it raises ends
        the run. Raises PictureError (a ValueError) that names the first picture that cannot be used.
        """
        items = separate(pictures)
        sizes: list[tuple[int, ...]] = []
        faces: list[Faces] = []
        emotions: list[Tensor] = []
        for start in range(0, len(items), CHUNK):
            chunk = [to_picture(item, start + i) for i, item in enumerate(items[start : start + CHUNK])]
            found = self.landmarker.detect(chunk)
            emotions.append(self.emotion_model.classify(chunk, found))
            faces.extend(found)
            sizes.extend(picture.shape[:2] for picture in chunk)
            if progress is not None:
                progress(len(faces))
        return self._join(torch.tensor(sizes, dtype=torch.int32).reshape(-1, 2), faces, emotions)

    def _join(self, sizes: Tensor, faces: list[Faces], emotions: list[Tensor]) -> Perceptions:
        counts = torch.tensor([len(found) for found in faces], dtype=torch.int64)
        frames = torch.repeat_interleave(torch.arange(len(faces)), counts)
        return Perceptions(
            vectors=pack(
                torch.cat([torch.empty(0, LANDMARKS, 3), *(found.landmarks for found in faces)]),
                torch.cat([torch.empty(0, len(EMOTIONS)), *emotions]),
            ),
            image_sizes=sizes[frames],
            frames=frames,
            boxes=torch.cat([torch.empty(0, 4), *(found.boxes for found in faces)]),
            scores=torch.cat([torch.empty(0), *(found.scores for found in faces)]),
            tracks=torch.arange(len(frames)),
            frame_count=len(faces),
            landmarker=self.landmarker.identity,
            emotion_model=self.emotion_model.identity,
        )
