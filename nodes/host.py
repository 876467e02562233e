"""All that the nodes need of ComfyUI beyond its node API: folders, models, devices, progress, text on a node.

No other file imports ComfyUI's modules. Models are loaded when first needed and kept, so that queueing a graph
again loads nothing.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import InputImpl, ui
from comfy_execution.utils import get_executing_context
from PIL import Image
from server import PromptServer
from torch import Tensor

from ..perception import mediapipe_landmarker
from ..perception.emotion_classifier import DEFAULT as DEFAULT_CLASSIFIER
from ..perception.emotion_classifier import HUB_ID, TransformersEmotions
from ..perception.engines import BUNDLED, EmotionModel, Landmarker
from ..perception.expression import ExpressionModel
from ..perception.landmarker import BundledLandmarker
from ..perception.names import is_name
from ..perception.vector import Perceptions
from ..perception.videos import Video, VideoInMemory
from ..projection import checkpoint as projection
from ..training.encoders import PROBE
from ..training.samples import EMBEDDING, SD15

MEDIAPIPE_MODELS, EMOTION_MODELS = "mediapipe", "emotion"  # folders below ComfyUI's models/, and their keys
MODELS = "perception_clip"  # the folder below ComfyUI's models/, and its key in extra_model_paths.yaml
NO_CHECKPOINT = "no checkpoint yet"
LONGEST_NAME = 60  # characters of a checkpoint's name
FREED = 1 << 30  # bytes of a graphics card's memory that training wants free, beside ComfyUI's models
PICTURE_SECONDS = 0.5  # from one picture of a node's progress to the next
END = 49407  # CLIP's token for the end of the text
PROMPTS_AT_ONCE = 16  # encoded before a cancelled run can stop
KNOWN_PROMPTS = 4096  # whose vectors are kept, of each CLIP, 3 kB each
TOKENS = 75  # of a prompt that its text vector tells of, beside the start and the end
PREVIEWS = 16  # a preview is for looking at: of a long batch, the first pictures

log = logging.getLogger(__name__)


def register_folders() -> None:
    """Tell ComfyUI of the pack's folders in models/, beside those that extra_model_paths.yaml gives."""
    for name in (MODELS, MEDIAPIPE_MODELS, EMOTION_MODELS):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))


def landmarker(engine: str, detector: str, min_confidence: float) -> Landmarker:
    """One of engines.LANDMARKERS, on ComfyUI's device, loaded once for each choice of options."""
    if engine == BUNDLED:
        return _bundled_landmarker(detector, min_confidence, str(comfy.model_management.get_torch_device()))
    folders = [Path(folder) for folder in folder_paths.get_folder_paths(MEDIAPIPE_MODELS)]
    return mediapipe_landmarker.open_landmarker(mediapipe_landmarker.find_task(folders), min_confidence=min_confidence)


@lru_cache(maxsize=4)
def _bundled_landmarker(detector: str, min_confidence: float, device: str) -> BundledLandmarker:
    with torch.inference_mode(False):  # ordinary tensors, usable wherever the models are used later
        loaded = BundledLandmarker(device=device, detector=detector, min_confidence=min_confidence)
    log.info("Perception CLIP: loaded %s", loaded.identity)
    return loaded


def emotion_models() -> list[str]:
    """What `emotion_model` takes: the bundled one, each folder in models/emotion/, the usual Hugging Face model."""
    return list(dict.fromkeys([BUNDLED, *sorted(_emotion_folders()), DEFAULT_CLASSIFIER]))


def emotion_model(name: str, neutral: Perceptions | None) -> EmotionModel:
    """The emotion model of that name on ComfyUI's device, loaded once; relative to a neutral face if one is given.

    Raises ValueError for a neutral perception without a face, or with a model that cannot use one, and for a model
    that is not to be had.
    """
    device = str(comfy.model_management.get_torch_device())
    if name != BUNDLED:
        if neutral is not None:
            raise ValueError(f"neutral goes with the bundled emotion model only, not with {name}: unlink one of them")
        folder = _emotion_folders().get(name)
        if folder is None and (Path(name).is_dir() or not HUB_ID.fullmatch(name)):  # a graph names no other places
            raise ValueError(
                f"{name!r} is neither a folder in {Path(folder_paths.models_dir) / EMOTION_MODELS}, with a model's "
                f"config.json in it, nor the id of a model on the Hugging Face hub, as {DEFAULT_CLASSIFIER}"
            )
        return _emotion_classifier(str(folder or name), _folder_state(folder), device)
    model = _bundled_emotions(device)
    if neutral is None:
        return model
    if not len(neutral):
        raise ValueError("neutral holds no face: link the perception of a picture with the person's neutral face")
    return model.relative_to(neutral.landmarks[0], neutral.image_sizes[0])


@lru_cache(maxsize=2)
def _bundled_emotions(device: str) -> ExpressionModel:
    with torch.inference_mode(False):
        loaded = ExpressionModel.load(device=device)
    log.info("Perception CLIP: loaded %s", loaded.identity)
    return loaded


@lru_cache(maxsize=2)
def _emotion_classifier(source: str, state: str, device: str) -> EmotionModel:
    with torch.inference_mode(False):
        loaded = TransformersEmotions(source, device=device)
    log.info("Perception CLIP: loaded %s", loaded.identity)
    return loaded


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
    return _bundled_emotions("cpu")


def checkpoints() -> dict[str, Path]:
    """The projection checkpoints by name, `best_model` first: the pack's own folder, then ComfyUI's models."""
    folders = [projection.DEFAULT_FOLDER, *map(Path, folder_paths.get_folder_paths(MODELS))]
    return projection.find(folders)


def checkpoint_state(name: str) -> str:
    """Changes whenever the checkpoint's file does; equal for equal files."""
    return file_state(checkpoints().get(name))


def new_checkpoint(name: str) -> Path:
    """Where a node writes the checkpoint `name` (name.safetensors); one that is there already is meant to be replaced.

    Raises CheckpointError for a name that is no file name, or that another folder's checkpoint has, which is listed
    first and would go on being used.
    """
    plain = name.strip().removesuffix(".safetensors")
    if not is_name(plain, LONGEST_NAME):
        raise projection.CheckpointError(
            f"{name!r} cannot be a checkpoint's name. Use up to {LONGEST_NAME} letters, digits, spaces, dots, dashes "
            "and underscores, beginning with a letter and not ending with a dot or a space: 'my_projection'"
        )
    path = Path(folder_paths.get_folder_paths(MODELS)[0]) / f"{plain}.safetensors"
    listed = checkpoints().get(path.name, path)
    if listed != path:
        raise projection.CheckpointError(
            f"There is a checkpoint {path.name} in {listed.parent} already, and it would be used instead of one in "
            f"{path.parent}. Give another name, or move that file there"
        )
    return path


def written(name: str) -> None:
    """Remember the checkpoint of that name as a node has just written it; see `changes`."""
    _written[name] = checkpoint_state(name)


def changes(name: str) -> int:
    """How often the checkpoint that a node wrote was changed or removed by others: then the node has to run again."""
    plain = name.strip().removesuffix(".safetensors") + ".safetensors"
    if plain in _written and _written[plain] != checkpoint_state(plain):
        del _written[plain]
        _changes[plain] += 1
    return _changes[plain]


_written: dict[str, str] = {}
_changes: Counter[str] = Counter()


def checkpoint(name: str, device: str | None = None) -> projection.Checkpoint:
    """The checkpoint of that name on the device, ComfyUI's if not given, read once for each version of its file.

    Raises CheckpointError, with the remedy, when there is none of that name or it cannot be used.
    """
    found = checkpoints()
    if name not in found:
        others = f"Choose one of these: {', '.join(found)}. Or make" if found else "Make"
        raise projection.CheckpointError(
            f"There is no projection checkpoint named {name!r}. {others} a first one from your Stable Diffusion "
            "1.5 checkpoint, without any data of your own: queue Starter Projection with its CLIP, or open a terminal "
            f"in {projection.DEFAULT_FOLDER.parents[1]} and run, with ComfyUI's Python,\n"
            "python -m training starter --text-encoder PATH/TO/YOUR_SD15.safetensors\n"
            f"or put a .safetensors or .pth checkpoint into {_models_folder()}. Then press R in ComfyUI to "
            "refresh the list and choose it in this node."
        )
    return _checkpoint(found[name], checkpoint_state(name), device or str(comfy.model_management.get_torch_device()))


@lru_cache(maxsize=4)
def _checkpoint(path: Path, state: str, device: str) -> projection.Checkpoint:
    with torch.inference_mode(False):
        loaded = projection.load(path, device=device)
    log.info("Perception CLIP: loaded %s", path)
    return loaded


@dataclass(frozen=True)
class ClipEncoder:
    """A graph's CLIP as a text encoder of Stable Diffusion 1.5's text space (see training/encoders.py)."""

    clip: Any
    fingerprint: Tensor  # (768,) its vector for the probe sentence
    dim: int = EMBEDDING
    space: str = SD15
    shows_progress: bool = False  # on the running node, while it encodes

    @property
    def identity(self) -> str:
        """Names the weights as far as they can be told apart: by what they make of the probe sentence."""
        digest = hashlib.sha256(self.fingerprint.numpy().tobytes()).hexdigest()
        return f"comfyui-clip:{digest[:16]}"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (N, 768) float32 on the CPU: the end-of-text state after the final layer norm."""
        known = _known.setdefault(self.clip, {})
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        update = progress(len(new)) if self.shows_progress else None
        for start in range(0, len(new), PROMPTS_AT_ONCE):
            part = new[start : start + PROMPTS_AT_ONCE]
            known |= dict(zip(part, _text_vectors(self.clip, part), strict=True))
            if update is not None:
                update(start + len(part))
        vectors = [known[prompt] for prompt in prompts]
        while len(known) > KNOWN_PROMPTS:
            del known[next(iter(known))]  # the oldest
        return torch.stack(vectors) if vectors else torch.empty(0, EMBEDDING)

    def extras(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Nothing: the sd15 space has no further vectors."""
        return {}

    def showing_progress(self) -> ClipEncoder:
        """The same; encoding then shows a progress bar on the running node, and stops when the run is cancelled."""
        return replace(self, shows_progress=True)

    def is_cut(self, prompt: str) -> bool:
        """Whether the prompt is longer than `TOKENS`: ComfyUI encodes it in parts, and the first is its vector."""
        return len(self.clip.tokenize(prompt)["l"]) > 1


def encoder(clip: Any) -> ClipEncoder:
    """Wrap a graph's CLIP; the probe sentence is encoded once for each CLIP object.

    Raises ValueError for a CLIP of another family than Stable Diffusion 1.5's.
    """
    known = _known.setdefault(clip, {})
    if PROBE not in known:
        [known[PROBE]] = _text_vectors(clip, [PROBE])
    return ClipEncoder(clip, known[PROBE])


_known: WeakKeyDictionary[Any, dict[str, Tensor]] = WeakKeyDictionary()  # of each CLIP, prompt → (768,)


def _text_vectors(clip: Any, prompts: Sequence[str]) -> Tensor:
    """Prompts → (N, 768) float32 on the CPU, encoded together as if they were the parts of one long prompt.

    Of parts, ComfyUI gives the vector of the first and the states of all. The others' vectors are their states at the
    end of the text, if that is so of the first; it is not with CLIP Set Last Layer, and then each is encoded alone.
    """
    parts = [clip.tokenize(prompt) for prompt in prompts]
    if all(set(tokens) == {"l"} for tokens in parts):
        first = [tokens["l"][0] for tokens in parts]  # of a prompt beyond 77 tokens its beginning
        states, pooled = clip.encode_from_tokens({"l": first}, return_pooled="unprojected")
        if pooled is not None and pooled.shape == (1, EMBEDDING):
            if len(prompts) == 1:
                alone: Tensor = pooled.to(device="cpu", dtype=torch.float32, copy=True)
                return alone
            ends = [_end(part) for part in first]
            vectors: Tensor = states.view(len(first), -1, EMBEDDING)[range(len(first)), ends].to("cpu", torch.float32)
            if torch.allclose(vectors[:1], pooled.to(vectors), atol=1e-3):
                return vectors
            return torch.cat([_text_vectors(clip, [prompt]) for prompt in prompts])
    raise ValueError(
        "This CLIP is not Stable Diffusion 1.5's, so its text vectors are of another kind. Connect the CLIP "
        "of a Stable Diffusion 1.5 checkpoint (CheckpointLoaderSimple), or CLIP ViT-L/14 loaded with CLIPLoader. "
        "For Stable Diffusion XL, make the dataset outside ComfyUI: python -m training build --space sdxl"
    )


def _end(part: Sequence[tuple[Any, ...]]) -> int:
    """Where the text ends in a prompt's tokens; some may be vectors, of embeddings that the user has loaded."""
    return next(place for place, (token, *_) in enumerate(part) if isinstance(token, int) and token == END)


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

    ComfyUI's own random numbers go on afterwards as if nothing had been drawn. Tensors made before the block, in
    inference mode, must not be trained with.
    """
    device = comfy.model_management.get_torch_device()
    if device.type == "cuda":
        comfy.model_management.free_memory(FREED, device)
    drawn_on = [device] if device.type == "cuda" else []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(drawn_on):
        yield str(device)


def note(text: str) -> dict[str, Any]:
    """Show `text` on the running node, in the browser that queued it; return it as a node's `ui` entry.

    The front end renders the text as HTML, and names in it may come from a stranger's file: it is escaped.
    """
    context, server = get_executing_context(), PromptServer.instance
    if context is not None and server.client_id is not None:
        server.send_progress_text(escape(text, quote=False), context.node_id, server.client_id)
    return {"text": [text]}


def frames_of(video: Any) -> Video | VideoInMemory:
    """A graph's VIDEO, frame by frame: read from its file, in the part that it is cut to, or taken from memory."""
    if not isinstance(video, InputImpl.VideoFromFile):
        components = video.get_components()
        return VideoInMemory(components.images, float(components.frame_rate))
    source = video.get_stream_source()
    start, duration = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    return Video(source if isinstance(source, BytesIO) else Path(source), start=start, duration=duration)


def as_video(content: BytesIO) -> Any:
    """A video file in memory as ComfyUI's VIDEO."""
    return InputImpl.VideoFromFile(content)


def preview(pictures: Tensor) -> dict[str, Any]:
    """Pictures (B, H, W, 3) as a node's `ui` entry, shown on the node; of many, the first `PREVIEWS`."""
    if len(pictures) == 0:
        return {"images": []}
    return {"images": ui.PreviewImage(pictures[:PREVIEWS]).as_dict()["images"]}


def _models_folder() -> Path:
    return Path(folder_paths.models_dir) / MODELS
