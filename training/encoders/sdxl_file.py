"""The two text towers inside a Stable Diffusion XL checkpoint in safetensors format.

CLIP ViT-L/14 is stored under transformers' names, OpenCLIP ViT-bigG/14 ("CLIP-G") under OpenCLIP's: its query, key and
value weights are one tensor, and its projection is applied from the right (`x @ text_projection`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset.samples import EMBEDDING
from .clip_tokenizer import EncoderError
from .clip_weights import PROJECTION, TOKENS, Tower, read_tensors, text_model, weights_hash
from .sd15_file import sd15_prefix
from .sdxl_encoder import FAMILY, WIDTH_G

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

PREFIX_L = "conditioner.embedders.0.transformer.text_model."
PREFIX_G = "conditioner.embedders.1.model."
OPENCLIP = {  # OpenCLIP's names of what is there once
    "token_embedding.weight": TOKENS,
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
    "text_projection": PROJECTION,
    "text_projection.weight": PROJECTION,  # some tools save it as a linear layer
}
BLOCKS = "transformer.resblocks."
OPENCLIP_BLOCK = {  # … and in each layer, without .weight and .bias
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def load_sdxl_file(path: Path) -> tuple[str, CLIPTextModel, CLIPTextModelWithProjection]:
    """The identity, CLIP-L and CLIP-G of a `.safetensors` file; only their tensors are read.

    Raises EncoderError if the file is missing, damaged or of another family.
    """
    tensors = read_tensors(path, lambda names: _chosen(path, names))
    digest = weights_hash(tensors)
    tower_l = {name.removeprefix(PREFIX_L): value for name, value in tensors.items() if name.startswith(PREFIX_L)}
    tower_g = from_openclip(
        {name.removeprefix(PREFIX_G): value for name, value in tensors.items() if name.startswith(PREFIX_G)}
    )
    if PROJECTION not in tower_g:
        raise EncoderError(f"{path}: its CLIP-G is incomplete (no text_projection); pass another file")
    return (
        f"sdxl-file:{path.name}:{digest}",
        text_model(f"{path} (CLIP-L)", tower_l, EMBEDDING, FAMILY, hidden_act="quick_gelu"),
        text_model(f"{path} (CLIP-G)", tower_g, WIDTH_G, FAMILY, hidden_act="gelu"),
    )


def from_openclip(tensors: Tower) -> Tower:
    """A text tower with OpenCLIP's names → with those of transformers' CLIPTextModelWithProjection.

    What OpenCLIP does not have is kept as it is, and refused when the weights are put into a model.
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
                for own, third in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3), strict=True):
                    tower[f"{layer}self_attn.{own}.{kind.removeprefix('in_proj_')}"] = third
            else:
                tower[f"{layer}{OPENCLIP_BLOCK.get(part, part)}.{kind}"] = value
        else:
            tower[OPENCLIP.get(name, name)] = value
    return tower


def _chosen(path: Path, names: list[str]) -> dict[str, str]:
    if PREFIX_L + TOKENS in names and PREFIX_G + "token_embedding.weight" in names:
        ignored = (PREFIX_L + "embeddings.position_ids", PREFIX_G + "logit_scale")  # no weights of the towers
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
        f"{path}: no Stable Diffusion XL text encoders in it; it seems to be {family}. Pass an SDXL base checkpoint "
        "that has its CLIP inside"
    )
