"""Text encoders: prompts → vectors in the text spaces of Stable Diffusion.

In every space a prompt has its vector of the sd15 space: CLIP ViT-L/14's state at the end-of-text token after the
final layer norm, not multiplied by `text_projection`. This is `CLIPTextModel(...).pooler_output` in transformers, and
the unprojected pooled output in ComfyUI. The sdxl space adds further vectors, which clip.py describes.

Every space also has the subject's vector: the state of the last token of "{prompt}, a person". CLIP reads from left to
right, so the state of a noun contains only what stands before it; at this noun, it is the whole prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ...projection.spaces import SD15

PROBE = "a close-up photo of a person with a happy face"  # its vector is an encoder's fingerprint
SUBJECT_SUFFIX = ", a person"  # its tokens come after those of a prompt; the last one is the subject


class TextEncoder(Protocol):
    """An object that encodes prompts as vectors."""

    @property
    def identity(self) -> str:
        """The name of the encoder and its weights, stored with every dataset and checkpoint."""
        ...

    @property
    def space(self) -> str:
        """The text space, a key of `projection.spaces.ADDED_TARGETS`: "sd15" or "sdxl"."""
        ...

    @property
    def has_subject(self) -> bool:
        """Whether `added_targets` includes the subject's vectors."""
        ...

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return the vectors (P, 768) of P prompts in the sd15 space, whatever `space` is; float32 on the CPU."""
        ...

    def added_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return the further vectors of P prompts in `space`, by name as in `projection.spaces.added_targets`.

        Each is (P, width), float32 on the CPU.
        """
        ...


class TokenEncoder(TextEncoder, Protocol):
    """A text encoder that also returns the states of all tokens, which Stable Diffusion attends to."""

    def token_states(self, prompt: str) -> Tensor:
        """Return the states (1, T, W) of a prompt, float32 on the CPU, padded to a whole block of tokens.

        W is 768, or 2048 in the sdxl space.
        """
        ...


class KnownPrompts:
    """A text encoder for prompts whose vectors are already available; it cannot encode other prompts.

    `embeddings` (P, 768) are the vectors of `prompts`, and `added_targets` the further ones, name → (P, width).
    """

    def __init__(
        self, identity: str, space: str, prompts: Sequence[str], embeddings: Tensor, added_targets: Mapping[str, Tensor]
    ) -> None:
        self.identity, self.space = identity, space
        self._rows = {prompt: row for row, prompt in enumerate(prompts)}
        self._embeddings, self._added_targets = embeddings, dict(added_targets)

    @property
    def has_subject(self) -> bool:
        """Whether the subject's vectors are available."""
        return SD15.subject in self._added_targets

    @classmethod
    def encoded(cls, encoder: TextEncoder, prompts: Sequence[str]) -> KnownPrompts:
        """Return the prompts and the probe sentence, each encoded once by `encoder`."""
        distinct = list(dict.fromkeys([PROBE, *prompts]))
        return cls(encoder.identity, encoder.space, distinct, encoder.encode(distinct), encoder.added_targets(distinct))

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return the vectors (P, 768) of P of the prompts."""
        return self._embeddings[[self._rows[prompt] for prompt in prompts]]

    def added_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return the further vectors of P of the prompts, name → (P, width)."""
        rows = [self._rows[prompt] for prompt in prompts]
        return {name: vectors[rows] for name, vectors in self._added_targets.items()}


def fingerprint(encoder: TextEncoder) -> Tensor:
    """Return the encoder's vector (F,) for the probe sentence, which identifies the encoder.

    F is 768 in the sd15 space, and 768 + 1280 in the sdxl space, which appends the pooled output.
    """
    pooled = encoder.added_targets([PROBE]).get("sdxl_pooled")
    vector = encoder.encode([PROBE])[0]
    return vector if pooled is None else torch.cat([vector, pooled[0]])
