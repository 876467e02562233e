"""Flags that several commands share, and the perception pipeline that they configure."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...common.errors import InputError
from ...perception.emotions.expression import ExpressionModel
from ...perception.emotions.face_expression import FaceExpressionModel
from ...perception.emotions.transformers_classifier import TransformersEmotions
from ...perception.engines import (
    BUNDLED,
    DEFAULT_EMOTION_MODEL,
    FROM_LANDMARKS,
    FROM_PICTURE,
    LANDMARKERS,
    MEDIAPIPE,
    EmotionModel,
    Landmarker,
)
from ...perception.landmarks.bundled import BundledLandmarker
from ...perception.landmarks.detectors import DETECTORS, FOR_PICTURES
from ...perception.landmarks.mediapipe import MediaPipeLandmarker
from ...perception.pipeline import PerceptionPipeline
from ...perception.selection import ORDERS, Selection
from ...projection.checkpoint import DEFAULT_FOLDER
from ...projection.spaces import SD15
from ..encoders.base import TokenEncoder
from ..encoders.loading import DEFAULTS, load_encoder
from ..learning.settings import BASE_BATCH, BATCHES, LEAST_PATIENCE, SIZES, STARTER_SAMPLES, Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", int, float)
D = TypeVar("D", bound="DataclassInstance")
Numbers = Mapping[str, tuple[Callable[[str], float], str | None, str]]  # field → (type, metavar, help without default)

OTHER_MODELS = "a folder, a Hugging Face id, or 'random' (a placeholder for tests)"
TOKENIZER_HELP = "a folder with CLIP's vocab.json and merges.txt (default: that of the model or of ComfyUI)"


def _number(convert: Callable[[str], T], is_valid: Callable[[T], bool], requirement: str) -> Callable[[str], T]:
    """Return an argparse type for numbers that meet a requirement."""

    def parse(text: str) -> T:
        try:
            value = convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"the value must be {requirement}, not {text!r}") from None
        if not is_valid(value):
            raise argparse.ArgumentTypeError(f"the value must be {requirement}, not {text}")
        return value

    return parse


positive = _number(int, lambda value: value >= 1, "at least 1")
natural = _number(int, lambda value: value >= 0, "at least 0")
not_negative = _number(float, lambda value: 0 <= value < float("inf"), "a number of at least 0")
above_zero = _number(float, lambda value: 0 < value < float("inf"), "a number above 0")
closed_interval = _number(float, lambda value: 0 <= value <= 1, "from 0 to 1")
open_interval = _number(float, lambda value: 0 < value < 1, "above 0 and below 1")
half_open_interval = _number(float, lambda value: 0 < value <= 1, "above 0 and at most 1")


def device(text: str) -> str:
    """Return the name of a device that this machine's torch can use; an argparse type.

    "auto" is a CUDA device if there is one, else the CPU.
    """
    import torch

    if text == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=text)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(
            f"this machine's PyTorch does not support the device {text!r} ({reason})"
        ) from error
    return text


def source_path(text: str) -> Path:
    """Return the path of a source; an argparse type. The empty text of an unset variable is not the working folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; pass a folder or file, or . for this folder")
    return Path(text)


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        type=device,
        default="auto",
        help="auto (a CUDA device if available, else the CPU), cpu, cuda, mps… (default: %(default)s)",
    )


def add_encoder_arguments(parser: argparse.ArgumentParser, *, required: bool = False, of_dataset: bool = False) -> None:
    """Add `--space`, `--text-encoder` and `--tokenizer`; `encoder_of` reads them and `--device`.

    With `of_dataset`, the command sets the space of its dataset where `--space` is not passed.
    """
    parser.add_argument(
        "--space",
        choices=tuple(DEFAULTS),
        default=None if of_dataset else SD15.name,
        help="text space of the prompts: sd15 for Stable Diffusion 1.5; sdxl also stores the vectors for XL "
        f"(default: {'that of the dataset' if of_dataset else '%(default)s'})",
    )
    defaults = ", ".join(f"{name} ({space})" for space, name in DEFAULTS.items())
    default = "" if required else f" ({'with --re-encode, ' if of_dataset else ''}default: {defaults})"
    parser.add_argument(
        "--text-encoder",
        required=required,
        metavar="MODEL",
        help=f"a Stable Diffusion 1.5 or XL .safetensors file, {OTHER_MODELS}{default}",
    )
    parser.add_argument("--tokenizer", metavar="FOLDER", help=TOKENIZER_HELP)


def add_sd15_encoder_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--text-encoder` and `--tokenizer` to a command that always uses the sd15 space."""
    models = f"a Stable Diffusion 1.5 .safetensors file, {OTHER_MODELS} (default: %(default)s)"
    parser.add_argument("--text-encoder", default=default, metavar="MODEL", help=models)
    parser.add_argument("--tokenizer", metavar="FOLDER", help=TOKENIZER_HELP)
    parser.set_defaults(space=SD15.name)


def encoder_of(options: argparse.Namespace) -> TokenEncoder:
    """Load the text encoder of the flags above."""
    return load_encoder(options.text_encoder, options.device, options.tokenizer, options.space)


def add_samples_argument(parser: argparse.ArgumentParser) -> None:
    what = "number of synthetic faces to sample (default: %(default)s)"
    parser.add_argument("--samples", type=positive, default=STARTER_SAMPLES, metavar="N", help=what)


def add_numbers(parser: argparse._ActionsContainer, defaults: DataclassInstance, numbers: Numbers) -> None:
    """Add flags for numbers whose defaults are the fields of the dataclass `defaults`."""
    for name, (kind, unit, what) in numbers.items():
        flag, default = f"--{name.replace('_', '-')}", getattr(defaults, name)
        parser.add_argument(flag, type=kind, default=default, metavar=unit, help=f"{what} (default: %(default)g)")


def from_options(kind: type[D], options: argparse.Namespace) -> D:
    """Return a dataclass of this type, with the values of the flags that are named like its fields."""
    return kind(**{field.name: getattr(options, field.name) for field in fields(kind)})


def add_training_arguments(parser: argparse.ArgumentParser, defaults: Settings | None = None) -> None:
    """Add the flags of every command that trains; `settings_of` reads them."""
    defaults = defaults or Settings()
    parser.add_argument(
        "--out-dir",
        type=Path,
        default=DEFAULT_FOLDER,
        help="output folder for best_model and its report (default: %(default)s)",
    )
    numbers: Numbers = {
        "epochs": (positive, None, "maximum number of epochs"),
        "val_split": (
            open_interval,
            None,
            "share of the people and clips to hold out: one half decides when to stop, the other evaluates the result",
        ),
        "seed": (natural, None, "random seed"),
    }
    add_numbers(parser, defaults, numbers)
    patience = defaults.patience or f"{LEAST_PATIENCE} or more, depending on the number of samples"
    parser.add_argument(
        "--patience",
        type=positive,
        default=defaults.patience,
        help=f"epochs without improvement in validation before training stops (default: {patience})",
    )
    smallest, largest = BATCHES
    parser.add_argument(
        "--batch-size",
        type=positive,
        help=f"batch size (default: {smallest} to {largest}, depending on the number of samples)",
    )
    parser.add_argument(
        "--lr",
        dest="learning_rate",
        type=above_zero,
        default=defaults.learning_rate,
        metavar="LR",
        help=f"learning rate for a batch size of {BASE_BATCH}; scales with the square root of the batch size (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--size", choices=tuple(SIZES), default=defaults.size, help="network size (default: %(default)s)"
    )
    parser.set_defaults(ignore_splits=False)
    add_device_argument(parser)


def add_resume_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--resume`, for commands that can be stopped."""
    parser.add_argument(
        "--resume", action="store_true", help="resume a run with the same flags where it was interrupted"
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings from the flags of `add_training_arguments` and `--space`."""
    return from_options(Settings, options)


def add_perception_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that control how faces are found; `pipeline_of` reads them and `--device`."""
    parser.add_argument(
        "--detector",
        choices=list(DETECTORS),
        default=FOR_PICTURES,
        help="detector of the bundled landmarker: fast (faces at least a tenth of the picture's size), standard (also "
        "smaller faces) or thorough (crowds and any head orientation; much slower) (default: %(default)s)",
    )
    parser.add_argument(
        "--min-confidence",
        type=half_open_interval,
        default=0.5,
        help="faces with a lower detection score are discarded, above 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--face",
        choices=ORDERS,
        default=ORDERS[0],
        help="which face to use when a picture has several (default: %(default)s)",
    )
    parser.add_argument(
        "--landmarker",
        choices=LANDMARKERS,
        default=BUNDLED,
        help="landmark model; mediapipe needs the extra `mediapipe` and --landmarker-model (default: %(default)s)",
    )
    parser.add_argument(
        "--landmarker-model", type=Path, metavar="FILE", help="path of MediaPipe's face_landmarker.task"
    )
    parser.add_argument(
        "--emotion-model",
        default=DEFAULT_EMOTION_MODEL,
        help=f"emotion model: '{FROM_PICTURE}' (more accurate), '{FROM_LANDMARKS}' (uses face shape only), or the "
        "folder or Hugging Face id of a seven-emotion image classifier (default: %(default)s)",
    )


def pipeline_of(options: argparse.Namespace) -> PerceptionPipeline:
    """Return the pipeline configured by `add_perception_arguments`; it finds at most one face per picture.

    Raises InputError for flags that do not go together.
    """
    landmarker: Landmarker
    if options.landmarker == MEDIAPIPE:
        if options.landmarker_model is None:
            raise InputError("--landmarker mediapipe needs --landmarker-model FILE, MediaPipe's face_landmarker.task")
        landmarker = MediaPipeLandmarker(options.landmarker_model)
    elif options.landmarker_model is not None:
        raise InputError("--landmarker-model only works with --landmarker mediapipe; add it or remove the model")
    else:
        landmarker = BundledLandmarker(device=options.device, detector=options.detector)
    emotion_model: EmotionModel
    if options.emotion_model == FROM_PICTURE:
        emotion_model = FaceExpressionModel(device=options.device)
    elif options.emotion_model == FROM_LANDMARKS:
        emotion_model = ExpressionModel.load()
    else:
        emotion_model = TransformersEmotions(options.emotion_model, device=options.device)
    selection = Selection(order=options.face, max_faces=1)
    return PerceptionPipeline(landmarker, emotion_model, min_confidence=options.min_confidence, selection=selection)


def finding(options: argparse.Namespace) -> str:
    """Return a text of everything that decides whether a face is found in a picture."""
    model = "" if options.landmarker_model is None else options.landmarker_model.name
    return f"{options.landmarker} {model} {options.detector} {options.min_confidence}"
