"""The flags that say how faces are found, and the pipeline that they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...common.errors import InputError
from ...perception.emotions.classifier import TransformersEmotions
from ...perception.engines import BUNDLED, LANDMARKERS, MEDIAPIPE, EmotionModel, Landmarker
from ...perception.landmarks.bundled import BundledLandmarker
from ...perception.landmarks.detectors import DETECTORS, FOR_PICTURES
from ...perception.landmarks.mediapipe import MediaPipeLandmarker
from ...perception.pipeline import PerceptionPipeline
from ...perception.selection import ORDERS, Selection
from .options import share


def add_perception_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that say how faces are found; `pipeline_of` reads them, and `--device`."""
    parser.add_argument(
        "--detector",
        choices=list(DETECTORS),
        default=FOR_PICTURES,
        help="of the bundled landmarker: near (faces of a tenth of the picture and more), far (smaller ones too) or "
        "thorough (crowds, and heads in any position; slow) (default: %(default)s)",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        default=0.5,
        help="faces that the detector is less sure of are dropped, above 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--face", choices=ORDERS, default=ORDERS[0], help="which face of a picture is taken (default: %(default)s)"
    )
    parser.add_argument(
        "--landmarker",
        choices=LANDMARKERS,
        default=BUNDLED,
        help="what finds the landmarks; mediapipe needs its wheel (the extra `mediapipe`) and --landmarker-model "
        "(default: %(default)s)",
    )
    parser.add_argument("--landmarker-model", type=Path, metavar="FILE", help="MediaPipe's face_landmarker.task")
    parser.add_argument(
        "--emotion-model",
        default=BUNDLED,
        help="what judges the emotions: bundled, or an image classifier of the seven emotions as a folder or Hugging "
        "Face id (default: %(default)s)",
    )


def pipeline_of(options: argparse.Namespace) -> PerceptionPipeline:
    """What `add_perception_arguments` asked for; of each picture it gives one face."""
    landmarker: Landmarker
    if options.landmarker == MEDIAPIPE:
        if options.landmarker_model is None:
            raise InputError("--landmarker mediapipe needs --landmarker-model FILE, MediaPipe's face_landmarker.task")
        landmarker = MediaPipeLandmarker(options.landmarker_model)
    elif options.landmarker_model is not None:
        raise InputError("--landmarker-model goes with --landmarker mediapipe")
    else:
        landmarker = BundledLandmarker(device=options.device, detector=options.detector)
    emotion_model: EmotionModel | None = None
    if options.emotion_model != BUNDLED:
        emotion_model = TransformersEmotions(options.emotion_model, device=options.device)
    selection = Selection(order=options.face, max_faces=1)
    return PerceptionPipeline(landmarker, emotion_model, min_confidence=options.min_confidence, selection=selection)


def finding(options: argparse.Namespace) -> str:
    """All that decides whether a face is found in a picture, in words."""
    model = "" if options.landmarker_model is None else options.landmarker_model.name
    return f"{options.landmarker} {model} {options.detector} {options.min_confidence}"
