"""Text encoders: prompts → vectors in the text spaces of Stable Diffusion.

In every space a prompt has its vector of the sd15 space: CLIP ViT-L/14's state at the end-of-text token after the
final layer norm, not multiplied by `text_projection`: what transformers calls `CLIPTextModel(...).pooler_output`,
and ComfyUI the unprojected pooled output. In the sdxl space it has further ones, named and explained in
clip.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ...projection.spaces import EMBEDDING

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
