"""Checkpoint files: a projection network that explains itself, and can run no code.

`best_model.safetensors` holds the tensors and one JSON string of metadata; `best_model.pth` holds the same
for whoever wants torch's own format. Neither is ever unpickled.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..common import threads
from ..common.files import atomic_path
from ..perception.vector import Perceptions, validate
from .checkpoint_file import METADATA_KEY, SUFFIXES, CheckpointError, Content, read
from .network import Architecture, ProjectionNetwork
from .spaces import SD15, SPACES, Space

FORMAT_VERSION = 3  # 1 had other features; 2 knew neither its prompts nor how far its faces reach
DEFAULT_FOLDER = Path(__file__).resolve().parent / "checkpoints"
BEST = "best_model"
NETWORK = "network."  # prefix of the network's tensors in the file
PROMPTS = "prompt_vectors"
LONGEST_IDENTITY = 500  # characters of an encoder's, a landmarker's …
LONGEST_REASON = 600  # characters of an error in a message
SQUARE = (1, 1)  # the (height, width) assumed for training data that came without any


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says of itself."""

    space: str = SD15.name  # one of SPACES: whose text space it projects into
    encoder: str = "unknown"  # identity of the text encoder that made the targets
    landmarker: str = "unknown"
    emotion_model: str = "unknown"
    made_by: str = "train"  # how the training data came about
    uses_image_sizes: bool = True  # False: trained without picture sizes, so every picture counts as square
    dataset: dict[str, Any] = field(default_factory=dict)  # sha256, samples
    metrics: dict[str, Any] = field(default_factory=dict)  # on held-out groups
    prompts: list[str] = field(default_factory=list)  # the most frequent in training, P


@dataclass(frozen=True)
class Checkpoint:
    """A trained projection, ready to use, on the CPU: its features are small, and need decompositions and float64."""

    network: ProjectionNetwork
    metadata: Metadata
    neutral: Tensor  # (W,) float32: where a neutral face projects to
    fingerprint: Tensor | None = None  # (F,) the encoder's (training/encoders/base.py), of the space's widths
    prompt_vectors: Tensor | None = None  # (P, W) float32: the targets of `metadata.prompts`

    @property
    def space(self) -> Space:
        """The text space it projects into."""
        return SPACES[self.metadata.space]

    @property
    def width(self) -> int:
        """The width W of the vectors it makes: 768 in the sd15 space."""
        return self.network.architecture.output

    def sizes(self, image_sizes: Tensor) -> Tensor:
        """Pictures' (height, width) (N, 2), as the network takes them: square, if it was trained without any."""
        return image_sizes if self.metadata.uses_image_sizes else torch.tensor(SQUARE).expand(len(image_sizes), 2)

    @threads.single
    @torch.inference_mode()
    def project(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        """Perceptions (N, 1441) and their (height, width) (N, 2) → CLIP vectors (N, W) float32 on the CPU.

        Raises ValueError, naming the row, for invalid perceptions.
        """
        projected: Tensor = self.network(validate(vectors), self.sizes(image_sizes))
        return projected

    @torch.inference_mode()
    def distance(self, perceptions: Perceptions) -> Tensor:
        """How far faces are from the mean face of the training, (N,) on the CPU; see FaceFeatures.distance."""
        return self.network.features.distance(perceptions.vectors, self.sizes(perceptions.image_sizes))

    def neutral_of(self, perceptions: Perceptions) -> Tensor:
        """Where the faces would project to, were they neutral: (N, W), the same for all."""
        return self.neutral.expand(len(perceptions), -1)


def save(checkpoint: Checkpoint, folder: Path, name: str = BEST) -> Path:
    """Write `name`.safetensors and `name`.pth into `folder`, each whole or not at all; return the first."""
    from safetensors.torch import save_file

    tensors = {NETWORK + key: value for key, value in checkpoint.network.state_dict().items()}
    others = {"neutral": checkpoint.neutral, "fingerprint": checkpoint.fingerprint, PROMPTS: checkpoint.prompt_vectors}
    tensors |= {key: value for key, value in others.items() if value is not None}
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


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of either format, onto the CPU; no code in the file is ever run.

    Raises CheckpointError, naming the file and the remedy, when it is missing, not one of ours, of a newer
    format, incomplete, holds NaN, or carries a pickle payload.
    """
    return assembled(path, read(path))


def assembled(path: Path, content: Content) -> Checkpoint:
    """The checkpoint of a file's content; see `load`."""
    if content.description is None:
        raise CheckpointError(
            f"{path}: not written by this pack's training, so only its weights are known. Steer with it, but train or "
            "judge another: make one with `python -m training train`"
        )
    tensors, description = content.tensors, dict(content.description)
    version = description.pop("format_version", None)
    if type(version) is not int or not 0 < version < 1000:
        raise CheckpointError(f"{path}: damaged (it does not say its format version); train it anew")
    if version > FORMAT_VERSION:
        raise CheckpointError(f"{path}: format version {version} is newer than this pack reads; update the pack")
    if version < FORMAT_VERSION:
        raise CheckpointError(f"{path}: format version {version} is of an older pack; train it anew")
    try:
        network = _network(Architecture(**description.pop("architecture")), tensors)
        metadata = _metadata(description)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = textwrap.shorten(str(error), LONGEST_REASON)  # of another architecture, torch lists every tensor
        raise CheckpointError(f"{path}: damaged, or not a perception projection ({reason}); train it anew") from error
    _check(path, metadata, network.architecture.output, tensors)
    return Checkpoint(
        network.train(False),
        metadata,
        tensors["neutral"].float(),
        tensors.get("fingerprint"),
        tensors.get(PROMPTS),
    )


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


def _metadata(description: Mapping[str, Any]) -> Metadata:
    """What a file says of itself. Raises TypeError or ValueError, naming what is of another kind than it should be."""
    metadata = Metadata(**description)
    for name, value in asdict(Metadata()).items():
        said = getattr(metadata, name)
        if type(said) is not type(value):
            raise TypeError(f"its {name} is of another kind")
        if isinstance(said, str) and len(said) > LONGEST_IDENTITY:
            raise ValueError(f"its {name} has more than {LONGEST_IDENTITY} characters")
    if not all(isinstance(prompt, str) for prompt in metadata.prompts):
        raise TypeError("one of its prompts is no text")
    return metadata


def _check(path: Path, metadata: Metadata, width: int, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless what lies beside the network fits it, and all of it is finite."""
    space = SPACES.get(metadata.space)
    if space is None or space.width != width:
        raise CheckpointError(
            f"{path}: projects into {width} dimensions of the text space {metadata.space!r}, which this pack does not "
            f"know; train it anew, for {' or '.join(SPACES)}"
        )
    known = len(metadata.prompts)
    shapes = {"neutral": (width,), "fingerprint": (sum(space.fingerprint),), PROMPTS: (known, width)}
    needed = {"neutral", PROMPTS} if known else {"neutral"}
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        if name in needed if tensor is None else tensor.shape != shape:
            raise CheckpointError(f"{path}: its {name.replace('_', ' ')} is missing or misshaped; train it anew")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise CheckpointError(f"{path}: holds NaN or infinite weights; train it anew")


def _network(architecture: Architecture, tensors: Mapping[str, Tensor]) -> ProjectionNetwork:
    """The network that `architecture` describes, made of `tensors`; nothing is allocated for it."""
    with torch.device("meta"):
        network = ProjectionNetwork(architecture)
    weights = {key.removeprefix(NETWORK): value.float() for key, value in tensors.items() if key.startswith(NETWORK)}
    network.load_state_dict(weights, assign=True)
    return network
