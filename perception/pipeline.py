"""Compute perceptions from pictures: the public entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import origins
from .engines import MIN_CONFIDENCE, EmotionModel, Landmarker
from .pictures import batches, separate, to_picture
from .selection import Selection, take
from .sequences.rows import Rows
from .tracking import Tracker
from .vector import PERCEPTION_DIM, Perceptions, pack

if TYPE_CHECKING:
    from .pictures import Picture, Pictures


class PerceptionPipeline:
    """Finds the faces in pictures, their 478 landmarks and their 7 emotion probabilities.

    Models are loaded when the pipeline is created and kept: create one and call it many times.

    Args:
        landmarker: finds faces; the bundled one when None.
        emotion_model: classifies them; the bundled one that sees the picture when None.
        device: where the bundled models run; models that are passed in stay on their device. Everything else runs on
            the CPU.
        detector: of the bundled landmarker: fast, standard or thorough (perception/landmarks/detectors.py).
        min_confidence: faces with a lower landmarker confidence are dropped, 0…1.
        selection: which faces of a picture are used, and in which order; the ten largest, largest first, when None.
    """

    def __init__(
        self,
        landmarker: Landmarker | None = None,
        emotion_model: EmotionModel | None = None,
        *,
        device: str | torch.device = "cpu",
        detector: str = "fast",
        min_confidence: float = MIN_CONFIDENCE,
        selection: Selection | None = None,
    ) -> None:
        if landmarker is None:
            from .landmarks.bundled import BundledLandmarker

            landmarker = BundledLandmarker(detector=detector, device=device)
        if emotion_model is None:
            from .emotions.face_expression import FaceExpressionModel

            emotion_model = FaceExpressionModel(device=device)
        self.landmarker = landmarker
        self.emotion_model = emotion_model
        self.min_confidence = min_confidence
        self.selection = selection or Selection()

    def __call__(
        self, pictures: Pictures | Iterator[Picture], progress: Callable[[int], None] | None = None
    ) -> Perceptions:
        """Return the faces in pictures, given in any form that `to_pictures` accepts or as an iterator over them.

        An iterator is read in chunks, so that a long video is never completely in memory. The pictures count as a
        sequence: a face that continues one of an earlier picture has the same track. `progress`, if given, is called
        after each chunk with the number of pictures done; an exception from it ends the run. Raises PictureError (a
        ValueError) with the first picture that cannot be used.
        """
        items = pictures if isinstance(pictures, Iterator) else iter(separate(pictures))
        tracker = Tracker()
        vectors = Rows(PERCEPTION_DIM)  # the only large part of a long video, so it is never stored twice
        sizes: list[tuple[int, int]] = []
        frames: list[int] = []
        boxes: list[Tensor] = []
        scores: list[Tensor] = []
        tracks: list[int] = []
        made_from: list[Tensor] = []
        done = 0
        for chunk in batches((to_picture(item, index) for index, item in enumerate(items)), self.landmarker.batch_size):
            detected = self.landmarker.detect(chunk, min_confidence=self.min_confidence)
            chosen = [
                self.selection.chosen(all_faces, *picture.shape[:2])
                for picture, all_faces in zip(chunk, detected, strict=True)
            ]
            selected = [take(all_faces, numbers) for all_faces, numbers in zip(detected, chosen, strict=True)]
            emotions = self.emotion_model.classify(chunk, selected)
            vectors.extend(pack(torch.cat([faces.landmarks for faces in selected]), emotions))
            # One tensor per chunk: one per picture would need more memory than its content.
            boxes.append(torch.cat([faces.boxes for faces in selected]))
            scores.append(torch.cat([faces.scores for faces in selected]))
            made_from.append(
                torch.cat(
                    [
                        origins.of_picture(picture, numbers.tolist())
                        for picture, numbers in zip(chunk, chosen, strict=True)
                    ]
                )
            )
            for picture, faces in zip(chunk, selected, strict=True):
                tracks.extend(tracker.update(faces, *picture.shape[:2]))
                frames.extend([done] * len(faces))
                sizes.extend([(picture.shape[0], picture.shape[1])] * len(faces))
                done += 1
            if progress is not None:
                progress(done)
        return Perceptions(
            vectors=vectors.take(),
            image_sizes=torch.tensor(sizes, dtype=torch.int32).reshape(-1, 2),
            frames=torch.tensor(frames, dtype=torch.int64),
            boxes=torch.cat([torch.empty(0, 4), *boxes]),
            scores=torch.cat([torch.empty(0), *scores]),
            tracks=torch.tensor(tracks, dtype=torch.int64),
            origins=torch.cat([origins.unknown(0), *made_from]),
            frame_count=done,
            landmarker=self.landmarker.identity,
            emotion_model=self.emotion_model.identity,
        )
