"""Checkpoint files: a projection network that explains itself, and can run no code.

`best_model.safetensors` holds the tensors and one JSON string of metadata; `best_model.pth` holds the same
for whoever wants torch's own format. Neither is ever unpickled.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..perception.files import atomic_path
from ..perception.vector import validate
from .network import Architecture, ProjectionNetwork

FORMAT_VERSION = 2  # 1 had other features
METADATA_KEY = "perception_clip"
DEFAULT_FOLDER = Path(__file__).resolve().parent / "checkpoints"
BEST = "best_model"
SUFFIXES = (".safetensors", ".pth")  # the first is preferred where both lie side by side
NETWORK = "network."  # prefix of the network's tensors in the file
SQUARE = (1, 1)  # the (height, width) assumed for training data that came without any


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and says what to do."""


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself."""

    space: str = "sd15"  # whose text space it projects into
    encoder: str = "unknown"  # identity of the text encoder that made the targets
    landmarker: str = "unknown"
    emotion_model: str = "unknown"
    made_by: str = "train"  # how the training data came about
    uses_image_sizes: bool = True  # False: trained without picture sizes, so every picture counts as square
    dataset: dict[str, Any] = field(default_factory=dict)  # sha256, samples
    metrics: dict[str, Any] = field(default_factory=dict)  # on held-out groups


@dataclass(frozen=True)
class Checkpoint:
    """A trained projection, ready to use."""

    network: ProjectionNetwork
    metadata: Metadata
    neutral: Tensor  # (768,) float32: where a neutral face projects to
    fingerprint: Tensor | None  # (768,) the encoder's vector for the probe sentence, where known

    @property
    def width(self) -> int:
        """The width of the vectors it makes: 768 in the sd15 space."""
        return self.network.architecture.output

    def sizes(self, image_sizes: Tensor) -> Tensor:
        """Pictures' (height, width) (N, 2), as the network takes them: square, if it was trained without any."""
        return image_sizes if self.metadata.uses_image_sizes else torch.tensor(SQUARE).expand(len(image_sizes), 2)

    @torch.inference_mode()
    def project(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        """Perceptions (N, 1441) and their (height, width) (N, 2) → CLIP vectors (N, 768) float32 on the CPU.

        Raises ValueError, naming the row, for invalid perceptions.
        """
        device = self.neutral.device
        projected: Tensor = self.network(validate(vectors).to(device), self.sizes(image_sizes).to(device))
        return projected.cpu()


def save(checkpoint: Checkpoint, folder: Path, name: str = BEST) -> Path:
    """Write `name`.safetensors and `name`.pth into `folder`, each whole or not at all; return the first."""
    from safetensors.torch import save_file

    tensors = {NETWORK + key: value for key, value in checkpoint.network.state_dict().items()}
    tensors["neutral"] = checkpoint.neutral
    if checkpoint.fingerprint is not None:
        tensors["fingerprint"] = checkpoint.fingerprint
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    description = json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "architecture": asdict(checkpoint.network.architecture),
            **asdict(checkpoint.metadata),
        }
    )
    preferred, twin = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    with atomic_path(twin) as temporary:
        torch.save({"tensors": tensors, METADATA_KEY: description}, temporary)
    with atomic_path(preferred) as temporary:
        save_file(tensors, temporary, metadata={METADATA_KEY: description})
    return preferred


def load(path: Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a checkpoint of either format; no code in the file is ever run.

    Raises CheckpointError, naming the file and the remedy, when it is missing, not one of ours, of a newer
    format, incomplete, holds NaN, or carries a pickle payload.
    """
    tensors, description = _read(path)
    version = description.pop("format_version", None)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise CheckpointError(f"{path}: format version {version} is newer than this pack reads; update the pack")
    if version < FORMAT_VERSION:
        raise CheckpointError(f"{path}: format version {version} is of an older pack; train it anew")
    try:
        network = _network(Architecture(**description.pop("architecture")), tensors)
        metadata = Metadata(**description)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged, or not a perception projection ({error}); train it anew") from error
    neutral, fingerprint = tensors.get("neutral"), tensors.get("fingerprint")
    width = (network.architecture.output,)
    if neutral is None or neutral.shape != width or (fingerprint is not None and fingerprint.shape != width):
        raise CheckpointError(f"{path}: its neutral vector or fingerprint is missing or misshaped; train it anew")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise CheckpointError(f"{path}: holds NaN or infinite weights; train it anew")
    return Checkpoint(network.eval().to(device), metadata, neutral.float().to(device), fingerprint)


def find(folders: Sequence[Path]) -> dict[str, Path]:
    """The checkpoints in `folders` by name, `best_model` first; where two share a name, the earlier folder's.

    A .pth beside a .safetensors of the same name is the same checkpoint and is not listed again.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            twin = path.suffix == ".pth" and path.with_suffix(".safetensors").is_file()
            half_written = path.name.startswith(".")
            if path.suffix in SUFFIXES and path.is_file() and not (twin or half_written):
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return dict(sorted(found.items(), key=lambda item: (Path(item[0]).stem != BEST, item[0])))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and decoded metadata of a checkpoint file."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint; train one, or choose another")
    if path.suffix == ".pth":
        tensors, text = _read_pth(path)
    else:
        tensors, text = _read_safetensors(path)
    try:
        description = json.loads(text)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a perception projection (it has no metadata of ours)") from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: not a perception projection (its metadata is not an object)")
    return tensors, description


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no mapping
            return tensors, (file.metadata() or {}).get(METADATA_KEY)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def _read_pth(path: Path) -> tuple[dict[str, Tensor], Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        # torch's own message advises to switch its safety off; it is kept as the cause, and not repeated here.
        raise CheckpointError(
            f"{path}: refused. It is damaged, or carries objects other than tensors, which could run code. "
            "Use a file that this pack's training wrote"
        ) from error
    tensors = content.get("tensors") if isinstance(content, Mapping) else None
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise CheckpointError(f"{path}: not a checkpoint of this pack; train one with `python -m training train`")
    return dict(tensors), content.get(METADATA_KEY)


def _network(architecture: Architecture, tensors: Mapping[str, Tensor]) -> ProjectionNetwork:
    """The network that `architecture` describes, made of `tensors`; nothing is allocated for it."""
    with torch.device("meta"):
        network = ProjectionNetwork(architecture)
    weights = {key.removeprefix(NETWORK): value.float() for key, value in tensors.items() if key.startswith(NETWORK)}
    network.load_state_dict(weights, assign=True)
    return network
