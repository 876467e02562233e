"""Prompts → the text space of Stable Diffusion XL.

SDXL is conditioned on two text encoders at once: CLIP ViT-L/14 (768 wide) and OpenCLIP ViT-bigG/14, "CLIP-G" (1280).
Per token it attends to the states of both after the last layer but one, without the final layer norm, side by side
(2048); and it gets one pooled vector: CLIP-G's end-of-text state after the final layer norm, times its text projection
(1280). So do diffusers' StableDiffusionXLPipeline and ComfyUI (comfy/sdxl_clip.py); Podell et al. 2023,
arXiv:2307.01952, section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..dataset.samples import EMBEDDING, EXTRAS, SDXL
from .clip_tokenizer import EncoderError, PromptTokens, Tokenize
from .clip_tower import ClipTower

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

FAMILY = "Stable Diffusion XL"
WIDTH_G = EXTRAS[SDXL]["sdxl_pooled"]
PADDING_G = 0  # what follows the end-of-text token in CLIP-G; CLIP-L repeats the end-of-text token


class SdxlTextEncoder:
    """Both text encoders of Stable Diffusion XL with their tokenizer."""

    space = SDXL
    dim = EMBEDDING

    def __init__(
        self,
        identity: str,
        clip_l: CLIPTextModel,
        clip_g: CLIPTextModelWithProjection,
        tokenize: Tokenize,
        device: str = "cpu",
    ) -> None:
        """Raises EncoderError if a model has another size than SDXL's, or the tokenizer is not made for them."""
        self.identity = identity
        tokens = PromptTokens(tokenize, min(int(model.config.max_position_embeddings) for model in (clip_l, clip_g)))
        self._l = ClipTower(f"the CLIP-L of {identity}", clip_l, tokens, FAMILY, EMBEDDING, device)
        self._g = ClipTower(f"the CLIP-G of {identity}", clip_g, tokens, FAMILY, WIDTH_G, device)
        projected = int(clip_g.config.projection_dim)
        if projected != WIDTH_G:
            raise EncoderError(
                f"the CLIP-G of {identity} makes pooled vectors of {projected} numbers, not of {WIDTH_G}"
            )

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """P prompts → (P, 768) float32 on the CPU: CLIP-L's vector in the sd15 space."""
        return self._l.at_end(prompts).final

    def extras(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """P prompts → sdxl_embeddings (P, 2048), both penultimate states at the end-of-text token, L before G, and
        sdxl_pooled (P, 1280); float32 on the CPU."""
        clip_l, clip_g = self._l.at_end(prompts), self._g.at_end(prompts)
        return {
            "sdxl_embeddings": torch.cat([clip_l.penultimate, clip_g.penultimate], dim=1),
            "sdxl_pooled": self._g.projected(clip_g.final),
        }

    def token_states(self, prompt: str) -> Tensor:
        """A prompt → (1, 77, 2048) float32 on the CPU: the cross-attention part of ComfyUI's CONDITIONING for SDXL."""
        clip_l, clip_g = self._l.at_all(prompt), self._g.at_all(prompt, PADDING_G)
        return torch.cat([clip_l.penultimate, clip_g.penultimate], dim=2)
