"""Read and write checkpoint files: a projection network with its metadata, without any executable code.

`best_model.safetensors` holds the tensors and one JSON string of metadata; `best_model.pth` holds the same in
torch's own format. Neither is ever unpickled.
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
from .checkpoint_file import LISTED, METADATA_KEY, SUFFIXES, CheckpointError, Content, read
from .face_vectors import FaceVectors
from .network import Architecture, ProjectionNetwork
from .spaces import SD15, SPACES, Space

FORMAT_VERSION = 5  # earlier ones had other features
DEFAULT_FOLDER = Path(__file__).resolve().parent / "checkpoints"
BEST = "best_model"
NETWORK = "network."  # prefix of the network's tensors in the file
PROMPTS = "prompt_vectors"
LONGEST_IDENTITY = 500  # characters of the identity of an encoder, a landmarker, …
LONGEST_REASON = 600  # characters of an error in a message
SQUARE = (1, 1)  # the (height, width) assumed for training data without picture sizes


@dataclass(frozen=True)
class Metadata:
    """The metadata of a checkpoint."""

    space: str = SD15.name  # one of SPACES: the text space that it projects into
    encoder: str = "unknown"  # identity of the text encoder that created the targets
    landmarker: str = "unknown"
    emotion_model: str = "unknown"
    made_by: str = "train"  # how the training data was created
    uses_image_sizes: bool = True  # False: trained without picture sizes, so every picture counts as square
    dataset: dict[str, Any] = field(default_factory=dict)  # sha256, samples
    metrics: dict[str, Any] = field(default_factory=dict)  # on held-out groups
    prompts: list[str] = field(default_factory=list)  # the most frequent in training, P


@dataclass(frozen=True)
class Checkpoint:
    """A trained projection, ready to use, on the CPU: its features are small and need decompositions and float64."""

    network: ProjectionNetwork
    metadata: Metadata
    neutral: Tensor  # (W,) float32: where a neutral face projects to; (W + T,) with a subject, as in FaceVectors
    fingerprint: Tensor | None = None  # (F,) of the encoder (training/encoders/base.py), in the widths of the space
    prompt_vectors: Tensor | None = None  # (P, W) float32: the targets of `metadata.prompts`

    @property
    def space(self) -> Space:
        """Return the text space that it projects into."""
        return SPACES[self.metadata.space]

    @property
    def width(self) -> int:
        """Return the width W of its vectors at the end of the text: 768 in the sd15 space."""
        return self.space.width

    @property
    def has_subject(self) -> bool:
        """Return whether it also projects to the state of the noun that a prompt is about."""
        return self.network.architecture.subject > 0

    def sizes(self, image_sizes: Tensor) -> Tensor:
        """Return picture sizes (N, 2), (height, width), as the network expects them: square if trained without."""
        return image_sizes if self.metadata.uses_image_sizes else torch.tensor(SQUARE).expand(len(image_sizes), 2)

    @threads.single
    @torch.inference_mode()
    def project(self, vectors: Tensor, image_sizes: Tensor) -> FaceVectors:
        """Return the CLIP vectors, float32 on the CPU, of perceptions (N, 1441) and picture sizes (N, 2).

        The sizes are (height, width). Raises ValueError with the row number for invalid perceptions.
        """
        return FaceVectors.split(self.network(validate(vectors), self.sizes(image_sizes)), self.width)

    @torch.inference_mode()
    def distance(self, perceptions: Perceptions) -> Tensor:
        """Return the distances (N,), on the CPU, of faces from the mean training face; see FaceFeatures.distance."""
        return self.network.features.distance(perceptions.vectors, self.sizes(perceptions.image_sizes))

    def neutral_of(self, perceptions: Perceptions) -> FaceVectors:
        """Return the vectors that N faces would project to if they were neutral: the same for all."""
        return FaceVectors.split(self.neutral.expand(len(perceptions), -1), self.width)


def save(checkpoint: Checkpoint, folder: Path, name: str = BEST) -> Path:
    """Write `name`.safetensors and `name`.pth to `folder`, each atomically; return the path of the first."""
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
    """Return the checkpoint in a file of either format, on the CPU; no code in the file is ever run.

    Raises CheckpointError with the file name and the remedy if the file is missing, was not written by this pack, has
    a newer format, is incomplete, contains NaN or carries a pickle payload.
    """
    return assembled(path, read(path))


def assembled(path: Path, content: Content) -> Checkpoint:
    """Return the checkpoint built from the content of a file; see `load`."""
    if content.description is None:
        raise CheckpointError(
            f"{path}: this checkpoint was not trained by this pack, so only its weights are known. You can steer with "
            "it, but not continue its training or evaluate it; train your own with `python -m training train`"
        )
    tensors, description = content.tensors, dict(content.description)
    version = description.pop("format_version", None)
    if type(version) is not int or not 0 < version < 1000:
        raise CheckpointError(
            f"{path}: the checkpoint is damaged (its metadata has no valid format version); retrain it"
        )
    if version > FORMAT_VERSION:
        raise CheckpointError(f"{path}: format version {version} is newer than this pack supports; update the pack")
    if version < FORMAT_VERSION:
        raise CheckpointError(f"{path}: format version {version} is from an older version of this pack; retrain it")
    try:
        network = _network(Architecture(**description.pop("architecture")), tensors)
        metadata = _metadata(description)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = textwrap.shorten(str(error), LONGEST_REASON)  # torch lists every tensor if the architecture differs
        raise CheckpointError(
            f"{path}: the checkpoint is damaged or not a perception projection ({reason}); retrain it"
        ) from error
    _check(path, metadata, network.architecture, tensors)
    return Checkpoint(
        network.train(False),
        metadata,
        tensors["neutral"].float(),
        tensors.get("fingerprint"),
        tensors.get(PROMPTS),
    )


def find(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the checkpoints in `folders` by name, `best_model` first; earlier folders take precedence.

    Suffixes, see LISTED, count in any case. Another file next to a .safetensors of the same name is the same checkpoint
    and is not listed again.
    """
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            suffix = path.suffix.lower()
            twin = suffix != SUFFIXES[0] and path.with_suffix(SUFFIXES[0]).is_file()
            half_written = path.name.startswith(".")
            if suffix in LISTED and path.is_file() and not (twin or half_written):
                paths.setdefault(path.relative_to(folder).as_posix(), path)
    return dict(sorted(paths.items(), key=lambda item: (Path(item[0]).stem != BEST, item[0])))


def _metadata(description: Mapping[str, Any]) -> Metadata:
    """Return the metadata of a file. Raises TypeError or ValueError with the name of the field that is invalid."""
    metadata = Metadata(**description)
    for name, value in asdict(Metadata()).items():
        actual = getattr(metadata, name)
        if type(actual) is not type(value):
            raise TypeError(f"{name} must be of type {type(value).__name__}")
        if isinstance(actual, str) and len(actual) > LONGEST_IDENTITY:
            raise ValueError(f"{name} is longer than {LONGEST_IDENTITY} characters")
    if not all(isinstance(prompt, str) for prompt in metadata.prompts):
        raise TypeError("one of the prompts is not text")
    return metadata


def _check(path: Path, metadata: Metadata, architecture: Architecture, tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless the other tensors fit the network and all values are finite."""
    space, width, subject = SPACES.get(metadata.space), architecture.output, architecture.subject
    if space is None or space.width != width or subject not in (0, space.tokens):
        dimensions = f"{width} + {subject}" if subject else f"{width}"
        raise CheckpointError(
            f"{path}: the text space {metadata.space!r} with {dimensions} dimensions is not supported; retrain it for "
            f"{' or '.join(SPACES)}"
        )
    known = len(metadata.prompts)
    shapes = {"neutral": (architecture.outputs,), "fingerprint": (sum(space.fingerprint),), PROMPTS: (known, width)}
    needed = {"neutral", PROMPTS} if known else {"neutral"}
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        if name in needed if tensor is None else tensor.shape != shape:
            raise CheckpointError(f"{path}: its {name} tensor is missing or has the wrong shape; retrain it")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise CheckpointError(f"{path}: the checkpoint contains NaN or infinite weights; retrain it")


def _network(architecture: Architecture, tensors: Mapping[str, Tensor]) -> ProjectionNetwork:
    """Return the network of this architecture with `tensors` as its weights, without allocating new ones."""
    with torch.device("meta"):
        network = ProjectionNetwork(architecture)
    weights = {key.removeprefix(NETWORK): value.float() for key, value in tensors.items() if key.startswith(NETWORK)}
    network.load_state_dict(weights, assign=True)
    return network
