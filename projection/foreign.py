"""Rebuild projections from checkpoints of other origin: the bare `state_dict` saved by another script.

Such a file contains layers 1441 → … → 768 and nothing else: neither the activation nor the training data. The layers
may be linear layers, layer norms or batch norms, in the order of the file; a ReLU is assumed before every linear layer
except the first.
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
from ..perception.vector import PERCEPTION_DIM, Perceptions, validate
from .checkpoint import Metadata
from .checkpoint_file import CheckpointError
from .face_vectors import FaceVectors
from .spaces import SD15, Space

BATCH_NORM = {"weight", "bias", "running_mean", "running_var"}
COUNTER = "num_batches_tracked"  # of a batch norm; has no effect on its output


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A projection into the sd15 space of which only the weights are known; see checkpoint.Checkpoint."""

    network: nn.Sequential
    metadata: Metadata
    description: str  # its layers, in words
    has_subject = False  # its 768 numbers are those of the end of the text

    @property
    def space(self) -> Space:
        return SD15

    @threads.single
    @torch.inference_mode()
    def project(self, vectors: Tensor, image_sizes: Tensor) -> FaceVectors:
        """Return the CLIP vectors, float32 on the CPU, of perceptions (N, 1441); picture sizes are ignored."""
        return FaceVectors(self.network(validate(vectors)))

    def neutral_of(self, perceptions: Perceptions) -> FaceVectors:
        """Return the vectors that the same faces would project to if they were neutral.

        The raw numbers that such a network reads also depend on position and person, so only the expression is changed.
        """
        neutral = edit(perceptions, {"neutral": 1.0}, 1.0, ExpressionModel.load())
        return self.project(neutral.vectors, neutral.image_sizes)


def rebuild(path: Path, tensors: Mapping[str, Tensor]) -> ForeignCheckpoint:
    """Return the network described by a bare state_dict.

    Raises CheckpointError with the reasons if it is not a chain of known layers from 1441 numbers to 768.
    """
    layers: list[nn.Module] = []
    problems, width = [], PERCEPTION_DIM
    for name, leaves in _modules(tensors):
        layer = _layer(leaves)
        if layer is None:
            problems.append(f"{name}: {_shapes(leaves)} is not a linear layer, layer norm or batch norm")
            continue
        inputs, outputs = _widths(layer)
        if inputs != width:
            problems.append(f"{name} expects {counted(inputs, 'number')} but receives {width:,}")
        if isinstance(layer, nn.Linear) and any(isinstance(other, nn.Linear) for other in layers):
            layers.append(nn.ReLU())
        layers.append(layer)
        width = outputs
    if width != SD15.width:
        problems.append(f"its output has {counted(width, 'number')}, not {SD15.width}")
    if not any(isinstance(layer, nn.Linear) for layer in layers):
        problems.append("it has no linear layer")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        problems.append("it contains NaN or infinite weights")
    if problems:
        raise CheckpointError(
            f"{path}: this is neither a checkpoint of this pack nor a chain of linear layers "
            f"{PERCEPTION_DIM} → … → {SD15.width}: {'; '.join(problems)}. Train a checkpoint with "
            "`python -m training train`"
        )
    widths = [PERCEPTION_DIM, *(layer.out_features for layer in layers if isinstance(layer, nn.Linear))]
    description = f"linear layers {' → '.join(map(str, widths))}, assuming ReLU between them"
    return ForeignCheckpoint(nn.Sequential(*layers).train(False), Metadata(made_by="another script"), description)


def _modules(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the names and tensors of modules; names sorted alphabetically (safetensors) are put in numeric order."""
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
    """Return the layer with these tensors, or None if they do not form one."""
    kinds = {leaf: tensor.ndim for leaf, tensor in leaves.items() if leaf != COUNTER}
    layer: nn.Module
    if kinds in ({"weight": 2, "bias": 1}, {"weight": 2}):
        outputs, inputs = leaves["weight"].shape
        layer = nn.Linear(inputs, outputs, bias="bias" in kinds, device="meta")
    elif kinds == {"weight": 1, "bias": 1}:
        layer = nn.LayerNorm(len(leaves["weight"]), device="meta")
    elif kinds == dict.fromkeys(BATCH_NORM, 1):
        layer = nn.BatchNorm1d(len(leaves["weight"]), device="meta")
    else:
        return None
    weights = {leaf: tensor if leaf == COUNTER else tensor.float() for leaf, tensor in leaves.items()}
    try:
        layer.load_state_dict(weights, assign=True)
    except RuntimeError:  # for example a bias of another length
        return None
    return layer


def _widths(layer: nn.Module) -> tuple[int, int]:
    """Return the input and output widths of a layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    [weight, *_] = layer.parameters()
    return len(weight), len(weight)


def _shapes(leaves: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{leaf} {tuple(tensor.shape)}" for leaf, tensor in leaves.items())
