"""CLIP's text models from safetensors files: Stable Diffusion 1.5 and XL checkpoints, or CLIP ViT-L/14 alone.

An SDXL checkpoint stores CLIP ViT-L/14 under transformers' names and OpenCLIP ViT-bigG/14 ("CLIP-G") under OpenCLIP's:
its query, key and value weights are one tensor, and its projection is applied from the right (`x @ text_projection`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...projection.spaces import EMBEDDING, SD15, SDXL
from .clip import FAMILY, WIDTH_G, EncoderError

TOKENS, TOKENS_G = "embeddings.token_embedding.weight", "token_embedding.weight"  # CLIP-G has OpenCLIP's names
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
PREFIX_L = "conditioner.embedders.0.transformer.text_model."
PREFIX_G = "conditioner.embedders.1.model."
NO_WEIGHTS = ("position_ids", "logit_scale")  # ends of names that are not weights of a tower
OTHERS = (  # start of a tensor's name, the space that such a file fits, and what it seems to be
    *((f"{p}{TOKENS}", SD15.name, "a Stable Diffusion 1.5 checkpoint or CLIP ViT-L/14 alone") for p in PREFIXES),
    ("conditioner.embedders.0.model.", None, "a Stable Diffusion XL refiner, which has no CLIP-L"),
    ("conditioner.", SDXL.name, "a Stable Diffusion XL checkpoint"),
    ("cond_stage_model.model.", None, "a Stable Diffusion 2 checkpoint"),
)
OPENCLIP = (  # parts of OpenCLIP's names, and transformers' parts for them
    ("token_embedding", "embeddings.token_embedding"),
    ("positional_embedding", POSITIONS),
    ("transformer.resblocks.", "encoder.layers."),
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("attn.out_proj.", "self_attn.out_proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("ln_final.", "final_layer_norm."),
)


def read_towers(path: Path, space: str, layouts: Sequence[Sequence[str]], what: str, remedy: str) -> list[Tower]:
    """Return the towers of a `.safetensors` file, without the prefixes of their names; no other tensor is read.

    Each of `layouts` has the prefixes of all towers; the first one that the file has is used. Raises EncoderError if
    the file is missing, damaged or of another model family: it has no `what`, and `remedy` is to be passed instead.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise EncoderError(f"{path}: there is no such file; pass a Stable Diffusion .safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in list(file.keys()) if not name.endswith(NO_WEIGHTS)]
            for layout in layouts:
                if all(any(prefix + tokens in names for tokens in (TOKENS, TOKENS_G)) for prefix in layout):
                    return [
                        {name.removeprefix(prefix): file.get_tensor(name) for name in names if name.startswith(prefix)}
                        for prefix in layout
                    ]
    except (SafetensorError, OSError) as error:
        raise EncoderError(
            f"{path}: the file is not a readable safetensors file ({error}); download or copy it again"
        ) from error
    family = "something else"
    for start, fits, seems in reversed(OTHERS):
        if fits != space and any(name.startswith(start) for name in names):
            family = seems + (f", which fits --space {fits}" if fits else "")
    raise EncoderError(f"{path}: the file has no {what}; it seems to be {family}. Pass {remedy}")


def text_model(name: str, tower: Tower, width: int, family: str, hidden_act: str) -> Any:
    """Return a CLIPTextModel with these weights; its size follows the tensors, and it has a projection if they do.

    Raises EncoderError, naming `name`, if tensors are missing or the tower is not `width` wide, as `family` needs.
    """
    layers = {key.split(".")[2] for key in tower if key.startswith("encoder.layers.")}
    try:
        vocabulary, tower_width = tower[TOKENS].shape
        positions, inner = len(tower[POSITIONS]), len(tower[FEED_FORWARD])
        projected = len(tower[PROJECTION]) if PROJECTION in tower else None
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{name}: the text encoder is incomplete ({error}); pass another file") from error
    if tower_width != width:
        raise EncoderError(
            f"{name}: the text encoder is {tower_width} wide, but {family} needs {width}; pass a {family} checkpoint"
        )
    model = empty_model(vocabulary, positions, width, inner, len(layers), hidden_act, projected)
    load_tower(model, tower, name)
    return model


def empty_model(
    vocabulary: int, positions: int, width: int, inner: int, layers: int, hidden_act: str, projected: int | None
) -> Any:
    """Return a text model for `load_tower` to fill, with a projection if its width `projected` is not None.

    No time is spent on random weights.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        projection_dim=width if projected is None else projected,
        num_hidden_layers=layers,
        num_attention_heads=width // HEAD,
        max_position_embeddings=positions,
        hidden_act=hidden_act,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
    with torch.device("meta"):
        return CLIPTextModel(config) if projected is None else CLIPTextModelWithProjection(config)


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


def weights_hash(towers: Sequence[Tower]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the towers' names and weights, as stored."""
    digest = hashlib.sha256()
    for tower in towers:
        for name in sorted(tower):
            digest.update(name.encode())
            digest.update(tower[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def load_sd15_file(path: Path) -> tuple[str, list[Any]]:
    """Return the identity and, in a list, the CLIPTextModel of a `.safetensors` file; only its tensors are read.

    The identity contains a hash of the tower's weights: a fine-tuned tower is another encoder. Raises EncoderError
    if the file is missing, damaged or of another model family.
    """
    needs = "Stable Diffusion 1.5 text encoder", "an SD1.5 checkpoint that includes its CLIP"
    towers = read_towers(path, SD15.name, [(prefix,) for prefix in PREFIXES], *needs)
    model = text_model(str(path), towers[0], EMBEDDING, "Stable Diffusion 1.5", hidden_act="quick_gelu")
    return f"sd15-file:{path.name}:{weights_hash(towers)}", [model]


def load_sdxl_file(path: Path) -> tuple[str, list[Any]]:
    """Return the identity, CLIP-L and CLIP-G of a `.safetensors` file; only their tensors are read.

    Raises EncoderError if the file is missing, damaged or of another model family.
    """
    needs = "Stable Diffusion XL text encoders", "an SDXL base checkpoint that includes its CLIP"
    towers = read_towers(path, SDXL.name, [(PREFIX_L, PREFIX_G)], *needs)
    tower_g = from_openclip(towers[1])
    if PROJECTION not in tower_g:
        raise EncoderError(f"{path}: the CLIP-G is incomplete (no text_projection); pass another file")
    return f"sdxl-file:{path.name}:{weights_hash(towers)}", [
        text_model(f"{path} (CLIP-L)", towers[0], EMBEDDING, FAMILY, hidden_act="quick_gelu"),
        text_model(f"{path} (CLIP-G)", tower_g, WIDTH_G, FAMILY, hidden_act="gelu"),
    ]


def from_openclip(tensors: Tower) -> Tower:
    """Return a text tower with OpenCLIP's names under the names of transformers' CLIPTextModelWithProjection.

    Tensors that OpenCLIP does not have cause an error when the weights are loaded into a model.
    """
    tower: Tower = {}
    for name, value in tensors.items():
        if name == "text_projection":  # some tools save it as a linear layer instead, with transformers' name
            name, value = PROJECTION, value.t().contiguous()
        for theirs, ours in OPENCLIP:
            name = name.replace(theirs, ours)
        if ".attn.in_proj_" in name and value.ndim > 0 and len(value) % 3 == 0:
            for part, third in zip("qkv", value.chunk(3), strict=True):
                tower[name.replace("attn.in_proj_", f"self_attn.{part}_proj.")] = third
        else:
            tower[name] = value
    return tower
