"""The text tower inside a Stable Diffusion 1.5 checkpoint (or a CLIP ViT-L/14 file) in safetensors format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset.samples import EMBEDDING
from .clip_tokenizer import EncoderError
from .clip_weights import TOKENS, read_tensors, text_model, weights_hash

if TYPE_CHECKING:
    from transformers import CLIPTextModel

PREFIXES = (  # in front of CLIPTextModel's own names
    "cond_stage_model.transformer.text_model.",  # Stable Diffusion 1.x
    "cond_stage_model.transformer.",  # its earliest checkpoints
    "text_model.",  # CLIP ViT-L/14 alone, as in ComfyUI's models/text_encoders
)
OTHERS = {  # what other families have instead
    "conditioner.": "a Stable Diffusion XL checkpoint, which fits --space sdxl",
    "cond_stage_model.model.": "a Stable Diffusion 2 checkpoint",
}


def load_sd15_file(path: Path) -> tuple[str, CLIPTextModel]:
    """The identity and the text tower of a `.safetensors` file; only the tower's tensors are read.

    The identity holds a hash of the tower's weights: a fine-tuned tower is another encoder. Raises EncoderError
    if the file is missing, damaged or of another family.
    """
    tower = read_tensors(path, lambda names: _chosen(path, names))
    model = text_model(str(path), tower, EMBEDDING, "Stable Diffusion 1.5", hidden_act="quick_gelu")
    return f"sd15-file:{path.name}:{weights_hash(tower)}", model


def sd15_prefix(names: list[str]) -> str | None:
    """What is in front of the tower's names in a Stable Diffusion 1.5 file; None in any other."""
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
        f"{path}: no Stable Diffusion 1.5 text encoder in it; it seems to be {family}. Pass an SD1.5 checkpoint that "
        "has its CLIP inside"
    )
