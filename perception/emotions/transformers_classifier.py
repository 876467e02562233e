"""Use any seven-emotion image classifier of transformers as an emotion model: it sees the picture of the face.

The bundled expression model (perception/emotions/expression.py) uses only the shape of the face and needs no download.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ..engines import Faces
from ..landmarks.cropping import Squares, cut
from ..vector import EMOTIONS
from .crops import upright_squares

DEFAULT = "trpakov/vit-face-expression"
BATCH = 16  # faces per pass
SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
LARGEST_CROP = 1024  # pixels; far above what any classifier looks at

SYNONYMS = {
    "angry": ("anger",),
    "disgust": ("disgusted",),
    "fear": ("fearful", "scared", "afraid"),
    "happy": ("happiness", "joy", "joyful"),
    "sad": ("sadness",),
    "surprise": ("surprised",),
    "neutral": ("neutrality", "calm"),
}
MEANING = {word: emotion for emotion in EMOTIONS for word in (emotion, *SYNONYMS[emotion])}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_Parts = tuple[list[int], bool, Any, Any]  # see _parts


class EmotionModelError(PerceptionClipError, ValueError):
    """An emotion classifier that is unavailable or unusable; the message names it, the reason and the remedy."""


class EmotionNetworks(nn.ModuleList):
    """All networks that a classifier keeps on its device, under a class name shown in the log of the host."""


class TransformersEmotions:
    """Classifies faces with an image classifier. Implements `engines.EmotionModel`.

    Each face is cropped upright, by its eyes, and prepared according to the preprocessor_config.json of the model.

    Args:
        source: a folder with the model's config.json, preprocessor_config.json and safetensors weights, or its id
            on the Hugging Face hub, from which it is downloaded unless it is in the cache of this machine.
        device: where the network runs.

    Weights are read only from safetensors, and no code of a model is run. Raises EmotionModelError.
    """

    def __init__(self, source: str | Path = DEFAULT, *, device: str | torch.device = "cpu") -> None:
        name, parts = _load(source)
        self._columns, self._gray, self._processor, network = parts
        self._network = network.float().train(False).requires_grad_(False)
        self.identity = f"transformers-emotions/1:{name}:{_digest(network, self._columns)[:8]}"
        self._try(name)
        network.to(device)
        self.networks = EmotionNetworks([network])

    @torch.no_grad()
    def classify(self, pictures: Sequence[Tensor], faces: Sequence[Faces]) -> Tensor:
        """Return probabilities (total faces, 7), float32 on the CPU, in face order and in the order of `EMOTIONS`.

        Pictures are (H, W, 3) uint8 RGB on any device; `faces` are the faces of each.
        """
        crops = [
            crop
            for picture, group in zip(pictures, faces, strict=True)
            for crop in face_crops(picture, group.landmarks)
        ]
        batches = [self._classify(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
        return torch.cat([torch.empty(0, len(EMOTIONS)), *batches])

    def _classify(self, crops: Sequence[Tensor]) -> Tensor:
        """Return the probabilities (N, 7) of crops, each (S, S, 3) uint8."""
        images = [(_to_gray(crop) if self._gray else crop).numpy() for crop in crops]
        inputs = self._processor(images, return_tensors="pt", input_data_format="channels_last")
        logits: Tensor = self._network(inputs["pixel_values"].to(self._network.device)).logits
        return logits.cpu().softmax(dim=1)[:, self._columns]

    def _try(self, name: str) -> None:
        """Classify a gray picture, so that inconsistent model files are detected now and not on a face."""
        try:
            probabilities = self._classify([torch.full((64, 64, 3), 128, dtype=torch.uint8)])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise EmotionModelError(
                f"the emotion model {name} cannot classify a picture: its network and its preprocessor_config.json "
                f"do not match ({error})"
            ) from error
        if not probabilities.isfinite().all():
            raise EmotionModelError(f"the emotion model {name} is damaged: its output is NaN")


def order_of_labels(id2label: Mapping[int, str], name: str) -> list[int]:
    """Return, for each of `EMOTIONS`, the index of its label, including synonyms, in {index: label}.

    Raises EmotionModelError with the labels if they are not exactly these seven.
    """
    labels = [str(id2label[index]) for index in sorted(id2label)]
    meanings = [MEANING.get(label.strip().lower()) for label in labels]
    if sorted(meanings, key=str) == sorted(EMOTIONS):
        return [meanings.index(emotion) for emotion in EMOTIONS]
    unknown = [label for label, meaning in zip(labels, meanings, strict=True) if meaning is None]
    missing = [emotion for emotion in EMOTIONS if emotion not in meanings]
    twice = [emotion for emotion in EMOTIONS if meanings.count(emotion) > 1]
    faults = [("unknown", unknown), ("missing", missing), ("more than once", twice)]
    hint = ""
    if any(re.fullmatch(r"LABEL_\d+", label) for label in labels):
        hint = '. Its labels have no names: add them to "id2label" in its config.json if you know their order'
    raise EmotionModelError(
        f"the emotion model {name} does not classify exactly these seven emotions: {', '.join(EMOTIONS)}. It has "
        f"{counted(len(labels), 'label')}: {_listed(labels)} ("
        + "; ".join(f"{fault}: {_listed(words)}" for fault, words in faults if words)
        + f"){hint}"
    )


def _listed(words: Sequence[str]) -> str:
    """Return the words, or only the first if there are many (an ImageNet model has a thousand labels)."""
    return ", ".join([*words[:12], "…"] if len(words) > 12 else words)


def face_crops(picture: Tensor, landmarks: Tensor) -> list[Tensor]:
    """Return an upright square crop, (S, S, 3) uint8 on the CPU, of each face of a picture (H, W, 3) uint8.

    Crops keep the size of the face. `landmarks` (F, 478, 3) are normalized. Outside the picture, border pixels repeat.
    """
    if not len(landmarks):
        return []
    squares = upright_squares(landmarks.to(picture.device), torch.tensor([picture.shape[:2]]))
    crops = []
    for index, side in enumerate(squares.sides.tolist()):
        one = Squares(*(part[index : index + 1] for part in (squares.centers, squares.sides, squares.angles)))
        size = min(max(round(side), 1), LARGEST_CROP)
        (crop,) = cut([picture], torch.zeros(1, dtype=torch.int64, device=picture.device), one, size)
        crops.append((crop * 255).round().to("cpu", torch.uint8).permute(1, 2, 0))
    return crops


def _load(source: str | Path) -> tuple[str, _Parts]:
    """Return the name and the parts of a model in a folder or on the hub. Raises EmotionModelError."""
    folder, name = Path(source), str(source)
    if name and folder.is_dir():  # an empty name would be the current folder
        try:
            _require_safetensors(folder)
            return folder.resolve().name, _parts(str(folder.resolve()), name, local=True)
        except OSError as error:
            raise EmotionModelError(
                f"the folder {folder} does not contain an emotion model ({_first_line(error)}). It needs a "
                "config.json, a preprocessor_config.json and weights in safetensors files; other formats are not read "
                "because they may run code"
            ) from error
    if not HUB_ID.fullmatch(name):
        raise EmotionModelError(
            f"there is no folder {name} with an emotion model; use a folder or a Hugging Face id such as {DEFAULT}"
        )
    with contextlib.suppress(OSError):  # not on this machine, or not all of it
        return name, _parts(name, name, local=True)
    try:
        return name, _parts(name, name, local=False)
    except OSError as error:
        raise EmotionModelError(
            f"the emotion model {name} is not on this machine, and downloading it from the Hugging Face hub failed "
            f"({_first_line(error)}). Connect this machine to the internet once, or put the model's config.json, "
            "preprocessor_config.json and model.safetensors into a folder and use that folder instead"
        ) from error


def _require_safetensors(folder: Path) -> None:
    """Raise FileNotFoundError if there are none: older versions of transformers then read pickled weights."""
    if not any((folder / name).is_file() for name in SAFE_WEIGHTS):
        raise FileNotFoundError(f"there is no {SAFE_WEIGHTS[0]}")


def _parts(place: str, name: str, *, local: bool) -> _Parts:
    """Return the order of the labels, whether the network needs gray pictures, the image processor and the network.

    Raises OSError if a file is unavailable, and EmotionModelError.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

    options = {"local_files_only": local, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(place, **options)
        columns = order_of_labels(config.id2label, name)  # before the weights, which may be a long download
        # The processors that work with Pillow: the others need torchvision and give slightly other pixels.
        processor = AutoImageProcessor.from_pretrained(place, use_fast=False, **options)
        network, report = AutoModelForImageClassification.from_pretrained(
            place, config=config, use_safetensors=True, output_loading_info=True, **options
        )
    except (AttributeError, ImportError, KeyError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        if isinstance(error, EmotionModelError):
            raise
        raise EmotionModelError(f"the emotion model {name} cannot be loaded ({error})") from error
    if report["missing_keys"]:
        raise EmotionModelError(
            f"the emotion model {name} is incomplete: its weights lack {', '.join(sorted(report['missing_keys'])[:3])}"
        )
    return columns, getattr(config, "num_channels", 3) == 1, processor, network


def _digest(network: Any, columns: Sequence[int]) -> str:
    """Return the SHA-256 of the weights, independent of their names in this version, and of the label order."""
    tensors = (parameter.detach().contiguous().flatten().numpy() for parameter in network.parameters())
    digests = sorted(hashlib.sha256(tensor).digest() for tensor in tensors)
    return hashlib.sha256(b"".join(digests) + bytes(columns)).hexdigest()


def _to_gray(crop: Tensor) -> Tensor:
    """Return a crop (S, S, 3) uint8 as gray (S, S, 1) uint8, by ITU-R BT.601."""
    return (crop.float() @ torch.tensor([0.299, 0.587, 0.114])).round().to(torch.uint8)[..., None]


def _first_line(error: Exception) -> str:
    """Return the first line of an error of transformers; advice about its own settings follows."""
    return str(error).partition("\n")[0].rstrip(".")
