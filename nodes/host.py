"""All that the nodes need of ComfyUI beyond its node API: folders, models, devices, progress, text on a node.

No other file imports ComfyUI's modules. Models are loaded when first needed and kept, so that queueing a graph
again loads nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import ui
from comfy_execution.utils import get_executing_context
from server import PromptServer
from torch import Tensor

from ..perception.expression import ExpressionModel
from ..perception.pipeline import PerceptionPipeline
from ..perception.selection import Selection
from ..projection import checkpoint as projection
from ..training.encoders import PROBE
from ..training.samples import EMBEDDING

MODELS = "perception_clip"  # the folder below ComfyUI's models/, and its key in extra_model_paths.yaml
NO_CHECKPOINT = "no checkpoint yet"
PREVIEWS = 16  # a preview is for looking at: of a long batch, the first pictures

log = logging.getLogger(__name__)


def register_folders() -> None:
    """Tell ComfyUI of models/perception_clip/, beside the folders that extra_model_paths.yaml gives."""
    folder_paths.add_model_folder_path(MODELS, str(_models_folder()))


def pipeline(max_faces: int, min_confidence: float) -> PerceptionPipeline:
    """The perception pipeline on ComfyUI's device, loaded once for each choice of options."""
    return _pipeline(max_faces, min_confidence, str(comfy.model_management.get_torch_device()))


@lru_cache(maxsize=4)
def _pipeline(max_faces: int, min_confidence: float, device: str) -> PerceptionPipeline:
    with torch.inference_mode(False):  # ordinary tensors, usable wherever the models are used later
        loaded = PerceptionPipeline(
            device=device, min_confidence=min_confidence, selection=Selection(max_faces=max_faces)
        )
    log.info("Perception CLIP: loaded %s and %s", loaded.landmarker.identity, loaded.emotion_model.identity)
    return loaded


@lru_cache(maxsize=1)
def expression_model() -> ExpressionModel:
    """The bundled expression model on the CPU, where perceptions are; read when first needed."""
    with torch.inference_mode(False):
        return ExpressionModel.load()


def checkpoints() -> dict[str, Path]:
    """The projection checkpoints by name, `best_model` first: the pack's own folder, then ComfyUI's models."""
    folders = [projection.DEFAULT_FOLDER, *map(Path, folder_paths.get_folder_paths(MODELS))]
    return projection.find(folders)


def checkpoint_state(name: str) -> str:
    """Changes whenever the checkpoint's file does; equal for equal files."""
    path = checkpoints().get(name)
    return "missing" if path is None else "{0.st_mtime_ns} {0.st_size}".format(path.stat())


def checkpoint(name: str) -> projection.Checkpoint:
    """The checkpoint of that name, read once for each version of its file.

    Raises CheckpointError, with the remedy, when there is none of that name or it cannot be used.
    """
    found = checkpoints()
    if name not in found:
        others = f"Choose one of these: {', '.join(found)}. Or make" if found else "Make"
        raise projection.CheckpointError(
            f"There is no projection checkpoint named {name!r}. {others} a first one from your Stable Diffusion "
            "1.5 checkpoint, without any data of your own: open a terminal in "
            f"{projection.DEFAULT_FOLDER.parents[1]} and run, with ComfyUI's Python,\n"
            "python -m training starter --text-encoder PATH/TO/YOUR_SD15.safetensors\n"
            f"or put a .safetensors or .pth checkpoint into {_models_folder()}. Then press R in ComfyUI to "
            "refresh the list and choose it in this node."
        )
    device = str(comfy.model_management.get_torch_device())
    return _checkpoint(found[name], checkpoint_state(name), device)


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

    @property
    def identity(self) -> str:
        """Names the weights as far as they can be told apart: by what they make of the probe sentence."""
        digest = hashlib.sha256(self.fingerprint.numpy().tobytes()).hexdigest()
        return f"comfyui-clip:{digest[:16]}"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (N, 768) float32 on the CPU: the end-of-text state after the final layer norm."""
        return torch.stack([_text_vector(self.clip, prompt) for prompt in prompts])


def encoder(clip: Any) -> ClipEncoder:
    """Wrap a graph's CLIP; the probe sentence is encoded once for each CLIP object.

    Raises ValueError for a CLIP of another family than Stable Diffusion 1.5's.
    """
    if clip not in _fingerprints:
        _fingerprints[clip] = _text_vector(clip, PROBE)
    return ClipEncoder(clip, _fingerprints[clip])


_fingerprints: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()


def _text_vector(clip: Any, prompt: str) -> Tensor:
    tokens = clip.tokenize(prompt)
    if set(tokens) == {"l"}:
        _, pooled = clip.encode_from_tokens(tokens, return_pooled="unprojected")
        if pooled is not None and pooled.shape == (1, EMBEDDING):
            vector: Tensor = pooled[0].to(device="cpu", dtype=torch.float32, copy=True)
            return vector
    raise ValueError(
        "This CLIP is not Stable Diffusion 1.5's, so its text vectors are of another kind. Connect the CLIP "
        "of a Stable Diffusion 1.5 checkpoint (CheckpointLoaderSimple), or CLIP ViT-L/14 loaded with CLIPLoader."
    )


def datasets_folder() -> Path:
    """Where datasets grow. Faces are personal data: ComfyUI serves nothing of this folder over HTTP.

    Names with two underscores in front are what ComfyUI keeps from its own user-data routes, and no user's
    folder is called so.
    """
    return Path(folder_paths.get_user_directory()) / "__perception_clip" / "datasets"


def perceptions_folder() -> Path:
    """Where saved faces lie: personal data, too, and so beside the datasets."""
    return datasets_folder().with_name("perceptions")


def progress(total: int) -> Callable[[int], None]:
    """A progress bar on the running node. Calling it with the amount done also stops a cancelled run."""
    bar = comfy.utils.ProgressBar(total)

    def update(done: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done)

    return update


def note(text: str) -> dict[str, Any]:
    """Show `text` on the running node, in the browser that queued it; return it as a node's `ui` entry.

    The front end renders the text as HTML, and names in it may come from a stranger's file: it is escaped.
    """
    context, server = get_executing_context(), PromptServer.instance
    if context is not None and server.client_id is not None:
        server.send_progress_text(escape(text, quote=False), context.node_id, server.client_id)
    return {"text": [text]}


def preview(pictures: Tensor) -> dict[str, Any]:
    """Pictures (B, H, W, 3) as a node's `ui` entry, shown on the node; of many, the first `PREVIEWS`."""
    if len(pictures) == 0:
        return {"images": []}
    return {"images": ui.PreviewImage(pictures[:PREVIEWS]).as_dict()["images"]}


def _models_folder() -> Path:
    return Path(folder_paths.models_dir) / MODELS
