"""Flags that several commands share, those about finding faces among them, and the pipeline that these ask for."""

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
from ...projection.checkpoint import DEFAULT_FOLDER
from ...projection.spaces import SD15
from ..encoders.loading import DEFAULTS
from ..learning.settings import BASE_BATCH, BATCHES, SIZES, Settings


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def natural(text: str) -> int:
    """An argparse type: a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def above_zero(text: str) -> float:
    """An argparse type: a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def part(text: str) -> float:
    """An argparse type: a number above 0 and below 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0 and 1")
    return value


def device(text: str) -> str:
    """An argparse type: a device that this machine's torch can use; "auto" is a CUDA device, else the CPU."""
    import torch

    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"this machine's torch has no device {text!r} ({reason})") from error
    return text


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        type=device,
        default="auto",
        help="auto (a CUDA device, else the CPU), cpu, cuda, mps… (default: %(default)s)",
    )


def share(text: str) -> float:
    """An argparse type: a number above 0 and up to 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie above 0 and up to 1")
    return value


def add_encoder_arguments(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """`--text-encoder`, `--tokenizer` and `--space`, as `load_encoder` takes them: None is the space's own default."""
    defaults = ", ".join(f"{name} ({space})" for space, name in DEFAULTS.items())
    parser.add_argument(
        "--space",
        choices=tuple(DEFAULTS),
        default=SD15.name,
        help="encode prompts for Stable Diffusion 1.5 (sd15), or for XL as well (sdxl); default: %(default)s",
    )
    parser.add_argument(
        "--text-encoder",
        required=required,
        help="a Stable Diffusion 1.5 or XL .safetensors file, a Hugging Face id or folder, or 'random' (a stand-in for "
        "trying things out)" + ("" if required else f"; default: {defaults}"),
    )
    _add_tokenizer_argument(parser)


def add_sd15_encoder_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """For a command that keeps to the sd15 space: `--text-encoder` and `--tokenizer`."""
    parser.add_argument(
        "--text-encoder",
        default=default,
        help="a Stable Diffusion 1.5 .safetensors file, a Hugging Face id or folder, or 'random' (a stand-in for "
        "trying things out) (default: %(default)s)",
    )
    _add_tokenizer_argument(parser)


def _add_tokenizer_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", metavar="FOLDER", help="a folder with CLIP's vocab.json and merges.txt")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that trains; `settings_of` reads them."""
    defaults = Settings()
    parser.add_argument(
        "--out-dir", type=Path, default=DEFAULT_FOLDER, help="where best_model and its report go (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=positive, default=defaults.epochs, help="default: %(default)s")
    smallest, largest = BATCHES
    parser.add_argument(
        "--batch-size", type=positive, help=f"default: {smallest} to {largest}, by the number of samples"
    )
    parser.add_argument(
        "--lr",
        type=above_zero,
        default=defaults.learning_rate,
        help=f"learning rate of a batch of {BASE_BATCH}; it grows with the batch's square root (default: %(default)s)",
    )
    parser.add_argument(
        "--size", choices=tuple(SIZES), default=defaults.size, help="of the network (default: %(default)s)"
    )
    parser.add_argument(
        "--val-split",
        type=part,
        default=defaults.val_split,
        help="share of the people and clips to hold out: half of them choose when to stop, half judge the result "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=positive,
        default=defaults.patience,
        help="epochs without a better validation before training stops (default: %(default)s)",
    )
    parser.add_argument("--seed", type=natural, default=defaults.seed, help="default: %(default)s")
    add_device_argument(parser)


def add_resume_argument(parser: argparse.ArgumentParser) -> None:
    """`--resume`, of commands that can be stopped."""
    parser.add_argument("--resume", action="store_true", help="go on where a run with the same flags was stopped")


def settings_of(options: argparse.Namespace) -> Settings:
    """What `add_training_arguments` asked for."""
    return Settings(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.lr,
        size=options.size,
        seed=options.seed,
        device=options.device,
        val_split=options.val_split,
        patience=options.patience,
    )


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
