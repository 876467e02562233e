"""The one public entry: pictures in, perceptions out."""

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
from .vector import DIM, Perceptions, pack

if TYPE_CHECKING:
    from .pictures import Picture, Pictures


class PerceptionPipeline:
    """Finds the faces in pictures, their 478 landmarks and their 7 emotion probabilities.

    Models are loaded when the pipeline is made, and kept: make one and call it many times.

    Args:
        landmarker: finds faces; the bundled one when None.
        emotion_model: judges them; the bundled expression model when None.
        device: where the bundled landmarker runs; a given one stays where it is. All behind it runs on the CPU.
        detector: of the bundled landmarker: near, far or thorough (perception/landmarks/detectors.py).
        min_confidence: faces that the landmarker is less sure of are dropped, 0…1.
        selection: which faces of a picture count, and in which order; at most ten, the largest first, when None.
    """

    def __init__(
        self,
        landmarker: Landmarker | None = None,
        emotion_model: EmotionModel | None = None,
        *,
        device: str | torch.device = "cpu",
        detector: str = "near",
        min_confidence: float = MIN_CONFIDENCE,
        selection: Selection | None = None,
    ) -> None:
        if landmarker is None:
            from .landmarks.bundled import BundledLandmarker

            landmarker = BundledLandmarker(detector=detector, device=device)
        if emotion_model is None:
            from .emotions.expression import ExpressionModel

            emotion_model = ExpressionModel.load()
        self.landmarker = landmarker
        self.emotion_model = emotion_model
        self.min_confidence = min_confidence
        self.selection = selection or Selection()

    def __call__(
        self, pictures: Pictures | Iterator[Picture], progress: Callable[[int], None] | None = None
    ) -> Perceptions:
        """Pictures in any form that `to_pictures` takes, or an iterator over them → the faces in them.

        Pictures are taken from an iterator a chunk at a time, so that a long video never lies in memory. They count
        as a sequence: a face that continues one of a picture before has the same track. `progress`, if given, is
        called after each chunk with the number of pictures done; what it raises ends the run. Raises PictureError (a
        ValueError) that names the first picture that cannot be used.
        """
        items = pictures if isinstance(pictures, Iterator) else iter(separate(pictures))
        tracker = Tracker()
        vectors = Rows(DIM)  # of a long video the only large thing, and so never held twice
        sizes: list[tuple[int, int]] = []
        frames: list[int] = []
        boxes: list[Tensor] = []
        scores: list[Tensor] = []
        tracks: list[int] = []
        made_from: list[Tensor] = []
        done = 0
        for chunk in batches((to_picture(item, index) for index, item in enumerate(items)), self.landmarker.portion):
            detected = self.landmarker.detect(chunk, min_confidence=self.min_confidence)
            chosen = [
                self.selection.chosen(all_faces, *picture.shape[:2])
                for picture, all_faces in zip(chunk, detected, strict=True)
            ]
            found = [take(all_faces, numbers) for all_faces, numbers in zip(detected, chosen, strict=True)]
            emotions = self.emotion_model.classify(chunk, found)
            vectors.extend(pack(torch.cat([faces.landmarks for faces in found]), emotions))
            # Of a chunk at a time: a tensor for each picture would take more memory than what is in it.
            boxes.append(torch.cat([faces.boxes for faces in found]))
            scores.append(torch.cat([faces.scores for faces in found]))
            made_from.append(
                torch.cat(
                    [
                        origins.of_picture(picture, numbers.tolist())
                        for picture, numbers in zip(chunk, chosen, strict=True)
                    ]
                )
            )
            for picture, faces in zip(chunk, found, strict=True):
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
