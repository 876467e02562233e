"""The text tower inside a Stable Diffusion 1.5 checkpoint (or a CLIP ViT-L/14 file) in safetensors format."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .clip_tokenizer import EncoderError
from .samples import EMBEDDING

if TYPE_CHECKING:
    from transformers import CLIPTextModel

PREFIXES = (  # in front of CLIPTextModel's own names
    "cond_stage_model.transformer.text_model.",  # Stable Diffusion 1.x
    "cond_stage_model.transformer.",  # its earliest checkpoints
    "text_model.",  # CLIP ViT-L/14 alone, as in ComfyUI's models/text_encoders
)
OTHERS = {  # what other families have instead
    "conditioner.": "a Stable Diffusion XL checkpoint",
    "cond_stage_model.model.": "a Stable Diffusion 2 checkpoint",
}
TOKENS = "embeddings.token_embedding.weight"
POSITIONS = "embeddings.position_embedding.weight"
FEED_FORWARD = "encoder.layers.0.mlp.fc1.weight"
HEAD = 64  # width of one attention head in every CLIP text tower


def load_sd15_file(path: Path) -> tuple[str, CLIPTextModel]:
    """The identity and the text tower of a `.safetensors` file; only the tower's tensors are read.

    The identity holds a hash of the tower's weights: a fine-tuned tower is another encoder. Raises EncoderError
    if the file is missing, damaged or of another family.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise EncoderError(f"{path}: there is no such file; pass a Stable Diffusion 1.5 .safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            prefix = _prefix(path, names)
            tower = {
                name.removeprefix(prefix): file.get_tensor(name)
                for name in names
                if name.startswith(prefix) and not name.endswith("position_ids")
            }
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path}: not a readable safetensors file ({error}); download or copy it again") from error
    model = _model(path, tower)
    return f"sd15-file:{path.name}:{_hash(tower)}", model


def _prefix(path: Path, names: list[str]) -> str:
    for prefix in PREFIXES:
        if prefix + TOKENS in names:
            return prefix
    family = next((what for start, what in OTHERS.items() if any(n.startswith(start) for n in names)), "something else")
    raise EncoderError(
        f"{path}: no Stable Diffusion 1.5 text encoder in it; it seems to be {family}. Pass an SD1.5 checkpoint that "
        "has its CLIP inside"
    )


def _model(path: Path, tower: dict[str, Tensor]) -> CLIPTextModel:
    """CLIPTextModel of the size that the tensors have, with these weights."""
    from transformers import CLIPTextConfig, CLIPTextModel

    layers = {name.split(".")[2] for name in tower if name.startswith("encoder.layers.")}
    try:
        vocabulary, width = tower[TOKENS].shape
        positions, inner = len(tower[POSITIONS]), len(tower[FEED_FORWARD])
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{path}: its text encoder is incomplete ({error}); pass another file") from error
    if width != EMBEDDING:
        raise EncoderError(
            f"{path}: its text encoder is {width} wide, not {EMBEDDING}, so it is not Stable Diffusion 1.5's"
        )
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=len(layers),
        num_attention_heads=width // HEAD,
        max_position_embeddings=positions,
        hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
    model = CLIPTextModel(config)
    load_tower(model, tower, str(path))
    return model


def load_tower(model: CLIPTextModel, tower: dict[str, Tensor], name: str) -> None:
    """Put a tower's weights into a model; transformers before version 5 has `text_model.` before every name."""
    own: Any = model.state_dict().keys()
    prefix = "text_model." if any(key.startswith("text_model.") for key in own) else ""
    try:
        model.load_state_dict({prefix + key: value.float() for key, value in tower.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise EncoderError(f"{name}: its text encoder is incomplete or damaged ({reason})") from error


def _hash(tower: dict[str, Tensor]) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names and weights, as stored."""
    digest = hashlib.sha256()
    for name in sorted(tower):
        digest.update(name.encode())
        digest.update(tower[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
