"""All that the nodes need of ComfyUI beyond its node API: folders, models, devices, progress, text on a node.

No other file imports ComfyUI's modules. Models are loaded when first needed and kept, so that queueing a graph
again loads nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

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
from ...perception.emotions.classifier import DEFAULT as DEFAULT_CLASSIFIER
from ...perception.emotions.classifier import HUB_ID, TransformersEmotions
from ...perception.emotions.expression import ExpressionModel
from ...perception.engines import BUNDLED, EmotionModel, Landmarker
from ...perception.landmarks import mediapipe
from ...perception.landmarks.bundled import BundledLandmarker
from ...perception.sequences.videos import Video, VideoInMemory
from ...perception.vector import Perceptions

MEDIAPIPE_MODELS, EMOTION_MODELS = "mediapipe", "emotion"  # folders below ComfyUI's models/, and their keys
MODELS = "perception_clip"  # the folder below ComfyUI's models/, and its key in extra_model_paths.yaml
FREED = 1 << 30  # bytes of a graphics card's memory that training wants free, beside ComfyUI's models
PICTURE_SECONDS = 0.5  # from one picture of a node's progress to the next
PREVIEWS = 16  # a preview is for looking at: of a long batch, the first pictures

log = logging.getLogger(__name__)
Model = TypeVar("Model")


def register_folders() -> None:
    """Tell ComfyUI of the pack's folders in models/, beside those that extra_model_paths.yaml gives."""
    for name in (MODELS, MEDIAPIPE_MODELS, EMOTION_MODELS):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))


def landmarker(engine: str, detector: str) -> Landmarker:
    """One of engines.LANDMARKERS, loaded once, on ComfyUI's device."""
    if engine == BUNDLED:
        return _on_device(*_bundled_landmarker(detector))
    folders = [Path(folder) for folder in folder_paths.get_folder_paths(MEDIAPIPE_MODELS)]
    return mediapipe.open_landmarker(mediapipe.find_task(folders))


@lru_cache(maxsize=3)
def _bundled_landmarker(detector: str) -> tuple[BundledLandmarker, ModelPatcher]:
    with torch.inference_mode(False):  # ordinary tensors, usable wherever the models are used later
        loaded = BundledLandmarker(device=device(), detector=detector)
    log.info("Perception CLIP: loaded %s", loaded.identity)
    return loaded, _managed(loaded.networks)


def _managed(networks: nn.Module) -> ModelPatcher:
    """Hand networks over to ComfyUI's memory management, which counts them and takes them off the device."""
    return ModelPatcher(
        networks, load_device=comfy.model_management.get_torch_device(), offload_device=torch.device("cpu")
    )


def _on_device(model: Model, networks: ModelPatcher) -> Model:
    """The model, with its networks on ComfyUI's device, wherever they were before."""
    comfy.model_management.load_models_gpu([networks], force_full_load=True)
    return model


def emotion_models() -> list[str]:
    """What `emotion_model` takes: the bundled one, each folder in models/emotion/, the usual Hugging Face model."""
    return list(dict.fromkeys([BUNDLED, *sorted(_emotion_folders()), DEFAULT_CLASSIFIER]))


def emotion_model(name: str, neutral: Perceptions | None) -> EmotionModel:
    """The emotion model of that name, loaded once, an image classifier on ComfyUI's device; relative to a neutral face
    if one is given.

    Raises ValueError for a neutral perception without a face, or with a model that cannot use one, and for a model
    that is not to be had.
    """
    if name != BUNDLED:
        if neutral is not None:
            raise InputError(f"neutral goes with the bundled emotion model only, not with {name}: unlink one of them")
        folder = _emotion_folders().get(name) if isinstance(name, str) else None
        is_id = isinstance(name, str) and HUB_ID.fullmatch(name) and not Path(name).is_dir()
        if folder is None and not is_id:  # a graph names no other places
            raise InputError(
                f"{name!r} is neither a folder in {Path(folder_paths.models_dir) / EMOTION_MODELS}, with a model's "
                f"config.json in it, nor the id of a model on the Hugging Face hub, as {DEFAULT_CLASSIFIER}"
            )
        return _on_device(*_emotion_classifier(str(folder or name), _folder_state(folder)))
    model = _bundled_emotions()
    if neutral is None:
        return model
    if not len(neutral):
        raise InputError("neutral holds no face: link the perception of a picture with the person's neutral face")
    return model.relative_to(neutral.landmarks[0], neutral.image_sizes[0])


@lru_cache(maxsize=1)
def _bundled_emotions() -> ExpressionModel:
    with torch.inference_mode(False):
        loaded = ExpressionModel.load()
    log.info("Perception CLIP: loaded %s", loaded.identity)
    return loaded


@lru_cache(maxsize=2)
def _emotion_classifier(source: str, state: str) -> tuple[TransformersEmotions, ModelPatcher]:
    with torch.inference_mode(False):
        loaded = TransformersEmotions(source, device=device())
    log.info("Perception CLIP: loaded %s", loaded.identity)
    return loaded, _managed(loaded.networks)


def _emotion_folders() -> dict[str, Path]:
    """The folders with a model in models/emotion/, by name; of two with one name the first."""
    folders = [Path(folder) for folder in folder_paths.get_folder_paths(EMOTION_MODELS)]
    found = [path.parent for folder in folders for path in sorted(folder.glob("*/config.json"))]
    return {folder.name: folder for folder in reversed(found)}


def _folder_state(folder: Path | None) -> str:
    """Changes whenever a file in the folder does."""
    return " ".join(map(file_state, sorted(folder.iterdir()) if folder else []))


def file_state(path: Path | None) -> str:
    """Changes whenever the file does; equal for equal files. None is a missing one."""
    return "missing" if path is None else "{0.st_mtime_ns} {0.st_size}".format(path.stat())


def expression_model() -> ExpressionModel:
    """The bundled expression model on the CPU, where perceptions are; read when first needed."""
    return _bundled_emotions()


def datasets_folder() -> Path:
    """Where datasets grow. Faces are personal data: ComfyUI serves nothing of this folder over HTTP.

    Names with two underscores in front are what ComfyUI keeps from its own user-data routes, and no user's
    folder is called so.
    """
    return Path(folder_paths.get_user_directory()) / "__perception_clip" / "datasets"


def datasets() -> dict[str, Path]:
    """The datasets in that folder, by name."""
    return {path.stem: path for path in sorted(datasets_folder().glob("*.db"))}


def dataset_state(name: str) -> str:
    """Changes whenever the dataset does; what was appended last may still be in its write-ahead log."""
    path = datasets().get(name)
    log = None if path is None else path.with_name(f"{path.name}-wal")
    return f"{file_state(path)} {file_state(log if log is not None and log.exists() else None)}"


def perceptions_folder() -> Path:
    """Where saved faces lie: personal data, too, and so beside the datasets."""
    return datasets_folder().with_name("perceptions")


def videos_folder() -> Path:
    """Where videos lie while a graph uses them: personal data, too."""
    return datasets_folder().with_name("videos")


def progress(total: int, picture: Callable[[], Image.Image] | None = None) -> Callable[[int], None]:
    """A progress bar on the running node. Calling it with the amount done also stops a cancelled run.

    `picture` is drawn every `PICTURE_SECONDS` at most, and shown below the node.
    """
    bar = comfy.utils.ProgressBar(total)
    drawn = -PICTURE_SECONDS

    def update(done: int) -> None:
        nonlocal drawn
        stop_if_cancelled()
        preview = None
        if picture is not None and time.monotonic() - drawn >= PICTURE_SECONDS:
            preview, drawn = ("PNG", picture(), None), time.monotonic()
        bar.update_absolute(done, preview=preview)

    return update


def stop_if_cancelled() -> bool:
    """False; or ComfyUI's own exception, once, if the user has cancelled the run."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    return False


@contextmanager
def training() -> Iterator[str]:
    """Let the block train as it would outside ComfyUI, which runs its nodes without gradients; yields the device.

    Tensors made before the block, in inference mode, must not be trained with.
    """
    device = comfy.model_management.get_torch_device()
    if device.type == "cuda":
        comfy.model_management.free_memory(FREED, device)
    with torch.inference_mode(False), torch.enable_grad():
        yield str(device)


def note(text: str, on_node: str | None = None) -> dict[str, Any]:
    """What a node has to say, as its `ui` entry: `text` is kept in ComfyUI's history, and web/notes.js shows `on_node`
    (or `text`) on the node.
    """
    return {"text": [text], "note": [text if on_node is None else on_node]}


def frames_of(video: Any) -> Video | VideoInMemory:
    """A graph's VIDEO, frame by frame: read from its file, in the part that it is cut to, or taken from memory."""
    if not hasattr(video, "get_components"):
        kind = "null" if video is None else type(video).__name__
        raise InputError(f"video is a {kind}; link it to the video output of another node, as Load Video")
    if not isinstance(video, InputImpl.VideoFromFile):
        components = video.get_components()
        return VideoInMemory(components.images, float(components.frame_rate))
    source = video.get_stream_source()
    start, duration = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    return Video(source if isinstance(source, BytesIO) else Path(source), start=start, duration=duration)


def as_video(path: str) -> Any:
    """A video file as ComfyUI's VIDEO, which refers to `path` as long as it lives."""
    return InputImpl.VideoFromFile(path)


def nothing(output: str, other: str) -> Any:
    """For an output that a run does not have: nodes that are linked to it do not run, and the user is told."""
    return ExecutionBlocker(f"Draw Perception has no {output}: its {other} input is linked. Link its {other} output")


def as_image(picture: Image.Image) -> Tensor:
    """An RGB picture as ComfyUI's IMAGE, (1, H, W, 3) float32, 0…1."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None]


def preview(pictures: Tensor | list[Tensor]) -> dict[str, Any]:
    """Pictures (H, W, 3) in 0…1 as a node's `ui` entry, shown on the node; of many, the first `PREVIEWS`."""
    if len(pictures) == 0:
        return {"images": []}
    return {"images": ui.PreviewImage(pictures[:PREVIEWS]).as_dict()["images"]}


def model_folders() -> list[Path]:
    """ComfyUI's folders for projection checkpoints; new ones go into the first."""
    return list(map(Path, folder_paths.get_folder_paths(MODELS)))


def device() -> str:
    """Where models run."""
    return str(comfy.model_management.get_torch_device())
