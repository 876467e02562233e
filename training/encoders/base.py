"""Text encoders: prompts → vectors in the text spaces of Stable Diffusion.

In every space a prompt has its vector of the sd15 space: CLIP ViT-L/14's state at the end-of-text token after the
final layer norm, not multiplied by `text_projection`: what transformers calls `CLIPTextModel(...).pooler_output`,
and ComfyUI the unprojected pooled output. In the sdxl space it has further ones, named and explained in
sdxl_encoder.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ..dataset.samples import EMBEDDING, SD15, SDXL
from .clip_tokenizer import EncoderError, PromptTokens, Tokenize, find_tokenizer
from .clip_tower import ClipTower
from .pretrained import DEFAULTS, load_pretrained
from .sdxl_encoder import SdxlTextEncoder

if TYPE_CHECKING:
    from transformers import CLIPTextModel

PROBE = "a close-up photo of a person with a happy face"  # its vector is an encoder's fingerprint


class TextEncoder(Protocol):
    """Whatever turns prompts into vectors."""

    @property
    def identity(self) -> str:
        """Stored with every dataset and checkpoint."""
        ...

    @property
    def dim(self) -> int:
        """The width of the vectors that `encode` gives."""
        ...

    @property
    def space(self) -> str:
        """One of `samples.EXTRAS`: "sd15" or "sdxl"."""
        ...

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """P prompts → (P, dim) float32 on the CPU, in the sd15 space whatever `space` is."""
        ...

    def extras(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """P prompts → the further vectors of `space`, by name as in `samples.EXTRAS`; float32 on the CPU."""
        ...


class TokenEncoder(TextEncoder, Protocol):
    """A text encoder that also gives what Stable Diffusion attends to: the states of all tokens."""

    def token_states(self, prompt: str) -> Tensor:
        """One prompt → (1, T, W) float32 on the CPU, padded to a whole block of tokens; W is 768, in sdxl 2048."""
        ...


class ClipTextEncoder:
    """The text encoder of Stable Diffusion 1.5: a CLIP text model of transformers with its tokenizer."""

    space = SD15
    dim = EMBEDDING

    def __init__(self, identity: str, model: CLIPTextModel, tokenize: Tokenize, device: str = "cpu") -> None:
        """Raises EncoderError if the model is not 768 wide, or the tokenizer not made for it."""
        self.identity = identity
        tokens = PromptTokens(tokenize, int(model.config.max_position_embeddings))  # 77
        self._tower = ClipTower(identity, model, tokens, "Stable Diffusion 1.5", EMBEDDING, device)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """P prompts → (P, 768) float32 on the CPU. Prompts beyond 77 tokens are cut, with a warning."""
        return self._tower.at_end(prompts).final

    def extras(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Nothing: the vectors of the sd15 space are all there is."""
        return {}

    def token_states(self, prompt: str) -> Tensor:
        """A prompt → (1, 77, 768) float32 on the CPU: BOS, words, EOS and EOS-padding after the final layer norm.

        This is the cross-attention part of ComfyUI's CONDITIONING for Stable Diffusion 1.5.
        """
        return self._tower.at_all(prompt).final


class KnownPrompts:
    """A text encoder of prompts whose vectors are at hand already; it knows no others.

    `embeddings` (P, 768) are those of `prompts`, and `extras` the further ones of the space, name → (P, width).
    """

    dim = EMBEDDING

    def __init__(
        self, identity: str, space: str, prompts: Sequence[str], embeddings: Tensor, extras: Mapping[str, Tensor]
    ) -> None:
        self.identity, self.space = identity, space
        self._rows = {prompt: row for row, prompt in enumerate(prompts)}
        self._embeddings, self._extras = embeddings, dict(extras)

    @classmethod
    def encoded(cls, encoder: TextEncoder, prompts: Sequence[str]) -> KnownPrompts:
        """The prompts, and the probe sentence, encoded once each by `encoder`."""
        distinct = list(dict.fromkeys([PROBE, *prompts]))
        return cls(encoder.identity, encoder.space, distinct, encoder.encode(distinct), encoder.extras(distinct))

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """P of the prompts → (P, 768)."""
        return self._embeddings[[self._rows[prompt] for prompt in prompts]]

    def extras(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The space's further vectors of P of the prompts."""
        rows = [self._rows[prompt] for prompt in prompts]
        return {name: vectors[rows] for name, vectors in self._extras.items()}


def fingerprint(encoder: TextEncoder) -> Tensor:
    """(F,) the encoder's vector for the probe sentence, by which encoders are told apart: in the sd15 space (768), and
    in the sdxl space with the pooled output beside it (768 + 1280).
    """
    pooled = encoder.extras([PROBE]).get("sdxl_pooled")
    vector = encoder.encode([PROBE])[0]
    return vector if pooled is None else torch.cat([vector, pooled[0]])


def load_encoder(
    spec: str | None, device: str = "cpu", tokenizer: str | None = None, space: str = SD15
) -> TokenEncoder:
    """The text encoder that `spec` names.

    Args:
        spec: "random" (a small random-weight stand-in that needs no download), a `.safetensors` checkpoint of Stable
            Diffusion 1.5 (or of CLIP ViT-L/14 alone) or XL, or a Hugging Face id or folder: of a CLIP text model, or
            of SDXL in diffusers' layout. None is the space's default on the hub.
        device: where it runs.
        tokenizer: a folder with CLIP's vocab.json and merges.txt. By default that of the model, else ComfyUI's
            own, else that of CLIP ViT-L/14 in the Hugging Face cache.
        space: "sd15" or "sdxl".

    Raises EncoderError, saying what to pass, if there is no such encoder, it is not of the space's kind, or no
    tokenizer is found.
    """
    if space not in DEFAULTS:
        raise EncoderError(f"there is no text space {space!r}; choose {' or '.join(DEFAULTS)}")
    spec = DEFAULTS[space] if spec is None else spec
    if spec == "random":
        from .random_weights import random_encoder, random_sdxl_encoder

        return random_encoder(device) if space == SD15 else random_sdxl_encoder(device)
    path = Path(spec).expanduser()
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin"):
        raise EncoderError(
            f"{spec}: files of this type can run code when they are read; use the model's .safetensors file"
        )
    return _load_sd15(spec, device, tokenizer) if space == SD15 else _load_sdxl(spec, device, tokenizer)


def _load_sd15(spec: str, device: str, tokenizer: str | None) -> ClipTextEncoder:
    path = Path(spec).expanduser()
    if path.suffix == ".safetensors":
        from .sd15_file import load_sd15_file

        identity, model = load_sd15_file(path)
        return ClipTextEncoder(identity, model, find_tokenizer(tokenizer), device)
    identity, (model,), tokenize = load_pretrained(spec, SD15, tokenizer)
    return ClipTextEncoder(identity, model, tokenize, device)


def _load_sdxl(spec: str, device: str, tokenizer: str | None) -> SdxlTextEncoder:
    path = Path(spec).expanduser()
    if path.suffix == ".safetensors":
        from .sdxl_file import load_sdxl_file

        identity, clip_l, clip_g = load_sdxl_file(path)
        return SdxlTextEncoder(identity, clip_l, clip_g, find_tokenizer(tokenizer), device)
    identity, (clip_l, clip_g), tokenize = load_pretrained(spec, SDXL, tokenizer)
    return SdxlTextEncoder(identity, clip_l, clip_g, tokenize, device)
