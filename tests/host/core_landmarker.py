"""A model file for ComfyUI's own face landmarker, from the weights that the pack bundles.

Its detector and its blendshape network are the pack's, under other names. Its face mesh is another network, of which
the pack has no weights: here it returns the same face for any picture.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from perception_clip.perception.landmarks.comfyui_export import connection_sets
from perception_clip.perception.landmarks.transformation import BASIS, BASIS_LANDMARKS, MESH
from perception_clip.perception.weight_files import FOLDER

COARSE = 11  # blocks of the detector before the coarser ones
HEADS = {"fine_head.score": "cls_16", "coarse_head.score": "cls_8", "fine_head.points": "reg_16"}
DETECTOR = HEADS | {"coarse_head.points": "reg_8", "stem.0": "stem", "fine.": "blocks."}
BLENDSHAPES = {
    "tokens_in": "token_mlp1",
    "tokens_out": "token_mlp2",
    "channels_in": "channel_mlp1",
    "channels_out": "channel_mlp2",
    "token_norm": "ln1",
    "channel_norm": "ln2",
    "tokens.": "token_reduce.",
    "channels.": "token_embed.",
    "output": "head",
    "summary": "cls_token",
}
UNNAMED = {"left_iris", "right_iris"}  # lines that ComfyUI knows only together


def write_model(path: Path, face: Tensor) -> None:
    """Write the file for a mesh that returns `face`, (478, 3) in pixels of the network's picture of 192 × 192."""
    tensors = {
        "mesh.head_landmarks.weight": torch.zeros(face.numel(), 8, 3, 3),
        "mesh.head_landmarks.bias": face.flatten(),
        "canonical_vertices": torch.zeros(MESH, 3),
        "procrustes_indices": torch.tensor(BASIS_LANDMARKS),
        "procrustes_weights": torch.tensor([weight for _, weight, *_ in BASIS]),
    }
    for landmark, _, *point in BASIS:
        tensors["canonical_vertices"][landmark] = torch.tensor(point)
    for name, lines in connection_sets().items():
        if name not in UNNAMED:
            tensors[f"topology.{name}"] = torch.tensor(sorted(lines), dtype=torch.int32)
    for name, tensor in load_file(FOLDER / "blazeface.safetensors").items():
        later = re.sub(r"^coarse\.(\d+)", lambda found: f"blocks.{COARSE + int(found[1])}", name)
        tensors[f"detector_short.{renamed(later, DETECTOR)}"] = tensor.float()
    for name, tensor in load_file(FOLDER / "actions.safetensors").items():
        if name != "scale":  # a constant there
            shape = (1, 1, -1) if name == "summary" else tensor.shape
            tensors[f"blendshapes.{renamed(name, BLENDSHAPES)}"] = tensor.float().reshape(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def renamed(name: str, names: dict[str, str]) -> str:
    for mine, theirs in names.items():
        name = name.replace(mine, theirs)
    return name
