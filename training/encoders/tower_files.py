"""CLIP's text models from safetensors files: Stable Diffusion 1.5 and XL checkpoints, or CLIP ViT-L/14 alone.

An SDXL checkpoint stores CLIP ViT-L/14 under transformers' names and OpenCLIP ViT-bigG/14 ("CLIP-G") under OpenCLIP's:
its query, key and value weights are one tensor, and its projection is applied from the right (`x @ text_projection`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...projection.spaces import EMBEDDING
from .clip import FAMILY, WIDTH_G, EncoderError

TOKENS = "embeddings.token_embedding.weight"
POSITIONS = "embeddings.position_embedding.weight"
FEED_FORWARD = "encoder.layers.0.mlp.fc1.weight"
PROJECTION = "text_projection.weight"
HEAD = 64  # width of one attention head in every CLIP text tower

Tower = dict[str, Tensor]  # named as in CLIPTextModel, without `text_model.`

PREFIXES = (  # before CLIPTextModel's own names
    "cond_stage_model.transformer.text_model.",  # Stable Diffusion 1.x
    "cond_stage_model.transformer.",  # its earliest checkpoints
    "text_model.",  # CLIP ViT-L/14 alone, as in ComfyUI's models/text_encoders
)
OTHERS = {  # prefixes of other model families
    "conditioner.": "a Stable Diffusion XL checkpoint, which fits --space sdxl",
    "cond_stage_model.model.": "a Stable Diffusion 2 checkpoint",
}
PREFIX_L = "conditioner.embedders.0.transformer.text_model."
PREFIX_G = "conditioner.embedders.1.model."
OPENCLIP = {  # OpenCLIP's names of tensors that appear once
    "token_embedding.weight": TOKENS,
    "positional_embedding": POSITIONS,
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
    "text_projection": PROJECTION,
    "text_projection.weight": PROJECTION,  # some tools save it as a linear layer
}
BLOCKS = "transformer.resblocks."
OPENCLIP_BLOCK = {  # … and of those in each layer, without .weight and .bias
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def read_tensors(path: Path, choose: Callable[[list[str]], dict[str, str]]) -> Tower:
    """Return the tensors of a `.safetensors` file that `choose` selects, under their new names.

    `choose` maps all names in the file to a dictionary, name in the file → new name. No other tensor is read. Raises
    EncoderError if the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise EncoderError(f"{path}: there is no such file; pass a Stable Diffusion .safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            return {new: file.get_tensor(name) for name, new in choose(list(file.keys())).items()}
    except (SafetensorError, OSError) as error:
        raise EncoderError(
            f"{path}: the file is not a readable safetensors file ({error}); download or copy it again"
        ) from error


def text_model(name: str, tower: Tower, width: int, family: str, hidden_act: str) -> Any:
    """Return a CLIPTextModel with these weights; its size follows the tensors, and it has a projection if they do.

    Raises EncoderError, naming `name`, if tensors are missing or the tower is not `width` wide, as `family` needs.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    layers = {key.split(".")[2] for key in tower if key.startswith("encoder.layers.")}
    try:
        vocabulary, tower_width = tower[TOKENS].shape
        positions, inner = len(tower[POSITIONS]), len(tower[FEED_FORWARD])
        projected = len(tower[PROJECTION]) if PROJECTION in tower else width
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{name}: the text encoder is incomplete ({error}); pass another file") from error
    if tower_width != width:
        raise EncoderError(
            f"{name}: the text encoder is {tower_width} wide, but {family} needs {width}; pass a {family} checkpoint"
        )
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
    """Return a text model of a transformers class for `load_tower` to fill; no time is spent on random weights."""
    with torch.device("meta"):
        return kind(config)


def load_tower(model: Any, tower: Tower, name: str) -> None:
    """Load a tower's weights into a model; transformers before version 5 has `text_model.` before every name.

    Raises EncoderError, naming `name`, if weights are missing, unexpected or of another size.
    """
    names: Any = model.state_dict().keys()
    prefix = "text_model." if any(key.startswith("text_model.") for key in names) else ""
    weights = {key if key == PROJECTION else prefix + key: value.float() for key, value in tower.items()}
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise EncoderError(
            f"{name}: the text encoder is incomplete or damaged ({reason}); pass another file"
        ) from error
    embeddings = model.get_submodule(f"{prefix}embeddings")
    embeddings.position_ids = torch.arange(embeddings.position_ids.shape[1])[None]  # a constant, not a weight


def weights_hash(tower: Tower) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of names and weights, as stored."""
    digest = hashlib.sha256()
    for name in sorted(tower):
        digest.update(name.encode())
        digest.update(tower[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def load_sd15_file(path: Path) -> tuple[str, list[Any]]:
    """Return the identity and, in a list, the CLIPTextModel of a `.safetensors` file; only its tensors are read.

    The identity contains a hash of the tower's weights: a fine-tuned tower is another encoder. Raises EncoderError
    if the file is missing, damaged or of another model family.
    """
    tower = read_tensors(path, lambda names: _chosen(path, names))
    model = text_model(str(path), tower, EMBEDDING, "Stable Diffusion 1.5", hidden_act="quick_gelu")
    return f"sd15-file:{path.name}:{weights_hash(tower)}", [model]


def sd15_prefix(names: list[str]) -> str | None:
    """Return the prefix of the tower's names in a Stable Diffusion 1.5 file; None for any other file."""
    return next((prefix for prefix in PREFIXES if prefix + TOKENS in names), None)


def _chosen(path: Path, names: list[str]) -> dict[str, str]:
    prefix = sd15_prefix(names)
    if prefix is not None:
        return {
            name: name.removeprefix(prefix)
            for name in names
            if name.startswith(prefix) and not name.endswith("position_ids")
        }
    family = next((what for start, what in OTHERS.items() if any(n.startswith(start) for n in names)), "something else")
    raise EncoderError(
        f"{path}: the file has no Stable Diffusion 1.5 text encoder; it seems to be {family}. Pass an SD1.5 checkpoint "
        "that includes its CLIP"
    )


def load_sdxl_file(path: Path) -> tuple[str, list[Any]]:
    """Return the identity, CLIP-L and CLIP-G of a `.safetensors` file; only their tensors are read.

    Raises EncoderError if the file is missing, damaged or of another model family.
    """
    tensors = read_tensors(path, lambda names: _chosen_of_both(path, names))
    digest = weights_hash(tensors)
    tower_l = {name.removeprefix(PREFIX_L): value for name, value in tensors.items() if name.startswith(PREFIX_L)}
    tower_g = from_openclip(
        {name.removeprefix(PREFIX_G): value for name, value in tensors.items() if name.startswith(PREFIX_G)}
    )
    if PROJECTION not in tower_g:
        raise EncoderError(f"{path}: the CLIP-G is incomplete (no text_projection); pass another file")
    return f"sdxl-file:{path.name}:{digest}", [
        text_model(f"{path} (CLIP-L)", tower_l, EMBEDDING, FAMILY, hidden_act="quick_gelu"),
        text_model(f"{path} (CLIP-G)", tower_g, WIDTH_G, FAMILY, hidden_act="gelu"),
    ]


def from_openclip(tensors: Tower) -> Tower:
    """Return a text tower with OpenCLIP's names under the names of transformers' CLIPTextModelWithProjection.

    Tensors that OpenCLIP does not have keep their names; they cause an error when the weights are loaded into a model.
    """
    tower: Tower = {}
    for name, value in tensors.items():
        if name == "text_projection":
            tower[PROJECTION] = value.t().contiguous()
        elif name.startswith(BLOCKS):
            number, _, inner = name.removeprefix(BLOCKS).partition(".")
            part, _, kind = inner.rpartition(".")
            layer = f"encoder.layers.{number}."
            if part == "attn" and kind.startswith("in_proj_") and value.ndim > 0 and len(value) % 3 == 0:
                for projection, third in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True):
                    tower[f"{layer}self_attn.{projection}.{kind.removeprefix('in_proj_')}"] = third
            else:
                tower[f"{layer}{OPENCLIP_BLOCK.get(part, part)}.{kind}"] = value
        else:
            tower[OPENCLIP.get(name, name)] = value
    return tower


def _chosen_of_both(path: Path, names: list[str]) -> dict[str, str]:
    if PREFIX_L + TOKENS in names and PREFIX_G + "token_embedding.weight" in names:
        ignored = (PREFIX_L + "embeddings.position_ids", PREFIX_G + "logit_scale")  # not weights of the towers
        return {name: name for name in names if name.startswith((PREFIX_L, PREFIX_G)) and name not in ignored}
    if sd15_prefix(names) is not None:
        family = "a Stable Diffusion 1.5 checkpoint or CLIP ViT-L/14 alone, which fits --space sd15"
    elif any(name.startswith("conditioner.embedders.0.model.") for name in names):
        family = "a Stable Diffusion XL refiner, which has no CLIP-L"
    elif any(name.startswith("cond_stage_model.model.") for name in names):
        family = "a Stable Diffusion 2 checkpoint"
    else:
        family = "something else"
    raise EncoderError(
        f"{path}: the file has no Stable Diffusion XL text encoders; it seems to be {family}. Pass an SDXL base "
        "checkpoint that includes its CLIP"
    )
