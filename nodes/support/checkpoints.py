"""The projection checkpoints that nodes list, load and write."""

from __future__ import annotations

import logging
from collections import Counter
from functools import lru_cache
from pathlib import Path

import torch

from ...common.errors import InputError
from ...common.files import is_name
from ...perception.vector import Perceptions
from ...projection.checkpoint import DEFAULT_FOLDER, Checkpoint, find
from ...projection.checkpoint_file import CheckpointError
from ...projection.face_vectors import FaceVectors
from ...projection.opening import Projection, open_projection
from . import host
from .schema import FROM_LINK

LONGEST_NAME = 60  # characters of a checkpoint's name

log = logging.getLogger(__name__)


def listed() -> dict[str, Path]:
    """Return the projection checkpoints by name, `best_model` first: the pack's folder, then ComfyUI's models."""
    folders = [DEFAULT_FOLDER, *host.model_folders()]
    return find(folders)


def state(name: str) -> str:
    """Return a text that changes whenever the checkpoint's file does."""
    return host.file_state(listed().get(name))


def new_path(name: str) -> Path:
    """Return the path for the checkpoint `name` (name.safetensors); an existing file there is to be replaced.

    Raises CheckpointError if the name is not a valid file name, or if a checkpoint in another folder has the same name:
    that one is listed first and would continue to be used.
    """
    plain = name.strip().removesuffix(".safetensors")
    if not is_name(plain, LONGEST_NAME):
        raise CheckpointError(
            f"{name!r} is not a valid checkpoint name. Use up to {LONGEST_NAME} letters, digits, spaces, dots, dashes "
            "and underscores, starting with a letter, digit or underscore and not ending with a dot or a space, such "
            "as 'my_projection'"
        )
    path = host.model_folders()[0] / f"{plain}.safetensors"
    existing = listed().get(path.name, path)
    if existing != path:
        raise CheckpointError(
            f"A checkpoint named {path.name} already exists in {existing.parent} and would be used instead of one in "
            f"{path.parent}. Choose another name, or move that file there"
        )
    return path


def mark_written(name: str) -> None:
    """Record that a node has just written the checkpoint of that name; see `external_changes`."""
    _written[name] = state(name)


def external_changes(name: str) -> int:
    """Return how often something else changed or removed a checkpoint that a node wrote; the node then runs again."""
    plain = name.strip().removesuffix(".safetensors") + ".safetensors"
    if plain in _written and _written[plain] != state(plain):
        del _written[plain]
        _changes[plain] += 1
    return _changes[plain]


_written: dict[str, str] = {}
_changes: Counter[str] = Counter()


def load(name: str) -> Projection:
    """Return the projection of that name, on the CPU; each version of its file is read once.

    Raises CheckpointError, with a remedy, if there is no checkpoint of that name or if it cannot be used.
    """
    paths = listed()
    if not isinstance(name, str) or name not in paths:
        others = f"Choose one of these: {', '.join(paths)}. Or train" if paths else "Train"
        problem = f"There is no projection checkpoint named {name!r}"
        if name == FROM_LINK:
            problem = "No projection checkpoint is chosen, and nothing is connected to checkpoint_name"
        raise CheckpointError(
            f"{problem}. {others} a first one from your Stable Diffusion 1.5 or XL checkpoint, without any data of "
            f"your own: queue Starter Projection with its CLIP, or open a terminal in {DEFAULT_FOLDER.parents[1]} and "
            "run, with ComfyUI's Python,\n"
            "python -m training starter --text-encoder PATH/TO/YOUR_CHECKPOINT.safetensors\n"
            "(for XL, add --space sdxl)\n"
            f"or copy a checkpoint (.safetensors, .pth, .pt, .ckpt or .bin) into {host.model_folders()[0]}. Then press "
            "R in ComfyUI to refresh the list and choose the checkpoint in this node."
        )
    return _load(paths[name], state(name))


def load_trainable(name: str) -> Checkpoint:
    """Return the checkpoint of that name if it was trained by this pack; raise CheckpointError otherwise."""
    projection = load(name)
    if not isinstance(projection, Checkpoint):
        raise CheckpointError(
            f"{name} was not trained by this pack, so it cannot be used as a starting point. Set init to another "
            "checkpoint, or to none"
        )
    return projection


@lru_cache(maxsize=4)
def _load(path: Path, state: str) -> Projection:
    with torch.inference_mode(False):
        projection = open_projection(path)
    log.info("Perception CLIP: loaded %s", path)
    return projection


def project(projection: Projection, perceptions: Perceptions) -> tuple[FaceVectors, FaceVectors]:
    """Return the projections of N faces and of their neutral versions, float32 on the CPU.

    Raises ValueError if any of the numbers is not finite: the landmarks then do not form a valid face.
    """
    vectors = projection.project(perceptions.vectors, perceptions.image_sizes)
    neutral = projection.neutral_of(perceptions)
    bad = (~(vectors.joined.isfinite() & neutral.joined.isfinite()).all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        raise InputError(
            f"face {bad[0]} (counted from 0) cannot be projected: its landmarks do not form a valid face. Exclude it"
        )
    return vectors, neutral
