"""Everything the nodes use of ComfyUI beyond its node API: folders, models, devices, progress, text on a node.

No other file imports ComfyUI's modules. Models are loaded when first needed and kept, so that re-queuing a graph
loads nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, TypeVar

import comfy.model_management
import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import InputImpl, ui
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image
from torch import Tensor, nn

from ...common.errors import InputError
from ...perception.actions.basis import ActionBasis
from ...perception.actions.model import ActionModel
from ...perception.actions.vocabulary import SHIPPED
from ...perception.comparison.expressions import ExpressionReader
from ...perception.emotions.expression import ExpressionModel
from ...perception.emotions.face_expression import FaceExpressionModel
from ...perception.emotions.transformers_classifier import DEFAULT as DEFAULT_CLASSIFIER
from ...perception.emotions.transformers_classifier import HUB_ID, TransformersEmotions
from ...perception.engines import BUNDLED, BUNDLED_EMOTION_MODELS, FROM_PICTURE, EmotionModel, Landmarker
from ...perception.landmarks import mediapipe
from ...perception.landmarks.bundled import BundledLandmarker
from ...perception.sequences.videos import Video, VideoInMemory
from ...perception.vector import Perceptions

MEDIAPIPE_MODELS, EMOTION_MODELS = "mediapipe", "emotion"  # folders below ComfyUI's models/, and their keys
DETECTION_MODELS = "detection"  # where newer versions of ComfyUI keep what earlier ones kept in models/mediapipe/
MODELS = "perception_clip"  # the folder below ComfyUI's models/, and its key in extra_model_paths.yaml
FREED = 1 << 30  # bytes of GPU memory that training needs in addition to ComfyUI's models
PICTURE_SECONDS = 0.5  # at least, between two pictures of a node's progress
PREVIEWS = 16  # pictures of a batch that a node shows, at most

log = logging.getLogger(__name__)
Model = TypeVar("Model")


class _Named(Protocol):
    @property
    def identity(self) -> str: ...


Identified = TypeVar("Identified", bound=_Named)


def register_folders() -> None:
    """Register the pack's folders in models/ with ComfyUI, in addition to those in extra_model_paths.yaml."""
    for name in (MODELS, MEDIAPIPE_MODELS, DETECTION_MODELS, EMOTION_MODELS):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))


def landmarker(engine: str, detector: str) -> Landmarker:
    """Return one of engines.LANDMARKERS, loaded once, on ComfyUI's device."""
    if engine == BUNDLED:
        return _on_device(*_bundled_landmarker(detector))
    names = (MEDIAPIPE_MODELS, DETECTION_MODELS)
    folders = [Path(folder) for name in names for folder in folder_paths.get_folder_paths(name)]
    return mediapipe.open_landmarker(mediapipe.find_task(folders))


def _loaded(load: Callable[[], Identified]) -> Identified:
    """Return a model that `load` reads, and say so in the log."""
    with torch.inference_mode(False):  # ordinary tensors, usable wherever the models are used later
        model = load()
    log.info("Perception CLIP: loaded %s", model.identity)
    return model


@lru_cache(maxsize=3)
def _bundled_landmarker(detector: str) -> tuple[BundledLandmarker, ModelPatcher]:
    loaded = _loaded(lambda: BundledLandmarker(device=device(), detector=detector))
    return loaded, _managed(loaded.networks)


def _managed(networks: nn.Module) -> ModelPatcher:
    """Hand networks over to ComfyUI's memory management, which counts them and can move them off the device."""
    return ModelPatcher(
        networks, load_device=comfy.model_management.get_torch_device(), offload_device=torch.device("cpu")
    )


def _on_device(model: Model, networks: ModelPatcher) -> Model:
    """Return the model after moving its networks to ComfyUI's device."""
    comfy.model_management.load_models_gpu([networks], force_full_load=True)
    return model


def emotion_models() -> list[str]:
    """Return names for `emotion_model`: the bundled ones, each folder in models/emotion/, a Hugging Face model."""
    return list(dict.fromkeys([*BUNDLED_EMOTION_MODELS, *sorted(_emotion_folders()), DEFAULT_CLASSIFIER]))


def emotion_model(name: str, neutral: Perceptions | None) -> EmotionModel:
    """Return the emotion model of that name, loaded once; if it sees the picture, it is on ComfyUI's device.

    If a neutral face is given, a bundled model measures emotions relative to it. Raises ValueError for a neutral
    perception without a face, for one with a model that cannot use it, and for a model that is not available.
    """
    if name not in BUNDLED_EMOTION_MODELS:
        if neutral is not None:
            raise InputError(
                f"neutral works only with the bundled emotion models, not with {name}: disconnect neutral, or set "
                f"emotion_model to {' or '.join(BUNDLED_EMOTION_MODELS)}"
            )
        folder = _emotion_folders().get(name) if isinstance(name, str) else None
        is_id = isinstance(name, str) and HUB_ID.fullmatch(name) and not Path(name).is_dir()
        if folder is None and not is_id:  # a graph cannot name other folders
            raise InputError(
                f"{name!r} is neither a folder in {Path(folder_paths.models_dir) / EMOTION_MODELS} that contains a "
                f"config.json, nor a Hugging Face model id such as {DEFAULT_CLASSIFIER}. Choose another emotion_model"
            )
        return _on_device(*_emotion_classifier(str(folder or name), _folder_state(folder)))
    if neutral is not None and not len(neutral):
        raise InputError("neutral contains no face: connect the perception of a picture with the person's neutral face")
    if name == FROM_PICTURE:
        return _picture_emotions(neutral)
    model = expression_model()
    return model if neutral is None else model.relative_to(neutral.landmarks[0], neutral.image_sizes[0])


def _picture_emotions(neutral: Perceptions | None) -> EmotionModel:
    """Return the bundled model that sees the picture, on ComfyUI's device, relative to the neutral face if given."""
    model = _on_device(*_face_expression())
    if neutral is None:
        return model
    if neutral.emotion_model != model.identity:
        raise InputError(
            f"the emotions of neutral come from {neutral.emotion_model}, not from {FROM_PICTURE}: set emotion_model to "
            f"{FROM_PICTURE} in the node that neutral comes from too, and connect nothing to neutral there"
        )
    return model.relative_to(neutral.emotions[0])


@lru_cache(maxsize=1)
def _face_expression() -> tuple[FaceExpressionModel, ModelPatcher]:
    loaded = _loaded(lambda: FaceExpressionModel(device=device()))
    return loaded, _managed(loaded.networks)


@lru_cache(maxsize=2)
def _emotion_classifier(source: str, state: str) -> tuple[TransformersEmotions, ModelPatcher]:
    loaded = _loaded(lambda: TransformersEmotions(source, device=device()))
    return loaded, _managed(loaded.networks)


def _emotion_folders() -> dict[str, Path]:
    """Return the folders with a model in models/emotion/ by name; if two have the same name, the first."""
    folders = [Path(folder) for folder in folder_paths.get_folder_paths(EMOTION_MODELS)]
    paths = [path.parent for folder in folders for path in sorted(folder.glob("*/config.json"))]
    return {folder.name: folder for folder in reversed(paths)}


def _folder_state(folder: Path | None) -> str:
    """Return a text that changes whenever a file in the folder does."""
    return " ".join(map(file_state, sorted(folder.iterdir()) if folder else []))


def file_state(path: Path | None) -> str:
    """Return a text that changes whenever the file does; None stands for a missing file."""
    return "missing" if path is None else "{0.st_mtime_ns} {0.st_size}".format(path.stat())


@lru_cache(maxsize=1)
def expression_model() -> ExpressionModel:
    """Return the bundled expression model on the CPU, where perceptions are; it is read when first needed."""
    return _loaded(ExpressionModel.load)


@lru_cache(maxsize=1)
def action_model() -> ActionModel:
    """Return the bundled action model on the CPU; it is read when first needed."""
    return _loaded(ActionModel.load)


@lru_cache(maxsize=1)
def action_basis() -> ActionBasis:
    """Return the bundled action basis on the CPU; it is read when first needed."""
    return _loaded(ActionBasis.load)


@lru_cache(maxsize=1)
def expression_reader() -> ExpressionReader:
    """Return the reader of expressions on the CPU."""
    return ExpressionReader(expression_model(), action_model())


def datasets_folder() -> Path:
    """Return the folder for datasets. Faces are personal data: ComfyUI serves nothing from this folder over HTTP.

    ComfyUI excludes names that start with two underscores from its user-data routes, and no user's folder has such a
    name.
    """
    return Path(folder_paths.get_user_directory()) / "__perception_clip" / "datasets"


def datasets() -> dict[str, Path]:
    """Return the datasets in that folder by name."""
    return {path.stem: path for path in sorted(datasets_folder().glob("*.db"))}


def dataset_state(name: str) -> str:
    """Return a text that changes whenever the dataset does; the last rows may still be in its write-ahead log."""
    path = datasets().get(name)
    log = None if path is None else path.with_name(f"{path.name}-wal")
    return f"{file_state(path)} {file_state(log if log is not None and log.exists() else None)}"


def perceptions_folder() -> Path:
    """Return the folder for saved faces: they are personal data too, so it is next to the datasets."""
    return datasets_folder().with_name("perceptions")


def videos_folder() -> Path:
    """Return the folder for videos while a graph uses them: they are personal data too."""
    return datasets_folder().with_name("videos")


def progress(total: int, picture: Callable[[], Image.Image] | None = None) -> Callable[[int], None]:
    """Return a progress bar on the running node; calling it with the amount done also stops a canceled run.

    `picture` is drawn at most every `PICTURE_SECONDS` and shown below the node.
    """
    bar = comfy.utils.ProgressBar(total)
    last_drawn = -PICTURE_SECONDS

    def update(done: int) -> None:
        nonlocal last_drawn
        stop_if_cancelled()
        preview = None
        if picture is not None and time.monotonic() - last_drawn >= PICTURE_SECONDS:
            preview, last_drawn = ("PNG", picture(), None), time.monotonic()
        bar.update_absolute(done, preview=preview)

    return update


def stop_if_cancelled() -> bool:
    """Return False, or raise ComfyUI's own exception, once, if the user has canceled the run."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    return False


@contextmanager
def training() -> Iterator[str]:
    """Enable training in the block, as ComfyUI runs its nodes without gradients; yield the device.

    Tensors created before the block, in inference mode, must not be used for training.
    """
    device = comfy.model_management.get_torch_device()
    if device.type == "cuda":
        comfy.model_management.free_memory(FREED, device)
    with torch.inference_mode(False), torch.enable_grad():
        yield str(device)


def note(text: str, on_node: str | None = None) -> dict[str, Any]:
    """Return a node's message as its `ui` entry: ComfyUI's history keeps `text`, and web/notes.js shows `on_node` (or
    else `text`) on the node.
    """
    return {"text": [text], "note": [text if on_node is None else on_node]}


def frames_of(video: Any) -> Video | VideoInMemory:
    """Return a graph's VIDEO for reading frame by frame: the part of its file it is trimmed to, or from memory."""
    if not hasattr(video, "get_components"):
        kind = "null" if video is None else type(video).__name__
        raise InputError(f"video must be a VIDEO, got {kind}; connect the VIDEO output of a node such as Load Video")
    if not isinstance(video, InputImpl.VideoFromFile):
        components = video.get_components()
        return VideoInMemory(components.images, float(components.frame_rate))
    source = video.get_stream_source()
    start, duration = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    return Video(source if isinstance(source, BytesIO) else Path(source), start=start, duration=duration)


def as_video(path: str) -> Any:
    """Return a video file as ComfyUI's VIDEO, which keeps a reference to `path` as long as it exists."""
    return InputImpl.VideoFromFile(path)


def nothing(output: str, other: str) -> Any:
    """Return a block for an output without a value: nodes connected to it do not run, and the user sees why."""
    return ExecutionBlocker(
        f"Draw Perception has no {output} because its {other} input is connected. Use its {other} output"
    )


def as_image(picture: Image.Image) -> Tensor:
    """Return an RGB picture as ComfyUI's IMAGE, (1, H, W, 3) float32, 0…1."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]


def preview(pictures: Tensor | list[Tensor]) -> dict[str, Any]:
    """Return pictures (H, W, 3) in 0…1 as a `ui` entry, shown on the node; at most the first `PREVIEWS`."""
    if len(pictures) == 0:
        return {"images": []}
    return {"images": ui.PreviewImage(pictures[:PREVIEWS]).as_dict()["images"]}


def model_folders() -> list[Path]:
    """Return ComfyUI's folders for projection checkpoints; new ones go into the first."""
    return list(map(Path, folder_paths.get_folder_paths(MODELS)))


def vocabularies() -> dict[str, Path]:
    """Return the vocabularies by name: the pack's own, and files `vocabulary*.json` in the folders above.

    A file with the name of the pack's own replaces it; of two with the same name, the first is used.
    """
    paths = [path for folder in model_folders() for path in sorted(folder.glob("vocabulary*.json"))]
    return {SHIPPED.name: SHIPPED} | {path.name: path for path in reversed(paths)}


def device() -> str:
    """Return the device that models run on."""
    return str(comfy.model_management.get_torch_device())
