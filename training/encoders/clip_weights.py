"""CLIP text towers from the tensors of a file: reading them, and the model of the size that they have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .clip_tokenizer import EncoderError

TOKENS = "embeddings.token_embedding.weight"
POSITIONS = "embeddings.position_embedding.weight"
FEED_FORWARD = "encoder.layers.0.mlp.fc1.weight"
PROJECTION = "text_projection.weight"
HEAD = 64  # width of one attention head in every CLIP text tower

Tower = dict[str, Tensor]  # named as in CLIPTextModel, without `text_model.`


def read_tensors(path: Path, choose: Callable[[list[str]], dict[str, str]]) -> Tower:
    """The tensors of a `.safetensors` file that `choose` picks among the names there: name in the file → new name.

    No other tensor is read. Raises EncoderError if the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise EncoderError(f"{path}: there is no such file; pass a Stable Diffusion .safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            return {new: file.get_tensor(name) for name, new in choose(list(file.keys())).items()}
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path}: not a readable safetensors file ({error}); download or copy it again") from error


def text_model(name: str, tower: Tower, width: int, family: str, hidden_act: str) -> Any:
    """The CLIPTextModel (with a projection, if the tower has one) of the tensors' size, with these weights.

    Raises EncoderError, which names `name`, if tensors are missing or the tower is not `width` wide as `family`'s is.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    layers = {key.split(".")[2] for key in tower if key.startswith("encoder.layers.")}
    try:
        vocabulary, found = tower[TOKENS].shape
        positions, inner = len(tower[POSITIONS]), len(tower[FEED_FORWARD])
        projected = len(tower[PROJECTION]) if PROJECTION in tower else width
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{name}: its text encoder is incomplete ({error}); pass another file") from error
    if found != width:
        raise EncoderError(f"{name}: its text encoder is {found} wide, not {width}, so it is not {family}'s")
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        projection_dim=projected,
        num_hidden_layers=len(layers),
        num_attention_heads=width // HEAD,
        max_position_embeddings=positions,
        hidden_act=hidden_act,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
    model = model_without_weights(CLIPTextModelWithProjection if PROJECTION in tower else CLIPTextModel, config)
    load_tower(model, tower, name)
    return model


def model_without_weights(kind: Any, config: Any) -> Any:
    """A text model of a class of transformers for `load_tower` to fill: no time is spent on random weights first."""
    with torch.device("meta"):
        return kind(config)


def load_tower(model: Any, tower: Tower, name: str) -> None:
    """Put a tower's weights into a model; transformers before version 5 has `text_model.` before every name.

    Raises EncoderError, which names `name`, if weights are missing, surplus or of another size.
    """
    own: Any = model.state_dict().keys()
    prefix = "text_model." if any(key.startswith("text_model.") for key in own) else ""
    weights = {key if key == PROJECTION else prefix + key: value.float() for key, value in tower.items()}
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise EncoderError(f"{name}: its text encoder is incomplete or damaged ({reason})") from error
    embeddings = model.get_submodule(f"{prefix}embeddings")
    embeddings.position_ids = torch.arange(embeddings.position_ids.shape[1])[None]  # a constant, no weight


def weights_hash(tower: Tower) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over names and weights, as stored."""
    digest = hashlib.sha256()
    for name in sorted(tower):
        digest.update(name.encode())
        digest.update(tower[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
