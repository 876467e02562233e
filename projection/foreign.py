"""Projection checkpoints of other origin: the bare `state_dict` of someone's own script, rebuilt from its shapes.

Such a file holds layers 1441 → … → 768 and nothing else: not its activation, nor what it was trained on. The layers
may be linear, layer norms or batch norms, in the file's order; a ReLU is assumed before every linear layer but the
first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..common import threads
from ..common.words import counted
from ..perception.editing.edit import edit
from ..perception.emotions.expression import ExpressionModel
from ..perception.vector import DIM, Perceptions, validate
from .checkpoint import Metadata
from .checkpoint_file import CheckpointError
from .spaces import SD15, Space

BATCH_NORM = {"weight", "bias", "running_mean", "running_var"}
COUNTER = "num_batches_tracked"  # of a batch norm; says nothing of what it does


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A projection in the sd15 space, of which only the weights are known; see checkpoint.Checkpoint."""

    network: nn.Sequential
    metadata: Metadata
    description: str  # its layers, in words

    @property
    def space(self) -> Space:
        return SD15

    @threads.single
    @torch.inference_mode()
    def project(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        """Perceptions (N, 1441) → CLIP vectors (N, 768) float32, on the CPU; the pictures' sizes are not looked at."""
        projected: Tensor = self.network(validate(vectors))
        return projected

    def neutral_of(self, perceptions: Perceptions) -> Tensor:
        """Where the same faces would project to (N, 768), were they neutral.

        The raw numbers that such a network sees tell of place and person, too; so nothing but the expression differs.
        """
        neutral = edit(perceptions, {"neutral": 1.0}, 1.0, ExpressionModel.load())
        return self.project(neutral.vectors, neutral.image_sizes)


def rebuild(path: Path, tensors: Mapping[str, Tensor]) -> ForeignCheckpoint:
    """The network that a bare state_dict describes.

    Raises CheckpointError, naming what does not fit, if it is not one chain of known layers from 1441 numbers to 768.
    """
    layers: list[nn.Module] = []
    problems, width = [], DIM
    for name, leaves in _modules(tensors):
        layer = _layer(leaves)
        if layer is None:
            problems.append(f"{name}: {_shapes(leaves)} is no linear layer, layer norm or batch norm")
            continue
        taken, given = _widths(layer)
        if taken != width:
            problems.append(f"{name} takes {counted(taken, 'number')} where {width:,} come")
        if isinstance(layer, nn.Linear) and any(isinstance(other, nn.Linear) for other in layers):
            layers.append(nn.ReLU())
        layers.append(layer)
        width = given
    if width != SD15.width:
        problems.append(f"it ends in {counted(width, 'number')}, not in {SD15.width}")
    if not any(isinstance(layer, nn.Linear) for layer in layers):
        problems.append("it has no linear layer")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        problems.append("it holds NaN or infinite weights")
    if problems:
        raise CheckpointError(
            f"{path}: not a checkpoint of this pack, and not a chain of linear layers {DIM} → … → {SD15.width} either: "
            f"{'; '.join(problems)}. Train one with `python -m training train`"
        )
    widths = [DIM, *(layer.out_features for layer in layers if isinstance(layer, nn.Linear))]
    description = f"linear layers {' → '.join(map(str, widths))}, ReLU between them assumed"
    return ForeignCheckpoint(nn.Sequential(*layers).train(False), Metadata(made_by="another script"), description)


def _modules(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Names of modules and their tensors; of a safetensors file, which sorts by letters, numbers in their order."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, leaf = key.rpartition(".")
        modules.setdefault(name, {})[leaf] = tensor
    if list(modules) == sorted(modules):
        modules = dict(sorted(modules.items(), key=lambda item: _natural(item[0])))
    yield from modules.items()


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _layer(leaves: Mapping[str, Tensor]) -> nn.Module | None:
    """The layer with these tensors, or None."""
    kinds = {leaf: tensor.ndim for leaf, tensor in leaves.items() if leaf != COUNTER}
    layer: nn.Module
    if kinds in ({"weight": 2, "bias": 1}, {"weight": 2}):
        given, taken = leaves["weight"].shape
        layer = nn.Linear(taken, given, bias="bias" in kinds, device="meta")
    elif kinds == {"weight": 1, "bias": 1}:
        layer = nn.LayerNorm(len(leaves["weight"]), device="meta")
    elif kinds == dict.fromkeys(BATCH_NORM, 1):
        layer = nn.BatchNorm1d(len(leaves["weight"]), device="meta")
    else:
        return None
    weights = {leaf: tensor if leaf == COUNTER else tensor.float() for leaf, tensor in leaves.items()}
    try:
        layer.load_state_dict(weights, assign=True)
    except RuntimeError:  # a bias of another length, and the like
        return None
    return layer


def _widths(layer: nn.Module) -> tuple[int, int]:
    """How many numbers it takes and gives."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    [weight, *_] = layer.parameters()
    return len(weight), len(weight)


def _shapes(leaves: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{leaf} {tuple(tensor.shape)}" for leaf, tensor in leaves.items())
